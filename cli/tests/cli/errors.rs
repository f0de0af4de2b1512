//! What is said of wrong usage and unusable input.

use std::fs;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::folder::{folder, line};
use crate::tool::{command, finish, run};

const COMMANDS: [&str; 10] = [
    "trend @s1 FILE",
    "top FILE",
    "diff FILE @new",
    "diff @old FILE",
    "tree FILE",
    "stats FILE",
    "flamegraph @new --diff FILE",
    "report FILE",
    "export FILE --format csv",
    "check @new --base FILE --max-growth 1",
];

/// Every command names the file and the reason, writes nothing and ends with code 2.
#[test]
fn unusable_files_are_named() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let whole = fs::read(path("new.tmsnap.json.gz")).unwrap();
    fs::write(path("truncated"), &whole[..whole.len() - 20]).unwrap();
    fs::write(path("plain"), "{}").unwrap();
    fs::write(path("nothing"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    let mut json = String::new();
    GzDecoder::new(&whole[..])
        .read_to_string(&mut json)
        .unwrap();
    let newer = json.replacen("\"version\":2", "\"version\":9", 1);
    assert_ne!(newer, json);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(newer.as_bytes()).unwrap();
    fs::write(path("newer"), gzip.finish().unwrap()).unwrap();

    for (name, message) in [
        ("missing", "missing: cannot open: "),
        ("folder", "folder: cannot read: "),
        ("plain", "plain: not a tracemalloc snapshot: "),
        (
            "nothing",
            "nothing: not a tracemalloc snapshot: it is empty",
        ),
        ("truncated", "truncated: the compressed data end too early"),
        (
            "newer",
            "newer: the file has version 9 of the format; this library reads up to version 2",
        ),
    ] {
        for text in COMMANDS
            .iter()
            .chain(&["info FILE", "top FILE --format json"])
        {
            let text = line(&text.replace("FILE", name));
            let ran = run(folder.path(), &text);
            assert_eq!(ran.code, Some(2), "{text}");
            assert_eq!(ran.text(), "", "{text}");
            let expected = format!("error: {message}");
            assert!(ran.err.starts_with(&expected), "{text}: {}", ran.err);
            assert_eq!(ran.err.lines().count(), 1, "{text}: {}", ran.err);
        }
    }
}

#[test]
fn wrong_usage_is_explained() {
    let folder = folder();
    for (text, message) in [
        ("", "Usage: tracemalloc <COMMAND>"),
        ("nothing", "unrecognized subcommand 'nothing'"),
        ("top", "<SNAPSHOT>"),
        (
            "top @new --by size",
            "[possible values: file, line, function, crate, type, traceback, tag, thread]",
        ),
        ("top @new --sort growth", "[possible values: size, blocks]"),
        ("top @new --limit -1", "'-1'"),
        ("top @new --limit some", "expected a number or `all`"),
        ("top @new --domain heap", "invalid value 'heap'"),
        (
            "top @new --color red",
            "[possible values: auto, always, never]",
        ),
        (
            "top @new --by traceback --inclusive",
            "--inclusive cannot be used with --by traceback",
        ),
        ("diff @new", "<NEW>"),
        (
            "tree @new --by traceback",
            "[possible values: file, line, function, crate]",
        ),
        (
            "tree @new --threshold 101",
            "expected a number from 0 to 100",
        ),
        (
            "tree @new --threshold NaN",
            "expected a number from 0 to 100",
        ),
        ("top @history --at-peak --allocated", "cannot be used with"),
        (
            "top @new --at-peak",
            "new.tmsnap.json.gz: no memory at the peak: the session recorded no history; set \
             TRACEMALLOC_HISTORY=1",
        ),
        (
            "diff @new @history --temporary",
            "new.tmsnap.json.gz: no temporary memory",
        ),
        ("trend", "<SNAPSHOT>..."),
        ("trend @s1 -", "cannot be read from standard input"),
        ("export @new", "--format <FORMAT>"),
        (
            "export @new --format svg",
            "[possible values: pprof, folded, dhat, json, csv]",
        ),
        ("check @new", "--max-live <SIZE>"),
        ("check @new --max-growth 1", "--base <OLD>"),
        ("check @new --per-site 1", "--base <OLD>"),
        (
            "check @new --max-live 5%",
            "expected a size such as 65536, 64KiB or 1.5MiB",
        ),
        (
            "check @new --base @old --max-growth much",
            "or a percentage such as 5%",
        ),
    ] {
        let ran = run(folder.path(), &line(text));
        assert_eq!(ran.code, Some(2), "{text}");
        assert_eq!(ran.text(), "", "{text}");
        assert!(ran.err.contains(message), "{text}: {}", ran.err);
    }
}

/// One was recorded with the runtime's frames, the other without.
#[test]
fn snapshots_that_cannot_be_compared_are_refused() {
    let folder = folder();
    for text in [
        "diff @new @all",
        "diff @new @all --format csv",
        "flamegraph @all --diff @new",
        "report @all --diff @new",
        "check @all --base @new --max-growth 5%",
    ] {
        let ran = run(folder.path(), &line(text));
        assert_eq!(ran.code, Some(2), "{text}");
        assert!(
            ran.err
                .starts_with("error: cannot compare: the new snapshot"),
            "{}",
            ran.err
        );
    }
}

/// Names of files need not be Unicode, and standard error may be closed.
#[cfg(unix)]
#[test]
fn odd_names_and_closed_errors_are_no_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let mut odd = command(folder.path());
    odd.arg("top").arg(OsStr::from_bytes(b"\xff\x1b[2J"));
    let ran = finish(odd);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.err.contains('\x1b'), "{:?}", ran.err);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut silent = command(folder.path());
    silent.args(["top", "missing"]).stderr(writer);
    assert_eq!(finish(silent).code, Some(2));
}
