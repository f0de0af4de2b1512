//! Whole outputs.

use std::fs;
use std::path::Path;

use crate::folder::{folder, line};
use crate::tool::run;

/// Name of the file, exit code, command line.
const RUNS: [(&str, i32, &str); 39] = [
    ("top", 0, "top @new"),
    ("top-blocks", 0, "top @new --by function --sort blocks -n 3"),
    ("top-inclusive", 0, "top @new --by crate --inclusive"),
    ("top-stack", 0, "top @new --by traceback --limit 1"),
    (
        "top-filtered",
        0,
        "top @new --filter src/* --exclude *cache.rs --all-frames",
    ),
    ("top-domain", 0, "top @all --domain 7"),
    ("top-by-tag", 0, "top @tagged --by tag"),
    ("top-by-thread", 0, "top @tagged --by thread"),
    ("top-in-tag", 0, "top @tagged --tag GET* --no-source"),
    ("top-all-fields", 0, "top @all --limit all"),
    ("top-sampled", 0, "top @sampled"),
    ("top-empty", 0, "top @empty"),
    ("top-at-peak", 0, "top @history --at-peak -n 3"),
    ("top-allocated", 0, "top @history --allocated --by crate"),
    (
        "tree-temporary",
        0,
        "tree @history --temporary --by function",
    ),
    ("diff-at-peak", 0, "diff @history @history --at-peak"),
    ("stats-at-peak", 0, "stats @history --at-peak"),
    ("trend", 0, "trend @s1 @s2 @s3 @s4 @s5 @s6 @s7 @s8 -n 3"),
    ("trend-memory", 0, "trend @m1 @m2 @m3 @m4 @m5 @m6 @m7 @m8"),
    ("trend-short", 0, "trend @s1 @s2 --by function"),
    (
        "check-at-peak",
        1,
        "check @history --at-peak --max-live 100KiB -n 1",
    ),
    ("diff", 0, "diff @old @new"),
    ("diff-growth", 0, "diff @new @old --sort growth -n 2"),
    (
        "diff-inclusive",
        0,
        "diff @old @new --inclusive --by function -n 3",
    ),
    ("tree", 0, "tree @new"),
    ("tree-inverted", 0, "tree @new --inverted --by function"),
    (
        "tree-blocks",
        0,
        "tree @new --weight blocks --threshold 20 --depth 3",
    ),
    ("tree-all-fields", 0, "tree @all --threshold 0"),
    ("list", 0, "list . @new -n 3"),
    ("list-nothing", 0, "list nowhere @new"),
    ("stats", 0, "stats @new"),
    ("stats-all-fields", 0, "stats @all"),
    ("stats-sampled", 0, "stats @sampled -n 0"),
    ("info-all-fields", 0, "info @all"),
    ("info-sampled", 0, "info @sampled"),
    (
        "check-passed",
        0,
        "check @new --base @old --max-live 1MiB --max-growth 20%",
    ),
    (
        "check-failed",
        1,
        "check @new --base @old --max-live 1MiB --max-growth 5% --per-site 1KiB",
    ),
    (
        "check-live",
        1,
        "check @new --max-live 100KiB --by crate -n 2",
    ),
    (
        "check-failed.md",
        1,
        "check @new --base @old --max-growth 5% --per-site 1KiB --format markdown",
    ),
];

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let name = if name.contains('.') {
        name.to_owned()
    } else {
        format!("{name}.txt")
    };
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn outputs_are_as_they_were() {
    let folder = folder();
    let bless = std::env::var_os("TRACEMALLOC_BLESS").is_some();
    for (name, code, text) in RUNS {
        let ran = run(folder.path(), &line(text));
        assert_eq!((ran.code, ran.err.as_str()), (Some(code), ""), "{text}");
        let found = ran.text();
        // A failed check names its sites in full.
        if !name.starts_with("check-failed") {
            check_fits(&found);
            let blank = found.lines().find(|line| line.ends_with(' '));
            assert_eq!(blank, None, "spaces at the end: {text}");
        }
        let path = golden(name);
        if bless {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(found, expected.replace("\r\n", "\n"), "{name}: {text}");
    }
}

#[track_caller]
pub(crate) fn check_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?} is too wide");
    }
}
