//! Help, completions and manual pages.

use std::process::Stdio;

use crate::folder::folder;
use crate::golden::check_fits;
use crate::tool::{cargo_command, command, finish, run, succeed};

const COMMANDS: [&str; 14] = [
    "top",
    "diff",
    "tree",
    "list",
    "stats",
    "flamegraph",
    "report",
    "export",
    "trend",
    "check",
    "symbolize",
    "info",
    "completions",
    "man",
];

#[test]
fn help_fits_and_has_examples() {
    let folder = folder();
    let program = succeed(folder.path(), "--help").text();
    check_fits(&program);
    assert!(
        program.contains("Exit codes: 0 success, 1 a check failed, 2"),
        "{program}"
    );
    for name in COMMANDS {
        assert!(
            program.contains(&format!("\n  {name} ")),
            "{name}: {program}"
        );
        for line in [
            format!("{name} -h"),
            format!("{name} --help"),
            format!("help {name}"),
        ] {
            let help = succeed(folder.path(), &line).text();
            check_fits(&help);
            assert!(
                help.contains(&format!("Examples:\n  tracemalloc {name}")),
                "{help}"
            );
        }
    }
}

#[test]
fn every_command_is_documented() {
    let page = include_str!("../../../docs/CLI.md");
    for name in COMMANDS {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_version_is_that_of_the_library() {
    let folder = folder();
    let version = succeed(folder.path(), "--version").text();
    assert_eq!(
        version,
        concat!("tracemalloc ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn completions_name_every_command() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = succeed(folder.path(), &format!("completions {shell}")).text();
        for name in COMMANDS {
            assert!(script.contains(name), "{shell} does not complete {name}");
        }
    }
    assert_eq!(run(folder.path(), "completions tcsh").code, Some(2));
}

#[test]
fn manual_pages_are_of_the_command() {
    let folder = folder();
    let page = succeed(folder.path(), "man").text();
    assert!(page.contains(".TH tracemalloc 1"), "{page}");
    for name in COMMANDS {
        let page = succeed(folder.path(), &format!("man {name}")).text();
        assert!(
            page.contains(&format!(".TH tracemalloc-{name} 1")),
            "{page}"
        );
        assert!(page.contains("Examples"), "{page}");
    }
    let ran = run(folder.path(), "man nothing");
    assert_eq!(ran.err, "error: there is no command \"nothing\"\n");
    assert_eq!(ran.code, Some(2));
}

#[test]
fn cargo_runs_the_tool() {
    let folder = folder();
    let (old, new) = ("old.tmsnap.json.gz", "new.tmsnap.json.gz");
    for (arguments, code) in [
        (vec!["top", new], 0),
        (vec!["check", new, "--max-live", "1"], 1),
        (vec!["diff", old], 2),
    ] {
        let mut direct = command(folder.path());
        direct.args(&arguments).stdin(Stdio::null());
        let mut by_cargo = cargo_command(folder.path());
        by_cargo.arg("tracemalloc").args(&arguments);
        let (direct, by_cargo) = (finish(direct), finish(by_cargo));
        assert_eq!(direct.code, Some(code), "{arguments:?}");
        assert_eq!(by_cargo.code, direct.code, "{arguments:?}");
        assert_eq!(by_cargo.out, direct.out);
        assert_eq!(by_cargo.err, direct.err);
    }
}
