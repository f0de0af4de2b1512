//! Many threads.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use tracemalloc::{Config, GroupBy};

use crate::busy::among_busy_threads;
use crate::{PAGES_ARE_KNOWN, cases, repetitions};

cases![
    two_hundred_threads_end_and_leave_nothing,
    blocks_may_be_freed_by_other_threads,
    control_calls_race_with_allocations,
    a_start_that_races_with_a_stop_is_no_error,
    snapshots_race_with_allocations,
    a_snapshot_among_threads_misses_no_block_that_stays,
    a_thread_with_the_smallest_stack_may_allocate,
];

fn two_hundred_threads_end_and_leave_nothing() {
    tracemalloc::start(25).unwrap();
    drop(thread::spawn(|| ()).join());
    let before = tracemalloc::get_traced_memory().current;
    let own = tracemalloc::get_tracemalloc_memory();
    for _ in 0..4 {
        let threads: Vec<_> = (0..50)
            .map(|n| thread::spawn(move || drop(black_box(vec![vec![1_u8; n + 1]; 100]))))
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
    assert_eq!(tracemalloc::get_traced_memory().current, before);
    let after = tracemalloc::get_tracemalloc_memory();
    assert!(after < own + (8 << 20) || !PAGES_ARE_KNOWN, "{own} {after}");
}

fn blocks_may_be_freed_by_other_threads() {
    tracemalloc::start(25).unwrap();
    let (send, receive) = mpsc::sync_channel::<Vec<u8>>(100);
    let before = tracemalloc::get_traced_memory().current;
    let consumer =
        thread::spawn(move || receive.into_iter().map(|block| block.len()).sum::<usize>());
    let producers: Vec<_> = (0..4_usize)
        .map(|seed| {
            let send = send.clone();
            thread::spawn(move || {
                for n in 0..5000 {
                    send.send(vec![1; (n * 7 + seed) % 3000 + 1]).unwrap();
                }
            })
        })
        .collect();
    producers
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    drop(send);
    assert!(consumer.join().unwrap() > 0);
    let after = tracemalloc::get_traced_memory().current;
    assert!(after < before + 20_000, "{before} {after}");
    assert_eq!(tracemalloc::take_snapshot().unwrap().total_size(), after);
}

/// The largest block, in bytes, of the threads that [`in_order_after`] keeps busy.
const LARGEST_BUSY: usize = 2500;

/// Runs `disturb` while four threads allocate and free. Afterwards counters and records must agree.
fn in_order_after(disturb: impl FnOnce()) {
    let churn = |seed: usize| {
        let mut held = Vec::with_capacity(64);
        let mut round = 0_usize;
        move || {
            let mut block = Vec::<u8>::with_capacity((round * 31 + seed) % 2000 + 1);
            block.reserve_exact(LARGEST_BUSY);
            held.push(black_box(block));
            if held.len() == 64 {
                held.swap_remove(round % 64);
            }
            round += 1;
        }
    };
    among_busy_threads(4, churn, disturb);
    tracemalloc::clear_traces();
    tracemalloc::start(5).unwrap();
    let before = tracemalloc::get_traced_memory().current;
    let block = black_box(vec![1_u8; 12_345]);
    assert_eq!(tracemalloc::get_traced_memory().current, before + 12_345);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_eq!(
        snapshot.total_size(),
        tracemalloc::get_traced_memory().current
    );
    drop(block);
}

fn control_calls_race_with_allocations() {
    in_order_after(|| {
        for round in 0..repetitions(20_000) {
            match round % 7 {
                0 | 4 => tracemalloc::start(round % 40 + 1).unwrap(),
                1 => tracemalloc::stop(),
                2 => tracemalloc::clear_traces(),
                3 => tracemalloc::reset_peak(),
                5 => drop(tracemalloc::get_object_traceback(&Box::new(1))),
                _ => {
                    let memory = tracemalloc::get_traced_memory();
                    assert!(memory.current <= memory.peak && memory.current < 1 << 30);
                }
            }
        }
    });
}

/// The scripted form is among the engine's tests; here the real probe passes by in the meantime.
fn a_start_that_races_with_a_stop_is_no_error() {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                tracemalloc::stop();
            }
        });
        let refused = (0..20_000).find_map(|round| {
            let config = Config::new().frames(round % 40 + 1);
            let started = match round % 3 {
                0 => config.sample_every(4096).start(),
                _ => config.start(),
            };
            started.err()
        });
        done.store(true, Ordering::Relaxed);
        assert!(refused.is_none(), "{refused:?}");
    });
}

fn snapshots_race_with_allocations() {
    in_order_after(|| {
        tracemalloc::start(10).unwrap();
        for round in 0..200 {
            match tracemalloc::take_snapshot() {
                Ok(snapshot) => {
                    let sum: u64 = snapshot
                        .statistics(GroupBy::Line)
                        .iter()
                        .map(|line| line.size)
                        .sum();
                    assert_eq!(sum, snapshot.total_size());
                }
                Err(error) => assert_eq!(error.kind(), tracemalloc::ErrorKind::NotTracing),
            }
            if round % 50 == 0 {
                tracemalloc::stop();
                tracemalloc::start(10).unwrap();
            }
        }
    });
}

fn a_snapshot_among_threads_misses_no_block_that_stays() {
    tracemalloc::start(10).unwrap();
    // No block of the busy threads has this size at any moment.
    const SIZE: usize = LARGEST_BUSY + 833;
    let stays: Vec<Box<[u8; SIZE]>> = (0..1000).map(|_| Box::new([1; SIZE])).collect();
    in_order_after(|| {
        for _ in 0..50 {
            let snapshot = tracemalloc::take_snapshot().unwrap();
            let traces = snapshot.traces().unwrap();
            let seen = traces.filter(|trace| trace.size == SIZE as u64).count();
            assert_eq!(seen, stays.len());
        }
    });
    drop(stays);
}

/// The first allocation of a place costs most stack: its step of the walk is worked out then.
fn a_thread_with_the_smallest_stack_may_allocate() {
    tracemalloc::start(25).unwrap();
    for _ in 0..20 {
        let small = thread::Builder::new().stack_size(16 << 10);
        let thread = small.spawn(|| {
            let mut block = black_box(Vec::<u8>::with_capacity(10));
            block.reserve_exact(1000);
            block
        });
        let block = thread.unwrap().join().unwrap();
        assert!(tracemalloc::get_object_traceback(&block).is_some());
    }
}
