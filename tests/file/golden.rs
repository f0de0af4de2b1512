//! Files of this version load for ever.

use std::fs;

use serde_json::Value;
use tracemalloc::{Frame, Snapshot};

use crate::sample::{GOLDEN, all_fields, assert_same, bytes_of, gunzip, read_json};

#[test]
fn the_golden_file_loads() {
    if std::env::var_os("TRACEMALLOC_BLESS").is_some() {
        fs::write(GOLDEN, bytes_of(&all_fields())).unwrap();
    }
    assert_same(&Snapshot::load(GOLDEN).unwrap(), &all_fields());
}

#[test]
fn the_documented_example_loads() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FORMAT.md")).unwrap();
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let snapshot = read_json(example).unwrap();

    let shown: Vec<String> = snapshot
        .traces()
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
