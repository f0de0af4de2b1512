//! Copies the engine's sources and puts the model's atomics, memory and threads in the place of the
//! system's. Nothing else is changed, so that a model is one of the code and not of a copy; with
//! `FAULT` in the environment, one defect that the models have to find.

mod faults {
    include!("src/faults.rs");
}

use std::path::{Path, PathBuf};
use std::{env, fs};

use faults::Fault;

fn main() {
    println!("cargo::rerun-if-env-changed=FAULT");
    println!("cargo::rerun-if-changed=src/faults.rs");
    println!("cargo::rustc-check-cfg=cfg(tracemalloc_check, tracemalloc_failpoints, fuzzing)");
    println!("cargo::rustc-check-cfg=cfg(feature, values(any()))");
    println!("cargo::rerun-if-changed=../../../src");
    let fault = env::var("FAULT").ok().filter(|name| !name.is_empty());
    let fault = fault.map(|name| {
        let found = faults::FAULTS.iter().find(|fault| fault.name == name);
        found.unwrap_or_else(|| panic!("no fault is called {name}"))
    });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
    copy(Path::new("../../../src/engine"), &out.join("engine"), fault);
    for (from, to) in [
        ("sampling.rs", "sampling.rs"),
        ("scope/numbers.rs", "numbers.rs"),
    ] {
        let path = Path::new("../../../src").join(from);
        write(&out.join(to), &with_model(&path, &with_fault(&path, fault)));
    }
    let path = |name: &str| format!("{:?}", out.join(name));
    write(
        &out.join("sources.rs"),
        &format!(
            "#[path = {}]\nmod engine;\n#[path = {}]\nmod sampling;\n#[path = {}]\nmod numbers;\n",
            path("engine/mod.rs"),
            path("sampling.rs"),
            path("numbers.rs")
        ),
    );
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn copy(from: &Path, to: &Path, fault: Option<&Fault>) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target, fault);
        } else {
            write(&target, &with_model(&path, &with_fault(&path, fault)));
        }
    }
}

/// The text of a file, with the fault if that is its.
fn with_fault(path: &Path, fault: Option<&Fault>) -> String {
    let text = read(path);
    match fault {
        Some(fault) if path.ends_with(fault.file) => replaced(path, &text, fault.old, fault.new),
        _ => text,
    }
}

/// The text with `old`, which must be in it once, replaced.
fn replaced(path: &Path, text: &str, old: &str, new: &str) -> String {
    let found = text.matches(old).count();
    let path = path.display();
    assert_eq!(found, 1, "{path}: found {found} times: {old}");
    text.replace(old, new)
}

/// Files with variables of a thread.
const THREAD_LOCAL: [&str; 4] = [
    "thread/guard.rs",
    "thread/tag.rs",
    "engine/scopes/mod.rs",
    "memory/this_thread.rs",
];

/// What the models have of their own.
fn with_model(path: &Path, text: &str) -> String {
    let text = text
        .replace("std::sync::atomic::", "crate::atomic::")
        .replace("once_cell::race::OnceRef", "crate::atomic::OnceRef")
        // The back-end that reads no stack, and memory that is given back.
        .replace("not(miri)", "not(all())")
        .replace("any(miri,", "any(all(),")
        .replace("    miri,\n", "    all(),\n")
        // Models look at parts that the engine keeps to itself.
        .replace("pub(super) ", "pub(crate) ")
        .replace("\nmod ", "\npub(crate) mod ");
    let one = |old: &str, new: &str| replaced(path, &text, old, new);
    if path.ends_with("arena/pages.rs") {
        return one(
            "use std::alloc::{GlobalAlloc, Layout, System};",
            "use crate::pages::{Layout, System};",
        );
    } else if THREAD_LOCAL.iter().any(|file| path.ends_with(file)) {
        return one("thread_local! {", "crate::atomic::thread_local! {");
    } else if path.ends_with("engine/allocator.rs") {
        // What is there for tests is for models too.
        let text = one(
            "#[cfg(test)]\n    pub(crate) fn with_tracker",
            "pub(crate) fn with_tracker",
        );
        return replaced(
            path,
            &text,
            "#[cfg(test)]\n    pub(crate) fn like_system",
            "pub(crate) fn like_system",
        );
    } else if path.ends_with("thread/owner.rs") {
        // Whether a thread is there is the model's affair.
        return "pub(crate) use crate::owner::Owner;\n".into();
    } else if path.ends_with("stacks/index.rs") {
        // So small that it grows within a model's few stacks. A quarter of so few entries is soon taken, and then a
        // stack is refused: a search reads all of them.
        let text = one("PIECE_BITS: u32 = 12;", "PIECE_BITS: u32 = 5;");
        let text = replaced(path, &text, "ENTRIES / 4;", "ENTRIES;");
        return replaced(path, &text, "FIRST_BITS: u32 = 2;", "FIRST_BITS: u32 = 0;");
    } else if path.ends_with("history/table.rs") {
        // A look at all of them is one step for each of their words.
        let text = one("const NUMBERS: usize = 4096;", "const NUMBERS: usize = 64;");
        let text = replaced(
            path,
            &text,
            "const RECORDS: usize = 512;",
            "const RECORDS: usize = 8;",
        );
        return replaced(
            path,
            &text,
            "const STACKS: usize = 1 << 28;",
            "const STACKS: usize = 1 << 12;",
        );
    } else if path.ends_with("scope/numbers.rs") {
        // A model has few scopes.
        return one("const FEW: usize = 64;", "const FEW: usize = 1;");
    } else if path.ends_with("blocks/shadow.rs") {
        // Atomics of a model are larger than those of the processor.
        return one("WORD_BITS: u32 = 15;", "WORD_BITS: u32 = 12;");
    }
    text
}
