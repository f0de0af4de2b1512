//! Sampling: what is not recorded is put back by the estimates, on average.
//!
//! Seeds differ from run to run. The limits are those of Bernstein's inequality for an error of
//! 10^-9: with about 20 checks, a right sampler fails once in fifty million runs.

use std::hint::black_box;
use std::num::NonZeroU64;

use tracemalloc::{Config, GroupBy, Snapshot};

use crate::cases;

cases![
    estimates_agree_with_an_exact_trace,
    a_session_that_samples_passes_the_audit,
    blocks_that_were_passed_by_may_grow_shrink_and_go,
    each_thread_samples_for_itself,
    an_exact_session_after_a_sampled_one_is_exact,
    the_period_comes_from_the_environment
        with &[("TRACEMALLOC", "5"), ("TRACEMALLOC_SAMPLE", "65536")],
];

const PERIOD: u64 = 16 << 10;

fn start_sampling() {
    Config::new()
        .frames(5)
        .sample_every(PERIOD)
        .start()
        .unwrap();
}

/// Bytes and blocks of the groups of a snapshot by the line of this file that allocated them.
fn line(snapshot: &Snapshot, line: u32) -> (f64, f64) {
    let statistics = snapshot.statistics(GroupBy::Line);
    let ours = statistics.iter().filter(|group| {
        let frame = group.traceback.most_recent();
        frame.filename().ends_with("live/sampling.rs") && frame.lineno() == line
    });
    ours.fold((0.0, 0.0), |(size, count), group| {
        (size + group.size as f64, count + group.count as f64)
    })
}

/// How far the estimate of `times` blocks of `size` bytes may be off.
fn tolerance(size: usize, times: usize) -> f64 {
    let probability = -f64::exp_m1(-(size as f64) / PERIOD as f64);
    let variance = times as f64 * (1.0 - probability) / probability;
    let log = f64::ln(2.0 / 1e-9);
    let shift = log / probability / 3.0;
    shift + (shift * shift + 2.0 * variance * log).sqrt() + 1.0
}

fn hold(size: usize, times: usize) -> (Vec<Vec<u8>>, u32) {
    let mut held = Vec::with_capacity(times);
    let line = line!() + 2;
    for _ in 0..times {
        held.push(black_box(Vec::with_capacity(size)));
    }
    (held, line)
}

const SIZES: [(usize, usize); 5] = [
    (16, 300_000),
    (200, 200_000),
    (3000, 20_000),
    (20_000, 3000),
    (300_000, 100),
];

fn estimates_agree_with_an_exact_trace() {
    for (size, times) in SIZES {
        tracemalloc::start(5).unwrap();
        let (held, at) = hold(size, times);
        let (bytes, blocks) = line(&tracemalloc::take_snapshot().unwrap(), at);
        tracemalloc::stop();
        drop(held);
        assert_eq!((bytes, blocks), ((size * times) as f64, times as f64));

        start_sampling();
        let (held, at) = hold(size, times);
        let snapshot = tracemalloc::take_snapshot().unwrap();
        let (estimated_bytes, estimated_blocks) = line(&snapshot, at);
        tracemalloc::stop();
        drop(held);
        let tolerated_error = tolerance(size, times);
        assert!(
            (estimated_blocks - blocks).abs() <= tolerated_error,
            "{times} blocks of {size}: {estimated_blocks}, {tolerated_error}"
        );
        assert!((estimated_bytes - bytes).abs() <= tolerated_error * size as f64);
        assert_eq!(snapshot.sample_every(), NonZeroU64::new(PERIOD));
        // Only some are records: for the smallest one in a thousand.
        let probability = -f64::exp_m1(-(size as f64) / PERIOD as f64);
        let expected = times as f64 * probability;
        assert!((snapshot.traces().unwrap().len() as f64) < 2.0 * expected + 100.0);
    }
}

fn a_session_that_samples_passes_the_audit() {
    start_sampling();
    for round in 0..20 {
        let (held, _) = hold(1000 + round, 5000);
        let current = tracemalloc::get_traced_memory().current as f64;
        let exact = (5000 * (1000 + round)) as f64;
        assert!((current - exact).abs() < tolerance(1000, 5000) * 1100.0 + 1e6);
        drop(held);
    }
    // What is left is what the records that are left stand for: each is rounded by itself in the
    // sum, and once in the snapshot.
    let (held, _) = hold(700, 5000);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let current = tracemalloc::get_traced_memory().current;
    let records = snapshot.traces().unwrap().len() as u64;
    assert!(records > 20, "{records}");
    assert!(
        current.abs_diff(snapshot.total_size()) <= records,
        "{current} {} {records}",
        snapshot.total_size()
    );
    drop(held);
    assert!(tracemalloc::get_traced_memory().peak > 4_000_000);
}

fn blocks_that_were_passed_by_may_grow_shrink_and_go() {
    start_sampling();
    let before = tracemalloc::get_traced_memory().current;
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for n in 0..20_000_usize {
        let mut block = vec![n as u8; n % 300 + 1];
        block.reserve_exact(n * 7 % 2000);
        block.shrink_to_fit();
        assert!(block.iter().all(|byte| *byte == n as u8));
        if n % 3 == 0 {
            kept.push(block);
        }
    }
    drop(kept);
    assert_eq!(tracemalloc::get_traced_memory().current, before);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_eq!(snapshot.recording().losses.replaced, 0);
}

fn each_thread_samples_for_itself() {
    start_sampling();
    let threads: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| hold(200, 20_000)))
        .collect();
    let held: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let (_, blocks) = line(&tracemalloc::take_snapshot().unwrap(), held[0].1);
    let tolerated_error = tolerance(200, 8 * 20_000);
    assert!(
        (blocks - 160_000.0).abs() <= tolerated_error,
        "{blocks} {tolerated_error}"
    );
}

fn an_exact_session_after_a_sampled_one_is_exact() {
    start_sampling();
    let (held, _) = hold(100, 10_000);
    tracemalloc::stop();
    tracemalloc::start(5).unwrap();
    let (more, at) = hold(100, 10_000);
    // Blocks of the sampled session mean nothing to this one.
    drop(held);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_eq!(snapshot.sample_every(), None);
    assert_eq!(line(&snapshot, at), (1_000_000.0, 10_000.0));
    drop(more);
}

fn the_period_comes_from_the_environment() {
    tracemalloc::start_from_env().unwrap();
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_eq!(snapshot.sample_every(), NonZeroU64::new(65536));
}
