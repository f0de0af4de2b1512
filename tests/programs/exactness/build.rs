//! Builds the libraries that the program is linked with and those that it loads while it runs.

use std::env;
use std::path::Path;
use std::process::Command;

/// Name, function, words in its frame, and which library's function it calls.
const LIBRARIES: [(&str, &str, usize, Option<(&str, &str)>); 4] = [
    ("deep", "through_deep", 3, None),
    (
        "linked",
        "through_linked",
        56,
        Some(("deep", "through_deep")),
    ),
    // The same code but for the size of the frame.
    ("one", "through_added", 10, None),
    ("two", "through_added", 13, None),
];

fn main() {
    let folder = env::var("OUT_DIR").expect("cargo says where");
    for (name, function, room, inner) in LIBRARIES {
        build(Path::new(&folder), name, function, room, inner);
    }
    println!("cargo::rerun-if-changed=libraries");
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rustc-link-lib=dylib=linked");
    for option in ["-rpath", "-rpath-link"] {
        println!("cargo::rustc-link-arg=-Wl,{option},{folder}");
    }
}

fn build(folder: &Path, name: &str, function: &str, room: usize, inner: Option<(&str, &str)>) {
    // The compiler that links for the target, if cargo was told of one.
    let compiler = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(compiler);
    command
        .args(["-O1", "-fPIC", "-shared", "-fomit-frame-pointer"])
        .arg(format!("-DNAME={function}"))
        .arg(format!("-DROOM={room}"))
        .arg(format!("-Wl,-soname,lib{name}.so"))
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .arg("libraries/through.c")
        .arg("-o")
        .arg(folder.join(format!("lib{name}.so")));
    if let Some((library, function)) = inner {
        command
            .arg(format!("-DINNER={function}"))
            .arg("-L")
            .arg(folder)
            .arg(format!("-l{library}"));
    }
    let status = command.status().expect("a C compiler");
    assert!(status.success(), "{command:?}");
}
