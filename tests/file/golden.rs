//! Files of this version and of older ones load for ever.

use std::fs;

use serde_json::Value;
use tracemalloc::{Frame, GroupBy, Snapshot};

use crate::sample::{
    GOLDEN, GOLDEN_2, SAMPLED_GOLDEN, all_fields, all_fields_2, assert_same, bytes_of, gunzip,
    read_json, sampled,
};

/// A file of this version. Those of older ones are never written again.
#[track_caller]
fn check_golden(path: &str, expected: &Snapshot) {
    if std::env::var_os("TRACEMALLOC_BLESS").is_some() {
        fs::write(path, bytes_of(expected)).unwrap();
    }
    assert_same(&Snapshot::load(path).unwrap(), expected);
}

/// It is older than sampling and says nothing of it: every allocation was recorded.
#[test]
fn the_golden_file_of_version_1_loads() {
    let (found, header) = Snapshot::load_with_header(GOLDEN).unwrap();
    assert_same(&found, &all_fields());
    assert_eq!((found.sample_every(), header.version), (None, 1));
    assert_eq!(found.recording().program, None);
}

#[test]
fn the_golden_file_of_version_2_loads() {
    check_golden(GOLDEN_2, &all_fields_2());
    let (_, header) = Snapshot::load_with_header(GOLDEN_2).unwrap();
    assert_eq!(header.version, 2);
}

/// The numbers, and not only the blocks, are the same for ever and on every machine.
#[test]
fn the_golden_file_of_a_sample_loads() {
    assert_same(&Snapshot::load(SAMPLED_GOLDEN).unwrap(), &sampled());
    let lines = Snapshot::load(SAMPLED_GOLDEN)
        .unwrap()
        .statistics(GroupBy::Line);
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "src/main.rs:4: size=1024 MiB, count=1, average=1024 MiB",
            "src/main.rs:3: size=1024 KiB, count=21846, average=48 B",
            "src/main.rs:5: size=4096 B, count=1, average=4096 B",
        ]
    );
}

#[test]
fn the_documented_example_loads() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FORMAT.md")).unwrap();
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let snapshot = read_json(example).unwrap();

    let shown: Vec<String> = snapshot
        .traces()
        .unwrap()
        .map(|trace| {
            let stack: Vec<String> = trace.traceback.iter().map(Frame::to_string).collect();
            format!("{} B {}", trace.size, stack.join(" > "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "640 B src/main.rs:12 > src/parse.rs:40",
            "640 B src/main.rs:12 > src/parse.rs:40",
            "24 B src/main.rs:12",
        ]
    );
    assert_eq!(snapshot.recording().current, snapshot.total_size());
    // It also says what this version writes: nothing is missing and nothing is called otherwise.
    let written: Value = serde_json::from_slice(&gunzip(&bytes_of(&snapshot))).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(example).unwrap());
}
