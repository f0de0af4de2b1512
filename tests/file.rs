//! The saved form: what is written comes back, and nothing that is read can do harm.
#![cfg(feature = "file")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use tracemalloc::{Domain, Error, ErrorKind, Frame, Module, Snapshot, Trace, Traceback};

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/v1-all-fields.tmsnap.json.gz"
);

// Comparing.

type FrameParts<'a> = (
    (&'a str, u32, u32, bool),
    [Option<&'a str>; 3],
    Option<(&'a Module, u64)>,
);

/// All that a frame says; `==` looks at the file and the line only.
fn parts(frame: &Frame) -> FrameParts<'_> {
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
    )
}

#[track_caller]
fn assert_same(found: &Snapshot, expected: &Snapshot) {
    assert_eq!(found.traces(), expected.traces());
    for (found, expected) in found.traces().zip(expected.traces()) {
        let found: Vec<_> = found.traceback.iter().map(parts).collect();
        let expected: Vec<_> = expected.traceback.iter().map(parts).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(found.traceback_limit(), expected.traceback_limit());
    assert_eq!(found.recording(), expected.recording());
    assert_eq!(found.attributes(), expected.attributes());
}

// Making snapshots and files.

fn bytes_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).unwrap();
    bytes
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut content)
        .unwrap();
    content
}

fn read_json(text: &str) -> Result<Snapshot, Error> {
    Snapshot::read_from(&gzip(text.as_bytes())[..])
}

/// A document of which the test changes a part. `serde_json`'s maps sort their keys, which puts
/// `format` after `attributes` and the like, so the two leading fields are written by hand.
fn document(change: Value) -> String {
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

/// A snapshot in which every field of the file has a value.
fn all_fields() -> Snapshot {
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

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

// What is written comes back.

#[test]
fn an_empty_snapshot_comes_back() {
    let snapshot = Snapshot::from_traces([], 7);
    let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
    assert_same(&found, &snapshot);
}

#[test]
fn every_field_comes_back() {
    let snapshot = all_fields();
    // The document above is read as it says, or the comparison below would compare nothing with
    // nothing.
    let first = snapshot.traces().next().unwrap();
    assert_eq!(first.traceback.len(), 3);
    assert_eq!(parts(&first.traceback[0]).0, ("src/main.rs", 3, 9, false));
    let (module, offset) = first.traceback[2].code().unwrap();
    assert_eq!((module.path.as_str(), offset), ("/lib/libc.so.6", u64::MAX));
    assert_eq!(snapshot.recording().losses.replaced, 1);
    assert_eq!(snapshot.recording().process_id, Some(4242));
    assert_eq!(snapshot.blocks(), 26);
    assert!(snapshot.traces().nth(22).unwrap().traceback.is_truncated());

    let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
    assert_same(&found, &snapshot);
}

#[test]
fn frames_that_are_equal_but_not_alike_stay_apart() {
    let place = Frame::new("src/lib.rs", 8);
    let stacks = [
        Traceback::of(place.clone().with_function("a")),
        Traceback::of(place.clone().with_function("b")),
        Traceback::of(place.clone().with_function("a").with_column(2)),
        Traceback::of(place.clone()).with_total_nframe(4),
        Traceback::of(place).truncated(),
    ];
    // Literal traces with equal frames share the first stack, so each is a snapshot of its own.
    for stack in stacks {
        let snapshot = Snapshot::from_traces([Trace::new(Domain(3), 5, stack)], 1);
        let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
        assert_same(&found, &snapshot);
    }
    let both = read_json(&document(json!({
        "strings": ["src/lib.rs", "a", "b"],
        "frames": [{"file": 0, "line": 8, "function": 1}, {"file": 0, "line": 8, "function": 2}],
        "nodes": [[null, 0], [null, 1]],
    })))
    .unwrap();
    let found = Snapshot::read_from(&bytes_of(&both)[..]).unwrap();
    assert_same(&found, &both);
    assert_eq!(
        found.traces().next_back().unwrap().traceback[0].function(),
        Some("b")
    );
}

#[test]
fn a_run_of_many_blocks_costs_one_row() {
    let text = document(json!({"runs": [[0, 0, 64, 1_000_000_000_000_000_u64]]}));
    let snapshot = read_json(&text).unwrap();
    assert_eq!(snapshot.blocks(), 1_000_000_000_000_000);
    let bytes = bytes_of(&snapshot);
    assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
    let found = Snapshot::read_from(&bytes[..]).unwrap();
    assert_eq!(found.total_size(), 64_000_000_000_000_000);
}

#[test]
fn a_shared_caller_is_written_once() {
    let caller = Frame::new("src/only_once.rs", 1);
    let traces = (0..50).map(|line| {
        let frames = [caller.clone(), Frame::new("src/leaf.rs", line)];
        Trace::new(
            Domain::HEAP,
            8,
            Traceback::from_oldest_first(frames).unwrap(),
        )
    });
    let written: Value =
        serde_json::from_slice(&gunzip(&bytes_of(&Snapshot::from_traces(traces, 25)))).unwrap();
    assert_eq!(written["strings"].as_array().unwrap().len(), 2);
    assert_eq!(written["nodes"].as_array().unwrap().len(), 51);
}

#[test]
fn unknown_fields_are_skipped() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let text = document(json!({
        "meta": {"traceback_limit": 25, "weather": [1, {"a": null}]},
        "frames": [{"file": 0, "line": 3, "colour": "red"}, {"file": 0, "line": 9}],
        "later": {"than": serde_json::from_str::<Value>(&deep).unwrap()},
    }));
    assert_eq!(read_json(&text).unwrap().blocks(), 3);
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let text = prop_oneof![Just(String::new()), "[a-c]{1,2}", any::<String>()];
    let optional = || proptest::option::of(prop_oneof![Just("f".to_owned()), any::<String>()]);
    let code = proptest::option::of((any::<String>(), optional(), any::<u64>()));
    (
        (text, any::<u32>(), any::<u32>(), any::<bool>()),
        (optional(), optional(), optional()),
        code,
    )
        .prop_map(
            |((file, line, column, named), (function, name, path), code)| {
                let mut frame = match named {
                    true => Frame::named(file),
                    false => Frame::new(file, line),
                };
                frame = frame.with_column(column);
                if let Some(function) = function {
                    frame = frame.with_function(function);
                }
                if let Some(name) = name {
                    frame = frame.with_crate(name);
                }
                if let Some(path) = path {
                    frame = frame.with_path(path);
                }
                if let Some((path, build_id, offset)) = code {
                    frame = frame.with_code(Arc::new(Module::new(path, build_id)), offset);
                }
                frame
            },
        )
}

/// Stacks that share callers, cut or whole, and blocks of few sizes so that runs form and break.
fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let frames = proptest::collection::vec(any_frame(), 1..6);
    let stack = (
        proptest::collection::vec(any::<prop::sample::Index>(), 1..6),
        proptest::option::of(any::<u32>()),
        any::<bool>(),
    );
    let block = (any::<prop::sample::Index>(), 0..3_u32, 0..4_u64);
    (
        frames,
        proptest::collection::vec(stack, 1..6),
        proptest::collection::vec(block, 0..40),
        any::<u16>(),
        proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3),
    )
        .prop_map(|(frames, stacks, blocks, limit, attributes)| {
            let stacks: Vec<Traceback> = stacks
                .into_iter()
                .map(|(indices, total, cut)| {
                    let frames = indices.iter().map(|index| index.get(&frames).clone());
                    let mut stack = Traceback::from_oldest_first(frames).unwrap();
                    if let Some(total) = total {
                        stack = stack.with_total_nframe(total);
                    }
                    if cut { stack.truncated() } else { stack }
                })
                .collect();
            let traces = blocks.into_iter().map(|(stack, domain, size)| {
                Trace::new(Domain(domain), size, stack.get(&stacks).clone())
            });
            let mut snapshot = Snapshot::from_traces(traces, limit);
            for (name, value) in attributes {
                snapshot.set_attribute(name, value);
            }
            snapshot
        })
}

proptest! {
    #[test]
    fn any_snapshot_comes_back(snapshot in any_snapshot()) {
        let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
        assert_same(&found, &snapshot);
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in any::<Vec<u8>>()) {
        prop_assert!(Snapshot::read_from(&bytes[..]).is_err());
        prop_assert!(Snapshot::read_from(&gzip(&bytes)[..]).is_err());
    }
}

// Files of this version load for ever.

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

// Damaged and foreign files.

#[test]
fn every_truncation_is_an_error() {
    let golden = fs::read(GOLDEN).unwrap();
    for len in 0..golden.len() {
        let error = Snapshot::read_from(&golden[..len]).expect_err("a part is not a snapshot");
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{len} bytes: {error}");
    }
}

/// Some bits of the gzip header mean nothing here (the time, the system), so a few changes leave
/// the snapshot whole.
#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let golden = fs::read(GOLDEN).unwrap();
    let expected = all_fields();
    let mut harmless = 0;
    for bit in 0..golden.len() * 8 {
        let mut damaged = golden.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match Snapshot::read_from(&damaged[..]) {
            Ok(found) => {
                assert_same(&found, &expected);
                harmless += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidFile, "bit {bit}: {error}"),
        }
    }
    assert!(harmless <= 10 * 8, "{harmless} changes went unnoticed");
}

#[track_caller]
fn check_bytes(bytes: &[u8], expected: &str) {
    let error = Snapshot::read_from(bytes).expect_err("not a snapshot");
    assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
    let message = error.to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn foreign_files_are_refused() {
    check_bytes(b"", "end too early");
    check_bytes(b"Dear diary", "gzip");
    check_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "gzip");
    check_bytes(&gzip(b""), "EOF");
    check_bytes(&gzip(b"Dear diary"), "line 1 column 1");
    check_bytes(&gzip(b"[1, 2]"), "an object that starts with");
    check_bytes(&gzip(b"{}"), "`format` is not at its place");
    check_bytes(
        &gzip(br#"{"traceEvents": []}"#),
        "`format` is not at its place",
    );
    check_bytes(
        &gzip(br#"{"format": "pprof", "version": 1}"#),
        "tracemalloc-snapshot",
    );
    check_bytes(
        &gzip(&[b"{\"format\":", &[b'['; 100_000][..]].concat()),
        "invalid type",
    );
}

#[test]
fn what_follows_the_snapshot_is_refused() {
    let golden = fs::read(GOLDEN).unwrap();
    check_bytes(&[&golden[..], b"x"].concat(), "more data follow");
    check_bytes(&[&golden[..], &golden].concat(), "more data follow");
    check_bytes(
        &gzip(&[&gunzip(&golden)[..], b"x"].concat()),
        "trailing characters",
    );
}

#[test]
fn a_newer_version_is_named() {
    // The rest of the file may have any form by then.
    let newer = r#"{"format":"tracemalloc-snapshot","version":2,"runs":"elsewhere"}"#;
    let error = read_json(newer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFile);
    assert!(error.to_string().contains("version 2"), "{error}");
    assert!(error.to_string().contains("version 1"), "{error}");
    check_bytes(
        &gzip(br#"{"format":"tracemalloc-snapshot","version":0}"#),
        "unknown version 0",
    );
}

// Hostile fields.

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
fn sums_are_checked() {
    let most = i64::MAX as u64;
    assert_eq!(
        read_json(&document(json!({"runs": [[0, 0, 1, most]]})))
            .unwrap()
            .blocks(),
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

/// Every prefix of one long chain of calls as a stack: a small file that would expand to the square
/// of its size.
fn staircase(height: u32) -> String {
    let rows: Vec<u32> = (0..height).collect();
    let parent = |row: u32| row.checked_sub(1);
    document(json!({
        "nodes": rows.iter().map(|row| json!([parent(*row), 0])).collect::<Vec<_>>(),
        "stacks": rows.iter().map(|row| json!([row, null, false])).collect::<Vec<_>>(),
        "runs": rows.iter().map(|row| json!([row, 0, 1, 1])).collect::<Vec<_>>(),
    }))
}

#[test]
fn stacks_do_not_expand_without_bound() {
    let snapshot = read_json(&staircase(1_000)).unwrap();
    assert_eq!(
        snapshot.traces().next_back().unwrap().traceback.len(),
        1_000
    );
    check_bytes(
        &gzip(staircase(100_000).as_bytes()),
        "frames together, too many",
    );
    check_bytes(
        &gzip(staircase(140_000).as_bytes()),
        "stack 131072 has 131073 frames",
    );
}

/// A gzip stream of spaces without end. Each piece is a finished block of deflate, so it can follow
/// itself.
struct Bomb {
    piece: Vec<u8>,
    pending: Vec<u8>,
    produced: u64,
}

impl Bomb {
    fn new() -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.flush().unwrap();
        let header = encoder.get_ref().len();
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
        encoder.flush().unwrap();
        let pending = encoder.get_ref().clone();
        Self {
            piece: pending[header..].to_vec(),
            pending,
            produced: 0,
        }
    }
}

impl Read for Bomb {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.pending.is_empty() {
            self.pending = self.piece.clone();
        }
        let len = into.len().min(self.pending.len());
        into[..len].copy_from_slice(&self.pending[..len]);
        self.pending.drain(..len);
        self.produced += len as u64;
        assert!(self.produced < 1 << 18, "the reader did not stop");
        Ok(len)
    }
}

#[test]
fn a_bomb_is_refused_early() {
    let mut bomb = Bomb::new();
    let error = Snapshot::read_from(&mut bomb).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    assert!(
        error.to_string().contains("compressed bytes expand to"),
        "{error}"
    );
    assert!(
        bomb.produced < 32 << 10,
        "{} bytes were read",
        bomb.produced
    );
}

/// A long run of blocks in turn from two places: the most regular file that a program can cause.
#[test]
fn a_regular_snapshot_is_not_taken_for_a_bomb() {
    let stacks = [1, 2].map(|line| Traceback::of(Frame::new("a", line)));
    let traces = (0..2_000_000).map(|index| Trace::new(Domain::HEAP, 8, stacks[index % 2].clone()));
    let bytes = bytes_of(&Snapshot::from_traces(traces, 1));
    let found = Snapshot::read_from(&bytes[..]).unwrap();
    assert_eq!(found.blocks(), 2_000_000, "{} bytes", bytes.len());
}

/// The worst files known run again in a process that has 512 MiB of address space; without a bound
/// they end it.
#[cfg(target_os = "linux")]
#[test]
fn hostile_files_fit_into_512_mib() {
    const CHILD: &str = "TRACEMALLOC_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        stacks_do_not_expand_without_bound();
        a_bomb_is_refused_early();
        a_run_of_many_blocks_costs_one_row();
        every_flipped_bit_is_found_or_harmless();
        // The rows that take the most memory for what they weigh: 50 KB of them.
        let rows = r#"{"file":0,"line":0},"#.repeat(1_000_000);
        let text = document(json!({"frames": "ROWS"}));
        let text = text.replace(r#""ROWS""#, &format!(r#"[{rows}{{"file":0,"line":0}}]"#));
        assert_eq!(read_json(&text).unwrap().blocks(), 3);
        return;
    }
    let status = std::process::Command::new("sh")
        .args([
            "-c",
            r#"ulimit -v 524288 && exec "$0" --exact "$1" --test-threads 1"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .arg("hostile_files_fit_into_512_mib")
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

// Replacing files.

#[test]
fn dump_replaces_and_leaves_nothing_else() {
    let folder = folder("replace");
    let path = folder.join("snapshot.json.gz");
    fs::write(&path, "old").unwrap();
    all_fields().dump(&path).unwrap();
    assert_same(&Snapshot::load(&path).unwrap(), &all_fields());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_dumped_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("mode").join("snapshot.json.gz");
    all_fields().dump(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_planted_link_is_replaced_and_not_followed() {
    let folder = folder("link");
    let (victim, path) = (folder.join("victim"), folder.join("snapshot.json.gz"));
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    all_fields().dump(&path).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(Snapshot::load(&path).is_ok());
}

#[track_caller]
fn check_path(result: Result<(), Error>, path: &Path, kind: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.path(), Some(path));
    assert!(
        error.to_string().starts_with(&path.display().to_string()),
        "{error}"
    );
}

#[test]
fn errors_name_the_path() {
    let folder = folder("errors");
    let missing = folder.join("missing").join("snapshot.json.gz");
    check_path(all_fields().dump(&missing), &missing, ErrorKind::Io);
    check_path(Snapshot::load(&missing).map(drop), &missing, ErrorKind::Io);
    check_path(Snapshot::load(&folder).map(drop), &folder, ErrorKind::Io);
    let nameless = folder.join("..");
    check_path(all_fields().dump(&nameless), &nameless, ErrorKind::Io);
    let text = folder.join("notes.txt");
    fs::write(&text, "Dear diary").unwrap();
    check_path(
        Snapshot::load(&text).map(drop),
        &text,
        ErrorKind::InvalidFile,
    );
}

#[test]
fn a_failed_dump_leaves_the_target_and_no_other_file() {
    let folder = folder("failed");
    let path = folder.join("snapshot.json.gz");
    fs::write(&path, "old").unwrap();
    let mut snapshot = all_fields();
    snapshot.set_attribute("note", "x".repeat((1 << 20) + 1));
    check_path(snapshot.dump(&path), &path, ErrorKind::InvalidFile);
    assert_eq!(fs::read(&path).unwrap(), b"old");

    // A folder in the way lets the writing succeed and the renaming fail.
    let occupied = folder.join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("file"), "").unwrap();
    check_path(all_fields().dump(&occupied), &occupied, ErrorKind::Io);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let error = all_fields().write_to(&mut full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    // A device is written to and stays a device.
    check_path(
        all_fields().dump("/dev/full"),
        Path::new("/dev/full"),
        ErrorKind::Io,
    );
    assert!(!fs::metadata("/dev/full").unwrap().is_file());
}

#[test]
fn nothing_of_the_process_is_in_the_file() {
    let written = String::from_utf8(gunzip(&bytes_of(&all_fields()))).unwrap();
    let argument = std::env::args().next().unwrap();
    assert!(!written.contains(&argument));
    let home = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| argument.clone());
    assert!(!written.contains(&home));
}
