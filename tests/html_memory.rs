//! A page takes memory in proportion to the distinct stacks, not to the blocks. A program of its
//! own, since it measures itself.
#![cfg(feature = "html")]

use std::io;

use tracemalloc::report::Html;
use tracemalloc::{Domain, Frame, Snapshot, Trace, TraceAlloc, Traceback};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Bytes that writing a page takes at one time.
fn taken_for(snapshot: &Snapshot) -> u64 {
    tracemalloc::reset_peak();
    let before = tracemalloc::get_traced_memory().current;
    Html::new().write(snapshot, &mut io::sink()).unwrap();
    tracemalloc::get_traced_memory().peak - before
}

#[test]
fn memory_grows_with_the_stacks_alone() {
    tracemalloc::start(1).unwrap();
    let lines: Vec<Traceback> = (1..=5_000)
        .map(|line| Traceback::of(Frame::new("src/main.rs", line)))
        .collect();
    // No two blocks are alike, so each is a run of its own.
    let blocks = |number: usize, stacks: usize| {
        let traces = (0..number).map(|block| {
            let line = lines[block % stacks].clone();
            Trace::new(Domain::HEAP, block as u64, line)
        });
        Snapshot::from_traces(traces, 1)
    };
    let few = taken_for(&blocks(5_000, 10));
    let many = taken_for(&blocks(50_000, 10));
    assert!(many < few + 16_384, "{few} bytes, then {many}");
    let stacks = taken_for(&blocks(50_000, 5_000));
    assert!(
        stacks > 2 * many,
        "the measure moves: {many}, then {stacks}"
    );
    assert!(stacks < 5_000 * 4096, "{stacks} bytes for 5,000 stacks");
}
