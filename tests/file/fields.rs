//! Intact files with fields that lie.

use std::num::NonZeroU64;

use serde_json::{Value, json};
use tracemalloc::{ErrorKind, Snapshot};

use crate::sample::{check_bytes, document, gzip, read_json};

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
    let most = i64::MAX as u64;
    assert_eq!(
        read_json(&document(json!({"runs": [[0, 0, 1, most]]})))
            .unwrap()
            .block_count(),
        most
    );
    check(
        json!({"runs": [[0, 0, 0, most], [1, 0, 0, 1]]}),
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
