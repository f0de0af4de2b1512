//! Intact files with fields that lie.

use std::num::NonZeroU64;

use serde_json::{Value, json};
use tracemalloc::{ErrorKind, Snapshot, Traceback, View};

use crate::sample::{check_bytes, document, document_2, gzip, read_json};

#[track_caller]
fn check(change: Value, expected: &str) {
    check_bytes(&gzip(document(change).as_bytes()), expected);
}

#[test]
fn the_unchanged_document_is_valid() {
    assert_eq!(read_json(&document(json!({}))).unwrap().total_size(), 144);
}

#[test]
fn indices_are_checked() {
    check(
        json!({"stacks": [[0, null, false], [90, null, false]]}),
        "stack 1 refers to node 90, but there are 2",
    );
    check(
        json!({"runs": [[2, 0, 8, 1]]}),
        "run 0 refers to stack 2, but there are 2",
    );
    check(
        json!({"nodes": [[null, 2]]}),
        "node 0 refers to frame 2, but there are 2",
    );
    check(
        json!({"nodes": [[0, 0]]}),
        "node 0 has the parent 0, which does not come before it",
    );
    check(
        json!({"nodes": [[null, 0], [2, 0], [1, 0]]}),
        "node 1 has the parent 2",
    );
    check(
        json!({"frames": [{"file": 2, "line": 1}]}),
        "frame 0 refers to string 2, but there are 2",
    );
    for field in ["function", "crate", "path"] {
        check(
            json!({"frames": [{"file": 0, "line": 1, field: 7}]}),
            "frame 0 refers to string 7",
        );
    }
    check(
        json!({"frames": [{"file": 0, "line": 1, "code": [1, "0x0"]}]}),
        "frame 0 refers to module 1, but there are 1",
    );
    check(
        json!({"stacks": [[4_294_967_296_u64, null, false]]}),
        "invalid value",
    );
    check(json!({"stacks": [[-1, null, false]]}), "invalid value");
}

#[test]
fn forms_are_checked() {
    check(
        json!({"stacks": [[null, null, false]]}),
        "invalid type: null",
    );
    check(json!({"stacks": [[]]}), "invalid length");
    check(json!({"nodes": [[null, 0, 5]]}), "at line 1 column");
    check(json!({"runs": 5}), "invalid type: integer `5`");
    check(json!({"meta": {}}), "missing field `traceback_limit`");
    check(json!({"meta": {"traceback_limit": 65_536}}), "65536");
    check(
        json!({"frames": [{"file": 0, "line": 5, "named": true}]}),
        "frame 0 is named, so it has no line, but says line 5",
    );
    for offset in ["", "12", "0x", "0xg", "0x+1", "0x10000000000000000"] {
        check(
            json!({"frames": [{"file": 0, "line": 1, "code": [0, offset]}]}),
            &format!("{offset:?} is not an offset"),
        );
    }
}

#[test]
fn the_sampling_period_is_checked() {
    let meta = |period: Value| json!({"meta": {"traceback_limit": 25, "sample_every": period}});
    let read = |period: Value| read_json(&document(meta(period))).unwrap();
    for bytes in [1, 512 << 10, u64::MAX] {
        assert_eq!(read(json!(bytes)).sample_every(), NonZeroU64::new(bytes));
    }
    // No period is too long to be counted with: one block of 1 byte stands for 2^64.
    let mut rare = meta(json!(u64::MAX));
    rare["runs"] = json!([[0, 0, 1, 1]]);
    let rare = read_json(&document(rare)).unwrap();
    assert_eq!(
        (rare.block_count(), rare.total_size()),
        (u64::MAX, u64::MAX)
    );
    assert_eq!(read(Value::Null).sample_every(), None);

    let zero = "invalid value: integer `0`, expected a nonzero u64";
    check(meta(json!(0)), zero);
    check(meta(json!(-1)), "invalid value: integer `-1`");
    check(meta(json!(0.5)), "invalid type: floating point");
    check(meta(json!(2e19)), "invalid type: floating point");
    check(meta(json!("512 KiB")), "invalid type: string");
    let huge = document(meta(json!(77))).replace("77", "18446744073709551616");
    check_bytes(&gzip(huge.as_bytes()), "invalid type: floating point");
}

#[test]
fn sums_are_checked() {
    let max = i64::MAX as u64;
    assert_eq!(
        read_json(&document(json!({"runs": [[0, 0, 1, max]]})))
            .unwrap()
            .block_count(),
        max
    );
    check(
        json!({"runs": [[0, 0, 0, max], [1, 0, 0, 1]]}),
        "the blocks up to run 1",
    );
    check(
        json!({"runs": [[0, 0, 0, u64::MAX]]}),
        "the blocks up to run 0",
    );
    check(
        json!({"runs": [[0, 0, u64::MAX, 2]]}),
        "the bytes up to run 0",
    );
    check(
        json!({"runs": [[0, 0, u64::MAX, 1], [1, 0, 1, 1]]}),
        "the bytes up to run 1",
    );
}

#[test]
fn long_texts_are_refused_by_reader_and_writer() {
    let long = "é".repeat(1 << 19) + "!";
    check(
        json!({"strings": ["src/main.rs", long]}),
        "string 1 is 1048577 bytes long",
    );
    check(
        json!({"modules": [{"path": long}]}),
        "a module's path is 1048577 bytes long",
    );
    check(
        json!({"meta": {"traceback_limit": 1, "attributes": {"note": long}}}),
        "an attribute is 1048577 bytes long",
    );
    let mut snapshot = Snapshot::from_traces([], 1);
    snapshot.set_attribute("note", long);
    let error = snapshot.write_to(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
}

#[track_caller]
fn check_2(change: Value, expected: &str) {
    let text = document_2(change);
    check_bytes(&gzip(text.as_bytes()), expected);
}

/// Fields that version 2 adds are checked, also where this version does not show them.
#[test]
fn what_is_beside_the_tables_is_checked() {
    check_2(
        json!({"stack_types": [0]}),
        "`stack_types` has 1 entries, but there are 2 stacks",
    );
    check_2(
        json!({"stack_types": [null, 2]}),
        "the type of stack 1 refers to string 2, but there are 2",
    );
    check_2(
        json!({"stack_trims": [[0, 0]]}),
        "`stack_trims` has 1 entries",
    );
    check_2(json!({"stack_trims": [[0, 1], [0, 0]]}), "none is left");
    check_2(
        json!({"stack_trims": [[0, 0], [u32::MAX, 1]]}),
        "none is left",
    );
    check_2(
        json!({"stack_tags": [0]}),
        "`stack_tags` has 1 entries, but there are 2 stacks",
    );
    check_2(
        json!({"stack_tags": [0, 9]}),
        "the tag of stack 1 refers to string 9",
    );
    check_2(
        json!({"stack_threads": [2, null]}),
        "the thread of stack 0 refers to string 2",
    );
    let view = |view: Value| json!({"views": {"at_peak": view}});
    check_2(view(json!({"sums": [[2, 0, 8, 1]]})), "refers to stack 2");
    check_2(
        view(json!({"sums": [[0, 0, u64::MAX, 1], [1, 0, 1, 1]]})),
        "sum 1 of the view \"at_peak\" are more than can be counted",
    );
    for (list, entries) in [
        ("lifetimes", json!([1, 2])),
        ("reallocations", json!([[1, 2], [3, 4]])),
        ("highest", json!([[1, 2], [3, 4]])),
    ] {
        check_2(
            view(json!({"sums": [[0, 0, 8, 1]], list: entries})),
            &format!("`{list}` has 2 entries"),
        );
    }
    check_2(
        view(json!({"sums": [[0, 0, 8, 1], [1, 0, 8, 0]]})),
        "sum 1 of the view \"at_peak\" has bytes but no blocks",
    );
    let max = i64::MAX;
    check_2(
        view(json!({"sums": [[0, 0, 8, max], [1, 0, 8, 1]]})),
        "sum 1 of the view \"at_peak\" are more than can be counted",
    );
    check_2(
        view(json!({"sums": []})),
        "`views` has no \"allocated\", but others of the history",
    );
    let views = |at_peak: Value| {
        let allocated = json!({"sums": [[1, 0, 64, 2]]});
        json!({"views": {
            "at_peak": at_peak, "temporary": {"sums": []}, "allocated": allocated,
        }})
    };
    check_2(
        views(json!({"sums": [[1, 0, 8, 1], [1, 3, 8, 1]]})),
        "sum 1 of the view \"at_peak\" is of stack 1 and domain 3, which \"allocated\" lacks",
    );
}

/// Sums of one stack may stand in several rows, as those of several tags do.
#[test]
fn views_of_a_file_are_views_of_the_snapshot() {
    let snapshot = read_json(&document_2(json!({"views": {
        "allocated": {
            "sums": [[1, 0, 100, 9], [1, 0, 7, 1], [0, 3, 5, 1]],
            "lifetimes": [3, 4, 5],
        },
        "at_peak": {"sums": [[1, 0, 64, 2], [0, 3, 5, 1], [1, 0, 6, 1]]},
        "temporary": {"sums": []},
    }})))
    .unwrap();
    let sums = |view: View| {
        let view = snapshot.view(view).unwrap();
        (view.total_size(), view.block_count())
    };
    assert_eq!(sums(View::AtPeak), (75, 4));
    assert_eq!(sums(View::Allocated), (112, 11));
    assert_eq!(sums(View::Temporary), (0, 0));
    assert_eq!(sums(View::Live), (144, 3));
}

#[test]
fn everything_beside_the_tables_may_be_there() {
    let text = document_2(json!({
        "stack_types": [0, null],
        "stack_trims": [[0, 0], [1, 0]],
        "stack_tags": [null, 1],
        "stack_threads": [0, null],
        "views": {
            "at_peak": {"sums": [[0, 0, 64, 2]], "lifetimes": [5]},
            "allocated": {"sums": [[0, 0, 64, 2]]},
            "temporary": {"sums": []},
            "of_a_later_version": {"sums": [], "more": true},
        },
    }));
    let snapshot = read_json(&text).unwrap();
    let stacks: Vec<Traceback> = snapshot
        .traces()
        .unwrap()
        .map(|trace| trace.traceback)
        .collect();
    assert_eq!(stacks[0].type_name(), Some("src/main.rs"));
    let labels = [0, 2].map(|block| (stacks[block].tag(), stacks[block].thread_name()));
    assert_eq!(
        labels,
        [(None, Some("src/main.rs")), (Some("app::main"), None)]
    );
    // The runtime's frames are not shown.
    assert_eq!(stacks[2].to_string(), "src/main.rs:9");
    assert_eq!(stacks[2].len(), 1);
}

#[test]
fn a_frame_without_a_name_is_a_place_in_machine_code() {
    let snapshot = read_json(&document_2(json!({
        "frames": [{"code": [0, "0x11d7"]}, {"file": 0, "line": 9}],
    })))
    .unwrap();
    let frame = snapshot.traces().unwrap().get(0).unwrap().traceback[0].clone();
    assert_eq!(
        (frame.to_string().as_str(), frame.is_unnamed()),
        ("app+0x11d7", true)
    );
    let change = |frame: Value| json!({"frames": [frame, {"file": 0, "line": 9}]});
    check_2(
        change(json!({})),
        "frame 0 has neither a file nor a place in machine code",
    );
    check_2(change(json!({"file": 0})), "frame 0 has a file but no line");
    check_2(
        change(json!({"code": [0, "0x1"], "function": 1})),
        "nothing but its place in machine code can be known",
    );
    check_2(change(json!({"code": [1, "0x1"]})), "refers to module 1");
    check_2(
        change(json!({"file": 0, "line": 1, "path": 0, "written": 12})),
        "the path of frame 0 has no part that begins at byte 12",
    );
    check_2(
        change(json!({"file": 0, "line": 1, "origin": "mine"})),
        "unknown variant `mine`",
    );
}
