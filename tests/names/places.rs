//! One source at different places: names tell nothing of where it was built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tracemalloc::{GroupBy, Snapshot};

use crate::{PROGRAM, build, expected, output, run, runner, source, target};

pub(crate) const LIMITED: &str = "debuginfo=limited";
pub(crate) const LINES: &str = "debuginfo=line-tables-only";

/// A copy of the package in a directory of another name.
pub(crate) struct Place {
    /// Where cargo runs.
    pub(crate) directory: PathBuf,
}

impl Place {
    /// As a package alone, in the directory `name`.
    pub(crate) fn alone(name: &str) -> Self {
        let place = Self::new(name);
        copy(&source(), &place.directory, |manifest| manifest);
        place
    }

    /// As a member of a workspace, `member` below its root.
    pub(crate) fn member(name: &str, member: &str) -> Self {
        let place = Self::new(name);
        let directory = &place.directory;
        let mut workspace = String::new();
        copy(&source(), &directory.join(member), |manifest| {
            let (package, profile) = manifest.split_once("[workspace]").expect("a workspace");
            let members = format!("[workspace]\nresolver = \"3\"\nmembers = [\"{member}\"]\n");
            workspace = members + profile;
            package.to_owned()
        });
        fs::write(directory.join("Cargo.toml"), workspace).expect("it is written");
        let lock = source().join("Cargo.lock");
        fs::copy(lock, directory.join("Cargo.lock")).expect("it is copied");
        place
    }

    /// A folder without what an earlier run has left. No two tests have one of the same name.
    pub(crate) fn new(name: &str) -> Self {
        let directory = target().join("places").join(name);
        let _ = fs::remove_dir_all(&directory);
        Self { directory }
    }

    /// The option that has the compiler write `to` for the place.
    pub(crate) fn remapped(&self, to: &str) -> String {
        format!("--remap-path-prefix={}={to}", self.directory.display())
    }
}

/// Copies the sources of the package. `change`: what becomes of its manifest.
fn copy(from: &Path, to: &Path, change: impl FnOnce(String) -> String) {
    copy_folder(from, to);
    let manifest = to.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let library = format!("path = \"{}\"", env!("CARGO_MANIFEST_DIR"));
    let text = text.replace("path = \"../../..\"", &library);
    fs::write(manifest, change(text)).expect("it is written");
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("its type").is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("it is copied")),
        }
    }
}

/// Checks the names of the program that is built at the place.
#[track_caller]
fn check(place: &Place, flags: &[&str]) {
    let program = build(&place.directory, &PROGRAM, flags).expect("it is built");
    assert_eq!(run(&program.path), expected("src/main.rs"), "{flags:?}");
}

/// Member of a workspace, in another directory, under another path. One build: the next test has each of these alone.
#[test]
fn names_tell_nothing_of_the_place() {
    let place = Place::member("few/app", "tools/depot");
    check(&place, &["-C", LINES, &place.remapped("/src")]);
}

#[test]
#[ignore = "builds many programs"]
fn names_tell_nothing_of_any_place() {
    for debug in [LIMITED, LINES] {
        let debug = ["-C", debug];
        for name in [
            "any/head",
            "any/src",
            "any/app",
            "any/depot",
            "usr/src/app",
            "any/depot-1.0.0",
        ] {
            check(&Place::alone(name), &debug);
        }
        for member in ["crates/depot", "src/app", "vendor/depot"] {
            check(&Place::member("any/w", member), &debug);
        }
        for place in [
            Place::alone("any/alone"),
            Place::member("any/members", "depot"),
        ] {
            let incremental = format!("incremental={}/incremental", place.directory.display());
            check(&place, &[&debug[..], &["-C", &incremental]].concat());
            for to in ["/src", "/app", ".", "", "/"] {
                check(&place, &[&debug[..], &[&place.remapped(to)]].concat());
            }
            for scope in ["macro", "diagnostics", "object"] {
                let scope = format!("--remap-path-scope={scope}");
                check(
                    &place,
                    &[&debug[..], &[&place.remapped("/src"), &scope]].concat(),
                );
            }
        }
    }
}

#[test]
#[ignore = "builds many programs"]
fn every_target_of_a_package_has_its_names() {
    for place in [
        Place::alone("targets/alone"),
        Place::member("targets/w", "crates/depot"),
    ] {
        for (kind, own) in [
            (["--example", "demo"], "examples/demo.rs"),
            (["--bench", "bench"], "benches/bench.rs"),
            (["--test", "api"], "tests/api.rs"),
        ] {
            for debug in [LIMITED, LINES] {
                let program = build(&place.directory, &kind, &["-C", debug]).expect("it is built");
                let mut command = runner::command(&program.path);
                if own == "tests/api.rs" {
                    command.arg("--nocapture");
                }
                assert_eq!(output(command), expected(own), "{kind:?}, {debug}");
            }
        }
    }
}

/// The program that is built at the place saves its snapshot.
fn saved(place: &Place, flags: &[&str]) -> PathBuf {
    let kind = [&PROGRAM[..], &["--features", "saved"]].concat();
    let program = build(&place.directory, &kind, flags).expect("it is built");
    let file = place.directory.join("depot.tmsnap.json.gz");
    let mut command = runner::command(&program.path);
    command.env("DEPOT_OUT", &file);
    assert_eq!(output(command), expected("src/main.rs"));
    file
}

#[test]
#[ignore = "builds many programs"]
fn snapshots_of_two_checkouts_are_equal() {
    let base = Place::alone("saved/base");
    let old = saved(&base, &["-C", LIMITED]);
    for head in [
        Place::alone("saved/head"),
        Place::member("saved/w", "tools/depot"),
    ] {
        let new = saved(&head, &["-C", LIMITED]);
        unchanged(&old, &new);
    }
}

/// Checks that a comparison of the saved snapshots has no row, and that the tool sees no growth.
#[track_caller]
pub(crate) fn unchanged(old: &Path, new: &Path) {
    let [before, after] = [old, new].map(|file| Snapshot::load(file).expect("a snapshot"));
    for group in [
        GroupBy::File,
        GroupBy::Line,
        GroupBy::Function,
        GroupBy::Crate,
    ] {
        let rows = after.compare_to(&before, group).expect("they compare");
        let changed = rows
            .iter()
            .filter(|row| (row.size_diff, row.count_diff) != (0, 0));
        let changed: Vec<String> = changed.map(ToString::to_string).collect();
        assert_eq!(changed, [""; 0], "by {group}");
    }
    let mut check = Command::new(env!("CARGO"));
    check
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "run",
            "--quiet",
            "--package",
            "tracemalloc-cli",
            "--bin",
            "tracemalloc",
        ])
        .args(["--", "check", "--per-site", "0", "--base"])
        .args([old, new]);
    let checked = check.output().expect("the tool runs");
    assert!(checked.status.success(), "{checked:?}");
}
