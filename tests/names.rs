//! What functions, crates and lines are called, however a program was built, linked and started.
//!
//! `tests/programs/depot` prints the names of known allocations. Comments in its sources mark the lines
//! and say the names. Builds that need other linkers, or take long, are ignored here: `.ci/run names`
//! runs them.

#![cfg(unix)]

mod runner;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/depot")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs")
}

/// What is built of the package.
const PROGRAM: [&str; 2] = ["--bin", "depot"];

/// A compiler that compiles the package, but not its dependencies, with `flags`. Cargo takes note of its
/// name alone.
fn wrapper(flags: &[&str]) -> PathBuf {
    let name = flags
        .concat()
        .replace(|letter: char| !letter.is_ascii_alphanumeric(), "");
    let path = target().join(format!("rustc-{name}"));
    let quoted: Vec<String> = flags.iter().map(|flag| format!("'{flag}'")).collect();
    let script = format!("#!/bin/sh\nexec \"$@\" {}\n", quoted.join(" "));
    if fs::read_to_string(&path).is_ok_and(|known| known == script) {
        return path;
    }
    fs::create_dir_all(target()).expect("the folder is made");
    fs::write(&path, script).expect("the script is written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, executable).expect("it is ours");
    path
}

/// Builds a target of the package in `directory`, and tells where the executable is.
fn build(directory: &Path, kind: &[&str], flags: &[&str]) -> Result<PathBuf, String> {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(directory)
        .args(["build", "--profile", "lines", "--message-format=json"])
        .arg("--target-dir")
        .arg(target())
        .args(kind)
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper(flags))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS");
    if let Some(triple) = runner::target() {
        command.args(["--target", triple]);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let paths = messages.match_indices("\"executable\":\"");
    let paths = paths.map(|(at, key)| &messages[at + key.len()..]);
    let last = paths.filter_map(|rest| rest.split('"').next()).last();
    Ok(last.ok_or("no executable")?.into())
}

/// What a program prints, without the lines of a test harness.
fn output(mut command: Command) -> Vec<String> {
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let lines = text.lines().filter(|line| line.contains('\t'));
    lines.map(str::to_owned).collect()
}

fn run(program: &Path) -> Vec<String> {
    output(runner::command(program))
}

/// What the marks in the sources say that a target prints whose own file is `own`.
fn expected(own: &str) -> Vec<String> {
    let mut expected = Vec::new();
    for file in ["src/lib.rs", "src/shelf.rs", own] {
        let text = fs::read_to_string(source().join(file)).expect("it is there");
        for (line, number) in text.lines().zip(1..) {
            let mark = line.split_once("; // ").or_else(|| line.split_once(" // "));
            let mark = mark.and_then(|(_, mark)| mark.split_once(": "));
            let Some((size, name)) = mark.filter(|(size, _)| size.parse::<u32>().is_ok()) else {
                continue;
            };
            let path = name.trim_start_matches('<');
            let crate_name = path.split("::").next().expect("a path");
            expected.push(format!("{size}\t{file}:{number}\t{name}\t{crate_name}\t1"));
        }
    }
    assert_eq!(expected.len(), 12);
    expected
}

#[track_caller]
fn check(flags: &[&str]) {
    let program = build(&source(), &PROGRAM, flags).expect("it is built");
    assert_eq!(run(&program), expected("src/main.rs"), "{flags:?}");
}

#[test]
fn names_are_alike_whatever_debug_information_holds() {
    check(&["-C", "debuginfo=limited"]);
    check(&["-C", "debuginfo=line-tables-only"]);
    check(&[
        "-C",
        "debuginfo=line-tables-only",
        "-C",
        "symbol-mangling-version=v0",
    ]);
}

#[test]
#[ignore = "builds many programs"]
fn names_are_alike_at_every_level() {
    for level in ["0", "1", "s", "3"] {
        let level = format!("opt-level={level}");
        for debug in ["line-tables-only", "limited", "full"] {
            let debug = format!("debuginfo={debug}");
            let old = ["-C", &level, "-C", &debug];
            check(&old);
            check(&[&old[..], &["-C", "symbol-mangling-version=v0"]].concat());
        }
    }
}
