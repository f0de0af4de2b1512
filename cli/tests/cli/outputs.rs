//! Where the output goes, and what is there after a failure.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::folder::{folder, line};
use crate::tool::{command, finish, run, run_unread, succeed};

/// Every file of the folder with its contents.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn a_file_has_what_standard_output_had() {
    let folder = folder();
    for text in [
        "top @new",
        "tree @new --format json",
        "flamegraph @new",
        "report @new",
        "man",
    ] {
        let text = line(text);
        let expected = succeed(folder.path(), &text).out;
        assert_eq!(
            succeed(folder.path(), &format!("{text} -o -")).out,
            expected
        );
        let mut before = contents(folder.path());
        let ran = succeed(folder.path(), &format!("{text} -f -o out"));
        assert_eq!(ran.out, b"", "{text}");
        before.insert("out".to_owned(), expected);
        assert!(contents(folder.path()) == before, "{text}");
    }
}

/// A file of colors is no use to anyone who did not ask for it.
#[test]
fn a_file_is_colored_only_if_that_is_asked_for() {
    let folder = folder();
    let colored = |flags: &str| {
        let text = line(&format!("top @new -f -o out {flags}"));
        let mut command = command(folder.path());
        command.args(text.split(' ')).env("CLICOLOR_FORCE", "1");
        assert_eq!(finish(command).code, Some(0));
        fs::read(folder.path().join("out")).unwrap().contains(&0x1b)
    };
    assert!(!colored("--color auto"));
    assert!(colored("--color always"));
}

#[test]
fn a_file_is_overwritten_only_if_that_is_asked_for() {
    let folder = folder();
    fs::write(folder.path().join("out"), "older").unwrap();
    let before = contents(folder.path());
    let text = line("top @new -o out");
    let ran = run(folder.path(), &text);
    assert_eq!(ran.err, "error: out: the file exists; -f overwrites it\n");
    assert_eq!(ran.code, Some(2));
    assert!(contents(folder.path()) == before);
    succeed(folder.path(), &format!("{text} -f"));
    let after = contents(folder.path());
    assert!(after["out"].starts_with(b"Live memory by line"));
    assert_eq!(after.len(), before.len());
}

/// The older file stays, and nothing else is left behind.
#[test]
fn a_failure_leaves_everything_as_it_was() {
    let folder = folder();
    fs::write(folder.path().join("out"), "older").unwrap();
    let before = contents(folder.path());
    for text in [
        // Found out when the output is under way.
        "diff @all @new -f -o out",
        "diff @all @new --format json -o other",
        "report @new --diff @all -f -o out",
        "flamegraph @empty -f -o out",
        "top @none -f -o out",
    ] {
        let ran = run(folder.path(), &line(text));
        assert_eq!(ran.code, Some(2), "{text}");
        assert!(contents(folder.path()) == before, "{text}");
    }
}

#[test]
fn outputs_that_cannot_be_are_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let before = contents(folder.path());
    for (text, start) in [
        ("top @new -o none/out", "error: none/out: cannot create: "),
        ("top @new -o file/out", "error: file/out: cannot create: "),
        ("top @new -o folder", "error: folder: cannot open: "),
        ("top @new -f -o folder", "error: folder: cannot open: "),
    ] {
        let ran = run(folder.path(), &line(text));
        assert_eq!(ran.code, Some(2), "{text}");
        assert!(ran.err.starts_with(start), "{text}: {}", ran.err);
        assert!(contents(folder.path()) == before, "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let folder = folder();
    for text in [
        "top @new",
        "diff @old @new",
        "tree @new",
        "stats @new",
        "info @new",
        "man",
        "check @new --max-live 1",
        "flamegraph @new",
        "report @new",
        "completions bash",
        "export @new --format pprof",
        "export @new --format dhat",
        "top @new --format csv",
    ] {
        let text = line(text);
        let ran = run(folder.path(), &format!("{text} -o /dev/full"));
        assert_eq!(ran.code, Some(2), "{text}");
        let message = "cannot write: No space left on device (os error 28)\n";
        assert_eq!(ran.err, format!("error: /dev/full: {message}"), "{text}");
        let mut command = command(folder.path());
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        command.args(text.split(' ')).stdout(full);
        let ran = finish(command);
        assert_eq!(ran.code, Some(2), "{text}");
        assert_eq!(
            ran.err,
            format!("error: standard output: {message}"),
            "{text}"
        );
    }
}

/// A device is written to, not replaced by a file.
#[cfg(unix)]
#[test]
fn a_device_stays_what_it_is() {
    let folder = folder();
    succeed(folder.path(), &line("top @new -o /dev/null"));
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = folder();
    for (text, code) in [
        ("top @new", 0),
        ("diff @old @new --format json", 0),
        ("tree @new", 0),
        ("stats @new", 0),
        ("info @new", 0),
        ("flamegraph @new -o -", 0),
        ("report @new -o -", 0),
        ("export @new --format pprof -o -", 0),
        ("man", 0),
        ("completions zsh", 0),
        ("--help", 0),
        // The verdict stands, read or not.
        ("check @new --max-live 1", 1),
        ("check @new --max-live 1GiB", 0),
    ] {
        let ran = run_unread(folder.path(), &line(text));
        assert_eq!((ran.code, ran.err.as_str()), (Some(code), ""), "{text}");
    }
}
