//! What a section of the program counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tracemalloc::{Budget, Config, NoGrowth, Scope, Usage, measure};

use super::{block, calls, check_work, work};
use crate::cases;

cases![
    counts_are_exact_whatever_tracing_does,
    a_session_may_begin_and_end_inside,
    nested_scopes_have_peaks_of_their_own,
    frees_count_for_those_who_free,
    what_the_tracer_allocates_is_not_counted,
    tests_side_by_side_do_not_see_each_other,
    what_a_judgement_allocates_is_not_counted,
];

fn counts_are_exact_whatever_tracing_does() {
    check_work(measure(work).1);
    for config in [
        Config::new().frames(25),
        Config::new().sample_every(64),
        Config::new().sample_every(1 << 40),
    ] {
        config.start().unwrap();
        check_work(measure(work).1);
        tracemalloc::clear_traces();
        tracemalloc::reset_peak();
        check_work(measure(work).1);
        tracemalloc::stop();
        check_work(measure(work).1);
    }
}

fn a_session_may_begin_and_end_inside() {
    let inside = |sampled: bool| {
        let scope = Scope::open().unwrap();
        let kept = block(10);
        let config = if sampled {
            Config::new().sample_every(100)
        } else {
            Config::new()
        };
        config.start().unwrap();
        let freed_later = block(20);
        drop(kept);
        tracemalloc::clear_traces();
        tracemalloc::stop();
        drop(freed_later);
        scope.close()
    };
    for sampled in [false, true] {
        let usage = inside(sampled);
        assert_eq!(calls(usage), (2, 0, 2), "{usage}");
        assert_eq!((usage.peak, usage.net_bytes()), (30, 0));
    }
}

fn nested_scopes_have_peaks_of_their_own() {
    let outer = Scope::open().unwrap();
    drop(block(700));
    let kept = block(100);
    let ((), inner) = measure(|| drop(block(500)));
    let ((), lower) = measure(|| drop(block(50)));
    let usage = outer.usage();
    assert_eq!((inner.peak, lower.peak, usage.peak), (500, 50, 700));
    let ((), higher) = measure(|| drop(block(800)));
    let usage = outer.close();
    assert_eq!((higher.peak, usage.peak), (800, 900));
    assert_eq!((usage.allocations, usage.net_blocks()), (5, 1));
    drop(kept);
}

fn frees_count_for_those_who_free() {
    let before = block(300);
    let ((), usage) = measure(|| drop(before));
    assert_eq!((usage.net_bytes(), usage.net_blocks()), (-300, -1));
    assert_eq!(usage.peak, 0);
    // Starting a thread allocates here, but not as much as the thread does.
    let (made_elsewhere, usage) = measure(|| thread::spawn(|| block(1 << 20)).join().unwrap());
    assert!(usage.allocated < 1 << 20, "{usage}");
    let ((), usage) = measure(|| drop(made_elsewhere));
    assert_eq!((usage.frees, usage.freed), (1, 1 << 20));
}

fn what_the_tracer_allocates_is_not_counted() {
    tracemalloc::start(25).unwrap();
    let ((), usage) = measure(|| {
        for _ in 0..10 {
            let inner = Scope::open().unwrap();
            drop((inner.handle(), inner.usage()));
            inner.close();
        }
        tracemalloc::stop();
        tracemalloc::start(25).unwrap();
    });
    assert_eq!(usage, Usage::default(), "{usage}");
}

fn tests_side_by_side_do_not_see_each_other() {
    let done = Arc::new(AtomicBool::new(false));
    let noise: Vec<_> = (0..3)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    work();
                }
            })
        })
        .collect();
    let repetitions = std::env::var("TRACEMALLOC_REPETITIONS");
    let repetitions = repetitions.map_or(500, |count| count.parse().expect("a number"));
    let tests: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..repetitions {
                    Budget::new()
                        .max_allocations(5)
                        .max_bytes(2000)
                        .max_peak(1000)
                        .max_net(0)
                        .check(work);
                    check_work(measure(work).1);
                }
            })
        })
        .collect();
    let tests: Vec<_> = tests.into_iter().map(thread::JoinHandle::join).collect();
    done.store(true, Ordering::Relaxed);
    for ended in tests
        .into_iter()
        .chain(noise.into_iter().map(thread::JoinHandle::join))
    {
        ended.unwrap();
    }
}

/// Budgets and growth inside of a scope: only what their tasks do counts.
fn what_a_judgement_allocates_is_not_counted() {
    let ((), usage) = measure(|| {
        Budget::new().no_leak().max_allocations(5).check(work);
    });
    check_work(usage);
    let ((), usage) = measure(|| NoGrowth::new().warm_up(1).rounds(9).check(work));
    assert_eq!((usage.allocations, usage.frees), (40, 40), "{usage}");
    assert_eq!(usage.net_bytes(), 0, "{usage}");
}
