//! Snapshots without names: what reports say of them, and how they are named.

use std::fs;
use std::path::Path;
use std::process::Command;

use tracemalloc::Snapshot;

use crate::tool::{run, succeed};

/// A snapshot whose only block was allocated at `offset` of `module`.
fn unnamed(module: &str, build_id: &str, offset: &str) -> String {
    format!(
        r#"{{"format": "tracemalloc-snapshot", "version": 2,
        "meta": {{"traceback_limit": 25, "unnamed": "later", "program": "tracemalloc"}},
        "modules": [{{"path": "{module}", "build_id": "{build_id}"}}],
        "strings": [], "frames": [{{"code": [0, "{offset}"]}}], "nodes": [[null, 0]],
        "stacks": [[0, null, false]], "runs": [[0, 0, 640, 1]]}}"#
    )
}

/// Writes it as the file `name`.
fn save(folder: &Path, name: &str, json: &str) {
    let path = folder.join(name);
    fs::write(&path, json).unwrap();
    let gzip = Command::new("gzip").arg(&path).status().unwrap();
    assert!(gzip.success());
}

/// Writes `a.gz`, a snapshot without names whose program is not there.
fn save_of_missing_program(folder: &Path) {
    let json = unnamed("/no/such/tracemalloc", "00ff", "0x11d7");
    save(folder, "a", &json);
}

#[test]
fn a_snapshot_without_names_says_how_to_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_of_missing_program(folder);
    for line in [
        "top a.gz",
        "top a.gz --by function",
        "tree a.gz",
        "stats a.gz",
    ] {
        let text = succeed(folder, line).text();
        assert!(
            text.contains("No names yet: names were left for later\n"),
            "{text}"
        );
        assert!(
            text.contains("To read names: tracemalloc symbolize FILE\n"),
            "{text}"
        );
        assert!(!text.contains("Cargo.toml"), "{text}");
    }
    assert!(
        succeed(folder, "top a.gz")
            .text()
            .contains("tracemalloc+0x11d7")
    );
    let info = succeed(folder, "info a.gz").text();
    assert!(
        info.contains("names            still to be read: names were left for later"),
        "{info}"
    );
    for line in [
        "export a.gz --format json",
        "flamegraph a.gz -o -",
        "report a.gz -o -",
    ] {
        succeed(folder, line);
    }

    let before = fs::read(folder.join("a.gz")).unwrap();
    for line in ["symbolize a.gz", "symbolize a.gz -o b.gz"] {
        let ran = run(folder, line);
        assert_eq!(ran.code, Some(2), "{line}");
        let lines: Vec<&str> = ran.err.lines().collect();
        assert_eq!(
            lines,
            [
                "warning: /no/such/tracemalloc: no file of it could be opened",
                "error: a.gz: no names for the program: give its file, or an unstripped copy, \
                 with --debug-file",
            ]
        );
    }
    assert_eq!(fs::read(folder.join("a.gz")).unwrap(), before);
    assert!(!folder.join("b.gz").exists());
}

#[test]
fn a_file_that_is_no_machine_code_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_of_missing_program(folder);
    fs::write(folder.join("text"), "text").unwrap();
    let ran = run(folder, "symbolize a.gz --debug-file text");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(2), "error: text: not an ELF file\n")
    );
    let ran = run(folder, "symbolize a.gz --debug-file nothing");
    assert!(
        ran.err.starts_with("error: nothing: cannot read: "),
        "{}",
        ran.err
    );
}

/// The tool itself is the program.
#[cfg(target_os = "linux")]
#[test]
fn names_are_read_from_the_file_of_the_same_build() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let program = env!("CARGO_BIN_EXE_tracemalloc");
    let output = |command: &str, argument: &str| {
        let output = Command::new(command)
            .args([argument, program])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let notes = output("readelf", "-n");
    let (_, id) = notes
        .split_once("Build ID: ")
        .expect("the linker makes build ids");
    let id = id.lines().next().unwrap();
    let symbols = output("nm", "-C");
    let main = symbols
        .lines()
        .find(|line| line.ends_with(" tracemalloc::main"))
        .unwrap();
    let start = u64::from_str_radix(&main[..16], 16).unwrap();
    let offset = format!("{:#x}", start + 1);
    let copy = folder.join("copy");
    fs::copy(program, &copy).unwrap();

    save(folder, "there", &unnamed(program, id, &offset));
    let ran = run(folder, "top there.gz --by function");
    assert!(ran.text().contains("tracemalloc::main"), "{}", ran.text());
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(
        ran.err.starts_with("note: there.gz: names were read from"),
        "{}",
        ran.err
    );

    save(folder, "other", &unnamed(program, "00ff", &offset));
    let ran = run(
        folder,
        &format!("symbolize other.gz --debug-file {program}"),
    );
    assert_eq!(ran.code, Some(2));
    let expected =
        format!("the file has build id {id}; the snapshot is of tracemalloc (build id 00ff)");
    assert!(ran.err.contains(&expected), "{}", ran.err);
    assert!(run(folder, "top other.gz").text().contains("No names yet"));

    save(folder, "gone", &unnamed("/gone/tracemalloc", id, &offset));
    for line in [
        "symbolize gone.gz --debug-file copy -o named.gz",
        "symbolize gone.gz --debug-file copy",
    ] {
        let ran = run(folder, line);
        let expected = "note: /gone/tracemalloc: names from copy\n";
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), expected), "{line}");
    }
    for name in ["named.gz", "gone.gz"] {
        let named = Snapshot::load(folder.join(name)).unwrap();
        assert_eq!(named.recording().unnamed, None);
        let traces = named.traces().unwrap();
        let stack = &traces.get(0).unwrap().traceback;
        assert_eq!(stack.most_recent().function(), Some("tracemalloc::main"));
        assert_eq!(stack.most_recent().filename(), "src/main.rs");
    }
    let again = run(folder, "symbolize named.gz");
    assert!(
        again.err.contains("every frame has a name already"),
        "{}",
        again.err
    );
}
