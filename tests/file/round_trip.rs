//! What is written comes back.

use std::num::NonZeroU64;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tracemalloc::{
    BlockSum, Domain, ErrorKind, Filter, Frame, Module, Snapshot, StackHistory, Trace, Traceback,
    View,
};

use crate::sample::{all_fields, assert_same, bytes_of, document, gunzip, gzip, parts, read_json};

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
    let first = snapshot.traces().unwrap().next().unwrap();
    assert_eq!(first.traceback.len(), 3);
    assert_eq!(parts(&first.traceback[0]).0, ("src/main.rs", 3, 9, false));
    let (module, offset) = first.traceback[2].code().unwrap();
    assert_eq!((module.path.as_str(), offset), ("/lib/libc.so.6", u64::MAX));
    assert_eq!(snapshot.recording().losses.replaced, 1);
    assert_eq!(snapshot.recording().process_id, Some(4242));
    assert_eq!(snapshot.block_count(), 26);
    assert!(
        snapshot
            .traces()
            .unwrap()
            .nth(22)
            .unwrap()
            .traceback
            .is_truncated()
    );

    let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
    assert_same(&found, &snapshot);
}

/// The golden file is older than history.
#[test]
fn history_comes_back() {
    let sum = BlockSum::new;
    let mut read = StackHistory::default();
    read.at_peak = sum(9_007_199_254_740_993, 3);
    read.highest = sum(11, 5);
    read.allocated = sum(u64::MAX - 10, 1 << 40);
    read.temporary = sum(7, 2);
    read.reallocations = 6;
    read.bytes_copied = u64::MAX;
    read.lifetime = 8;
    let mut log = StackHistory::default();
    log.allocated = sum(5, 1);
    let line = |line| Traceback::of(Frame::new("src/main.rs", line));
    let live = [Trace::new(Domain::HEAP, 5, line(3))];
    for rows in [
        vec![
            (line(1), Domain::HEAP, read),
            (line(1), Domain(7), log),
            (line(3), Domain::HEAP, log),
        ],
        vec![(line(2), Domain::HEAP, StackHistory::default())],
        Vec::new(),
    ] {
        let snapshot = Snapshot::from_traces(live.clone(), 7).with_history(rows);
        let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
        assert_same(&found, &snapshot);
        assert!(found.has_history());
    }
}

#[test]
fn history_that_no_reader_accepts_is_not_saved() {
    let mut all = StackHistory::default();
    all.allocated = BlockSum::new(u64::MAX, 1);
    let row = (Traceback::unknown(), Domain::HEAP, all);
    let snapshot = Snapshot::from_traces([], 7).with_history([row.clone(), row]);
    let error = snapshot.write_to(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
}

#[test]
fn a_view_is_not_saved_as_if_it_were_live() {
    let snapshot = Snapshot::from_traces([], 7).with_history([]);
    let peak = snapshot.view(View::AtPeak).unwrap();
    let error = peak.write_to(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSingleBlocks);
}

/// The golden file is older than this count.
#[test]
fn stacks_that_ended_early_come_back() {
    let meta = json!({"traceback_limit": 25, "losses": {"ended": 4}});
    let snapshot = read_json(&document(json!({"meta": meta}))).unwrap();
    assert_eq!(snapshot.recording().losses.incomplete_stacks, 4);
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
        Traceback::of(place).with_truncated(),
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
        found.traces().unwrap().next_back().unwrap().traceback[0].function(),
        Some("b")
    );
}

#[test]
pub(crate) fn a_run_of_many_blocks_costs_one_row() {
    let text = document(json!({"runs": [[0, 0, 64, 1_000_000_000_000_000_u64]]}));
    let snapshot = read_json(&text).unwrap();
    assert_eq!(snapshot.block_count(), 1_000_000_000_000_000);
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

/// The stacks of blocks that a filter dropped may say what the filter was to hide.
#[test]
fn only_stacks_of_blocks_are_written_and_each_once() {
    let at = |file: &str| Trace::new(Domain::HEAP, 8, Traceback::of(Frame::new(file, 1)));
    let traces = ["secret.rs", "a.rs", "b.rs", "a.rs", "b.rs"].map(at);
    let snapshot = Snapshot::from_traces(traces, 1).filter_traces([Filter::exclude("secret*")]);
    let written: Value = serde_json::from_slice(&gunzip(&bytes_of(&snapshot))).unwrap();
    assert_eq!(written["strings"], json!(["a.rs", "b.rs"]));
    assert_eq!(written["stacks"].as_array().unwrap().len(), 2);
    let found = Snapshot::read_from(&bytes_of(&snapshot)[..]).unwrap();
    assert_same(&found, &snapshot);
}

#[test]
fn unknown_fields_are_skipped() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let text = document(json!({
        "meta": {"traceback_limit": 25, "weather": [1, {"a": null}]},
        "frames": [{"file": 0, "line": 3, "color": "red"}, {"file": 0, "line": 9}],
        "later": {"than": serde_json::from_str::<Value>(&deep).unwrap()},
    }));
    assert_eq!(read_json(&text).unwrap().block_count(), 3);
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
        proptest::option::of(any::<NonZeroU64>()),
        proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3),
    )
        .prop_map(
            |(frames, stacks, blocks, limit, sample_every, attributes)| {
                let stacks: Vec<Traceback> = stacks
                    .into_iter()
                    .map(|(indices, total, cut)| {
                        let frames = indices.iter().map(|index| index.get(&frames).clone());
                        let mut stack = Traceback::from_oldest_first(frames).unwrap();
                        if let Some(total) = total {
                            stack = stack.with_total_nframe(total);
                        }
                        if cut { stack.with_truncated() } else { stack }
                    })
                    .collect();
                let traces = blocks.into_iter().map(|(stack, domain, size)| {
                    Trace::new(Domain(domain), size, stack.get(&stacks).clone())
                });
                let mut snapshot = Snapshot::from_traces(traces, limit);
                if let Some(bytes) = sample_every {
                    snapshot = snapshot.with_sample_every(bytes);
                }
                for (name, value) in attributes {
                    snapshot.set_attribute(name, value);
                }
                snapshot
            },
        )
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
