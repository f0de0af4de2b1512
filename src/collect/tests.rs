//! What the engine's sampler leaves out, a snapshot puts back: on average, whatever the sizes.

use std::num::NonZeroU64;

use crate::engine::Sampler;
use crate::snapshot::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};

const PERIOD: NonZeroU64 = NonZeroU64::new(4096).unwrap();
const THREADS: u64 = 4;
/// Turns of each thread, and the number and size of the blocks that it allocates in each.
const TURNS: u64 = 2_000;
const TURN: [(u64, u64); 5] = [(1, 400), (16, 400), (1_000, 40), (100_000, 1), (1 << 12, 9)];

/// What is recorded of the blocks that threads allocate, each size at a line of its own.
fn recorded() -> Snapshot {
    let mut traces = Vec::new();
    for thread in 0..THREADS {
        let mut sampler = Sampler::new(PERIOD, thread);
        for _ in 0..TURNS {
            for (line, (size, times)) in (0..).zip(TURN) {
                let recorded = (0..times).filter(|_| !sampler.skip(size)).count();
                let stack = Traceback::of(Frame::new("a.rs", line));
                let block = Trace::new(Domain::HEAP, size, stack);
                traces.extend(std::iter::repeat_n(block, recorded));
            }
        }
    }
    Snapshot::from_traces(traces, 1).with_sample_every(PERIOD)
}

/// How far the estimate of a number of blocks may be off, which is right on average: further with a
/// probability of 10^-9 at most, by the inequality of Bernstein. A block adds the inverse of its
/// probability to the estimate or nothing.
fn tolerance(size: u64, times: u64) -> f64 {
    let probability = -f64::exp_m1(-(size as f64) / PERIOD.get() as f64);
    let variance = times as f64 * (1.0 - probability) / probability;
    let log = f64::ln(2.0 / 1e-9);
    let shift = log / probability / 3.0;
    shift + (shift * shift + 2.0 * variance * log).sqrt() + 1.0
}

/// Seeds are fixed: a test that has passed once passes for ever.
#[test]
fn estimates_are_right_on_average() {
    let snapshot = recorded();
    let mut tolerated = 0.0;
    let mut allocated = 0;
    for group in snapshot.statistics(GroupBy::Line) {
        let (size, times) = TURN[group.traceback.most_recent().lineno() as usize];
        let times = times * THREADS * TURNS;
        let tolerated_error = tolerance(size, times);
        let off = group.count as f64 - times as f64;
        assert!(
            off.abs() <= tolerated_error,
            "{size} B: {off} of {times} > {tolerated_error}"
        );
        // The limit says something: only the smallest blocks are rare among the records.
        assert!(
            tolerated_error < 0.2 * times as f64 || size == 1,
            "{size} B: {tolerated_error}"
        );
        assert!(group.size.abs_diff(group.count * size) <= size / 2 + 1);
        tolerated += tolerated_error * size as f64;
        allocated += times * size;
    }
    assert_eq!(snapshot.statistics(GroupBy::Line).len(), TURN.len());
    let off = snapshot.total_size() as f64 - allocated as f64;
    assert!(off.abs() <= tolerated, "{off} of {allocated} > {tolerated}");
    // As many as were recorded is not what is estimated.
    assert!((snapshot.traces().unwrap().len() as u64) < snapshot.block_count() / 10);
}
