//! Snapshots of different runs and of different builds of one program, compared.

#![cfg(feature = "file")]

mod runner;

mod programs {
    pub(crate) mod run;
}

use std::fs;
use std::path::{Path, PathBuf};

use programs::run::{build, run};
use tracemalloc::{GroupBy, Snapshot, StatisticDiff};

/// The program and its next version, one crate to the compiler.
const OLD: &str = "shop_service";
const NEW: &str = "shop-service";

const EVERY_WAY: [GroupBy; 5] = [
    GroupBy::File,
    GroupBy::Line,
    GroupBy::Function,
    GroupBy::Crate,
    GroupBy::Traceback,
];

/// What a run saved, and the addresses of a function and of a block that it printed.
struct Run {
    snapshot: Snapshot,
    addresses: Vec<String>,
}

/// Runs `program` and reads what it saves under a name of the test's own.
#[track_caller]
fn saved(program: &Path, name: &str) -> Run {
    let file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("versions-{name}.tmsnap.json.gz"));
    let addresses = run(program, &[&file]);
    let addresses = addresses.split_whitespace().map(str::to_owned);
    let snapshot = Snapshot::load(&file).expect("the program saved a snapshot");
    fs::remove_file(&file).expect("it is there");
    // What was compared is not nothing: a block or more for each of a thousand requests.
    assert!(snapshot.block_count() > 2_000 && snapshot.total_size() > 1_000_000);
    Run {
        snapshot,
        addresses: addresses.collect(),
    }
}

fn compared(new: &Run, old: &Run, group_by: GroupBy) -> Vec<StatisticDiff> {
    let compared = new.snapshot.compare_to(&old.snapshot, group_by);
    compared.expect("both leave the runtime's frames out")
}

#[track_caller]
fn check_nothing_changed(new: &Run, old: &Run, group_by: GroupBy) {
    let groups = compared(new, old, group_by);
    assert!(!groups.is_empty(), "no group by {group_by}");
    for group in groups {
        assert_eq!(
            (group.size_diff, group.count_diff),
            (0, 0),
            "by {group_by}: {}: {group}",
            group.traceback.most_recent(),
        );
    }
}

/// Fails if a name of a group holds an address: the system puts a program elsewhere in every run.
#[track_caller]
fn check_two_runs(profile: &str) {
    let program = build(OLD, profile);
    let [first, second] =
        ["first", "second"].map(|name| saved(&program, &format!("{profile}-{name}")));
    // A function and a block, each at another place than before.
    assert_eq!(first.addresses.len(), 2);
    if cfg!(target_os = "linux") {
        for (one, other) in first.addresses.iter().zip(&second.addresses) {
            assert_ne!(
                one, other,
                "the system does not move programs: nothing is tested"
            );
        }
    }
    for group_by in EVERY_WAY {
        check_nothing_changed(&second, &first, group_by);
    }
}

#[test]
fn two_runs_compare_to_zero() {
    check_two_runs("dev");
}

#[test]
fn two_runs_of_an_optimised_build_compare_to_zero() {
    check_two_runs("lines");
}

/// Optimised or not, the same lines of the same functions hold the same. Stacks are left out: what
/// calls is not at the same place in each.
#[test]
fn another_optimisation_level_compares_to_zero() {
    let [debug, optimised] =
        ["dev", "lines"].map(|profile| saved(&build(OLD, profile), &format!("level-{profile}")));
    for group_by in [
        GroupBy::File,
        GroupBy::Line,
        GroupBy::Function,
        GroupBy::Crate,
    ] {
        check_nothing_changed(&optimised, &debug, group_by);
    }
}

/// By function only what was changed differs, although most lines have moved. By line what has moved
/// is gone at its old place and new at the other, and what stands above is as it was.
#[test]
fn of_two_builds_functions_compare_although_lines_have_moved() {
    let [old, new] = [OLD, NEW].map(|version| saved(&build(version, "dev"), version));

    let functions = compared(&new, &old, GroupBy::Function);
    let changed = functions.iter().filter(|group| is_changed(group));
    let changed: Vec<String> = changed.map(|group| group.traceback.to_string()).collect();
    assert_eq!(changed, ["shop_service::write_log"]);
    assert_eq!(functions.len(), 4);

    let lines = compared(&new, &old, GroupBy::Line);
    let at = |version, code| change_at(&lines, version, code);
    let above = at(OLD, "service.sessions.insert");
    assert!(above.size > 0 && !is_changed(above), "{above}");
    for code in ["service.words.entry", "service.pages.push"] {
        let (gone, come) = (at(OLD, code), at(NEW, code));
        assert_eq!((gone.size, gone.count), (0, 0), "{gone}");
        assert!(come.size > 0, "{come}");
        assert_eq!(
            (gone.size_diff, gone.count_diff),
            (-come.size_diff, -come.count_diff)
        );
    }
    // A line is its number: where other code stands now, the two are one group.
    let (before, now) = (at(OLD, "let page = vec!"), at(NEW, "service.log.push"));
    assert_eq!(before, now);
    assert!(now.size > 0 && now.size_diff < 0, "{now}");

    let whole = compared(&new, &old, GroupBy::Crate);
    let growth: i64 = functions.iter().map(|group| group.size_diff).sum();
    assert!(growth > 0);
    assert_eq!((whole.len(), whole[0].size_diff), (1, growth));
}

fn is_changed(group: &StatisticDiff) -> bool {
    (group.size_diff, group.count_diff) != (0, 0)
}

/// The change at the line that holds `code` in a version of the program.
#[track_caller]
fn change_at<'a>(lines: &'a [StatisticDiff], version: &str, code: &str) -> &'a StatisticDiff {
    let source = fs::read_to_string(source(version)).expect("the source is there");
    let at = source.lines().position(|line| line.contains(code));
    let wanted = format!("src/main.rs:{}", at.expect("the code is there") + 1);
    let found = lines
        .iter()
        .find(|group| group.traceback.to_string() == wanted);
    found.unwrap_or_else(|| panic!("nothing at {wanted}: {lines:#?}"))
}

fn source(version: &str) -> PathBuf {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    programs.join(version).join("src/main.rs")
}
