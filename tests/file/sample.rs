//! Snapshots and documents to test with, and ways to compare them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroU64;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tracemalloc::{
    Domain, Error, ErrorKind, Frame, FrameOrigin, Module, Snapshot, StackHistory, Trace, Traceback,
};

pub(crate) const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/v1-all-fields.tmsnap.json.gz"
);

pub(crate) const GOLDEN_2: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/v2-all-fields.tmsnap.json.gz"
);

pub(crate) const SAMPLED_GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/v1-sampled.tmsnap.json.gz"
);

pub(crate) type FrameParts<'a> = (
    (&'a str, u32, u32, bool),
    [Option<&'a str>; 3],
    Option<(&'a Module, u64)>,
    (Option<FrameOrigin>, bool),
);

/// All that a frame says; `==` looks at the file and the line only.
pub(crate) fn parts(frame: &Frame) -> FrameParts<'_> {
    (
        (
            frame.filename(),
            frame.lineno(),
            frame.column(),
            frame.is_named(),
        ),
        [frame.function(), frame.crate_name(), frame.path()],
        frame
            .code()
            .map(|(module, offset)| (module.as_ref(), offset)),
        (frame.origin(), frame.is_unnamed()),
    )
}

#[track_caller]
pub(crate) fn assert_same(found: &Snapshot, expected: &Snapshot) {
    assert_eq!(found.traces().unwrap(), expected.traces().unwrap());
    for (found, expected) in found.traces().unwrap().zip(expected.traces().unwrap()) {
        let found: Vec<_> = found.traceback.iter().map(parts).collect();
        let expected: Vec<_> = expected.traceback.iter().map(parts).collect();
        assert_eq!(found, expected);
    }
    let types = |snapshot: &Snapshot| -> Vec<Option<String>> {
        let types = snapshot.traces().unwrap();
        types
            .map(|trace| trace.traceback.type_name().map(str::to_owned))
            .collect()
    };
    assert_eq!(types(found), types(expected));
    assert_eq!(found.traceback_limit(), expected.traceback_limit());
    assert_eq!(found.sample_every(), expected.sample_every());
    assert_eq!(found.recording(), expected.recording());
    assert_eq!(found.attributes(), expected.attributes());
    assert_eq!(history(found), history(expected));
}

/// In an order of its own, since that of the file is not specified.
fn history(snapshot: &Snapshot) -> Option<Vec<(Traceback, Domain, StackHistory)>> {
    let rows = snapshot.history()?;
    let mut rows: Vec<_> = rows
        .map(|(stack, domain, totals)| (stack.clone(), domain, *totals))
        .collect();
    rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    Some(rows)
}

pub(crate) fn bytes_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).unwrap();
    bytes
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut content)
        .unwrap();
    content
}

pub(crate) fn read_json(text: &str) -> Result<Snapshot, Error> {
    Snapshot::read_from(&gzip(text.as_bytes())[..])
}

/// A document for a test to change. `serde_json`'s maps sort their keys, which puts
/// `format` after `attributes` and the like, so the two leading fields are written by hand.
pub(crate) fn document(change: Value) -> String {
    let mut fields = BTreeMap::from([
        ("meta", json!({"traceback_limit": 25})),
        ("modules", json!([{"path": "/bin/app"}])),
        ("strings", json!(["src/main.rs", "app::main"])),
        (
            "frames",
            json!([{"file": 0, "line": 3, "function": 1}, {"file": 0, "line": 9}]),
        ),
        ("nodes", json!([[null, 0], [0, 1]])),
        ("stacks", json!([[0, null, false], [1, null, false]])),
        ("runs", json!([[0, 0, 64, 2], [1, 0, 16, 1]])),
    ]);
    for (name, value) in change.as_object().unwrap() {
        fields.insert(name, value.clone());
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name:?}:{value}"))
        .collect();
    let fields = fields.join(",");
    format!(r#"{{"format":"tracemalloc-snapshot","version":1,{fields}}}"#)
}

/// A document of version 2 for a test to change, as [`document`].
pub(crate) fn document_2(change: Value) -> String {
    document(change).replace(r#""version":1"#, r#""version":2"#)
}

/// A snapshot in which every field that this version writes has a value.
pub(crate) fn all_fields_2() -> Snapshot {
    read_json(&document_2(json!({
        "meta": {
            "traceback_limit": 25, "taken_at": 1_800_000_000_u64, "process_id": 4242,
            "program": "app", "resident_memory": 9_007_199_254_740_993_u64,
            "allocator_memory": 8_192_000,
            "current": 4_800, "peak": 9_600, "tracer_memory": 1_048_576, "runtime_frames": false,
            "losses": {"blocks": 3, "stacks": 2, "replaced": 1, "incomplete_stacks": 5},
            "attributes": {"label": "after warm-up"}, "sample_every": 524_288,
        },
        "modules": [{"path": "/usr/bin/app", "build_id": "9f86d081884c7d65"}],
        "strings": ["src/main.rs", "app::main", "app", "serde/de.rs", "<std>/vec.rs",
            "alloc::vec::Vec<app::Row>"],
        "frames": [
            {"file": 0, "line": 3, "column": 9, "function": 1, "crate": 2, "path": 0,
                "code": [0, "0x11d7"], "origin": "own"},
            {"file": 3, "line": 40, "origin": "dependency"},
            {"file": 4, "line": 9, "origin": "standard"},
            {"code": [0, "0x2a40"]},
            {"code": [0, "0x2b00"], "origin": "dependency"},
        ],
        "nodes": [[null, 0], [0, 1], [1, 2], [0, 3], [3, 4]],
        "stacks": [[2, 9, false], [4, null, true], [0, 1, false]],
        "stack_types": [5, null, null], "stack_tags": [2, null, 0], "stack_threads": [null, 2, 1],
        "runs": [[0, 0, 64, 20], [1, 7, 24, 1], [2, 0, 0, 3]],
    })))
    .unwrap()
}

/// A snapshot in which every field of version 1 has a value.
pub(crate) fn all_fields() -> Snapshot {
    // Only the engine records, so the recording comes from a document.
    let mut recorded = read_json(&document(json!({
        "meta": {
            "traceback_limit": 25, "taken_at": 1_700_000_000_u64, "process_id": 4242,
            "current": 4_800, "peak": 9_600, "tracer_memory": 1_048_576, "runtime_frames": true,
            "losses": {"blocks": 3, "stacks": 2, "replaced": 1},
            "attributes": {"label": "after warm-up", "unit": "größe ≥ 1"},
        },
        "modules": [
            {"path": "/usr/bin/app", "build_id": "9f86d081884c7d65"},
            {"path": "/lib/libc.so.6"},
        ],
        "strings": ["src/main.rs", "app::main", "app", "/home/user/app/src/main.rs",
            "malloc", "de.rs"],
        "frames": [
            {"file": 0, "line": 3, "column": 9, "function": 1, "crate": 2, "path": 3,
                "code": [0, "0x11d7"]},
            {"file": 4, "line": 0, "named": true, "code": [1, "0xffffffffffffffff"]},
            {"file": 5, "line": 40, "column": 1},
        ],
        "nodes": [[null, 0], [0, 2], [1, 1], [null, 1]],
        "stacks": [[2, null, false], [1, 90, false], [3, null, true], [0, null, false]],
        "runs": [[0, 0, 64, 20], [1, 7, 9_007_199_254_740_993_u64, 1], [0, 0, 64, 1],
            [2, 0, 0, 3], [3, 4_294_967_295_u64, 1, 1]],
    })))
    .unwrap();
    recorded.set_attribute("empty", "");
    recorded
}

/// A sample of one record per 512 KiB.
pub(crate) fn sampled() -> Snapshot {
    let at = |line| Traceback::of(Frame::new("src/main.rs", line).with_function("app::main"));
    let blocks = [
        (Domain::HEAP, 48, 3),
        (Domain::HEAP, 48, 3),
        (Domain::HEAP, 1 << 30, 4),
        (Domain(7), 4_096, 5),
    ];
    let traces = blocks.map(|(domain, size, line)| Trace::new(domain, size, at(line)));
    let period = NonZeroU64::new(512 << 10).unwrap();
    Snapshot::from_traces(traces, 25).with_sample_every(period)
}

#[track_caller]
pub(crate) fn check_bytes(bytes: &[u8], expected: &str) {
    let error = Snapshot::read_from(bytes).expect_err("not a snapshot");
    assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
    let message = error.to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}
