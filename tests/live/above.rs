//! Snapshots when the memory in use crosses a threshold.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use tracemalloc::{Above, ErrorKind, Series, Snapshot};

use crate::cases;
use crate::folder::Folder;

cases![
    each_threshold_saves_a_snapshot_up_to_the_last,
    a_threshold_that_is_reached_already_counts,
    memory_that_falls_and_rises_again_saves_nothing,
    one_thread_waits_at_a_time,
    several_threads_cross_a_threshold_together,
    a_block_that_crosses_several_thresholds_counts_once,
];

const MIB: u64 = 1 << 20;
/// What a thread may not have folded.
const SLACK: u64 = 64 << 10;

fn series(folder: &Folder) -> Series {
    Series::new(folder.0.join("heap"))
}

/// The finished files.
fn finished(folder: &Folder) -> usize {
    let is_finished = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "gz");
    folder
        .files()
        .iter()
        .filter(|path| is_finished(path))
        .count()
}

/// Waits for this many files. Whoever waits in vain is ended by the case's time limit.
fn wait_for(folder: &Folder, files: usize) {
    while finished(folder) < files {
        thread::sleep(Duration::from_millis(2));
    }
}

fn number(snapshot: &Snapshot, attribute: &str) -> u64 {
    snapshot.attributes()[attribute].parse().unwrap()
}

fn each_threshold_saves_a_snapshot_up_to_the_last() {
    const PIECE: usize = 100_000;
    let folder = Folder::new("above");
    tracemalloc::start(5).unwrap();
    let above = Above::new(2 * MIB).step(MIB).max_snapshots(3);
    let dumper = tracemalloc::dump_above(above, series(&folder)).unwrap();
    let mut held = Vec::with_capacity(100);
    for pieces in 1..=60_u64 {
        held.push(black_box(vec![0_u8; PIECE]));
        // The thread gets its turn before the next threshold.
        let crossed = (pieces * PIECE as u64).checked_sub(2 * MIB + SLACK);
        let files = crossed.map_or(0, |more| more / MIB + 1).min(3);
        wait_for(&folder, files as usize);
    }
    drop(dumper);
    let snapshots = folder.snapshots();
    assert_eq!(snapshots.len(), 3);
    for (snapshot, threshold) in snapshots.iter().zip([2, 3, 4]) {
        assert_eq!(number(snapshot, "threshold"), threshold * MIB);
        let crossed = number(snapshot, "current_at_threshold");
        let max = threshold * MIB + SLACK + PIECE as u64;
        assert!((threshold * MIB..=max).contains(&crossed), "{crossed}");
    }
}

fn a_threshold_that_is_reached_already_counts() {
    let folder = Folder::new("above-already");
    tracemalloc::start(5).unwrap();
    let held = black_box(vec![0_u8; 5 << 20]);
    let dumper = tracemalloc::dump_above(MIB, series(&folder)).unwrap();
    wait_for(&folder, 1);
    drop(dumper);
    let snapshot = &folder.snapshots()[0];
    // The last threshold that was reached.
    assert_eq!(number(snapshot, "threshold"), 5 * MIB);
    drop(held);
}

fn memory_that_falls_and_rises_again_saves_nothing() {
    let folder = Folder::new("above-again");
    tracemalloc::start(5).unwrap();
    let dumper = tracemalloc::dump_above(MIB, series(&folder)).unwrap();
    for _ in 0..10 {
        let held = black_box(vec![0_u8; 3 << 19]);
        wait_for(&folder, 1);
        drop(held);
    }
    let held = black_box(vec![0_u8; 2 << 20]);
    wait_for(&folder, 2);
    drop((held, dumper));
    assert_eq!(folder.snapshots().len(), 2);
}

fn one_thread_waits_at_a_time() {
    let folder = Folder::new("above-once");
    tracemalloc::start(5).unwrap();
    let first = tracemalloc::dump_above(MIB << 20, series(&folder)).unwrap();
    let error = tracemalloc::dump_above(MIB, series(&folder)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyRunning);
    drop(first);
    let second = tracemalloc::dump_above(MIB, series(&folder)).unwrap();
    let held = black_box(vec![0_u8; 1 << 20]);
    wait_for(&folder, 1);
    drop((second, held));
}

fn several_threads_cross_a_threshold_together() {
    let folder = Folder::new("above-threads");
    tracemalloc::start(5).unwrap();
    let above = Above::new(8 * MIB).max_snapshots(1);
    let dumper = tracemalloc::dump_above(above, series(&folder)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let held: Vec<_> = (0..3000).map(|_| black_box(vec![0_u8; 1000])).collect();
                wait_for(&folder, 1);
                drop(held);
            });
        }
    });
    drop(dumper);
    assert_eq!(folder.snapshots().len(), 1);
}

fn a_block_that_crosses_several_thresholds_counts_once() {
    let folder = Folder::new("above-several");
    tracemalloc::start(5).unwrap();
    let dumper = tracemalloc::dump_above(MIB, series(&folder)).unwrap();
    let first = black_box(vec![0_u8; 5 << 20]);
    wait_for(&folder, 1);
    let second = black_box(vec![0_u8; 2 << 20]);
    wait_for(&folder, 2);
    drop((dumper, first, second));
    let snapshots = folder.snapshots();
    let thresholds = snapshots.iter().map(|of| number(of, "threshold") / MIB);
    assert_eq!(thresholds.collect::<Vec<u64>>(), [5, 7]);
}
