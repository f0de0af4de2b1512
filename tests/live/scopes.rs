//! Scopes: what a section of the program counts.

use std::future::{self, Future};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use tracemalloc::{
    Budget, Config, ErrorKind, GroupBy, InScope, NoGrowth, Scope, Usage, View, measure,
};

use crate::cases;

cases![
    a_recording_scope_owns_what_its_threads_allocate,
    frees_on_other_threads_are_no_leaks,
    a_leak_is_found_and_named,
    nested_recordings_know_their_own,
    recordings_side_by_side_do_not_see_each_other,
    a_changed_session_is_an_error,
    a_recording_works_in_any_session,
    outside_of_scopes_nothing_is_recorded,
    growth_is_found_and_filling_is_not,
    counts_are_exact_whatever_tracing_does,
    a_session_may_begin_and_end_inside,
    nested_scopes_have_peaks_of_their_own,
    scopes_may_end_in_any_order,
    a_leaked_scope_disturbs_no_other,
    a_panic_inside_ends_the_scope,
    frees_count_for_those_who_free,
    other_threads_count_where_they_enter,
    a_thread_that_is_inside_does_not_count_twice,
    a_scope_ends_with_its_thread,
    a_handle_may_outlive_its_scope,
    a_future_counts_on_every_thread_that_polls_it,
    a_future_that_is_dropped_half_way_frees_inside,
    tests_side_by_side_do_not_see_each_other,
    a_budget_says_what_is_exceeded,
    a_budget_follows_a_task,
    what_the_tracer_allocates_is_not_counted,
];

/// The figures of a usage that do not depend on sizes.
fn calls(usage: Usage) -> (u64, u64, u64) {
    (usage.allocations, usage.reallocations, usage.frees)
}

fn block(size: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(size))
}

/// 4 allocations, 1 reallocation and 4 frees; 1000 bytes at most.
fn work() {
    let mut first = block(100);
    first.reserve_exact(300);
    drop(black_box([block(200), block(500)]));
    drop(first);
    drop(block(1000));
}

#[track_caller]
fn check_work(usage: Usage) {
    assert_eq!(calls(usage), (4, 1, 4), "{usage}");
    assert_eq!((usage.allocated, usage.freed), (2000, 2000), "{usage}");
    assert_eq!((usage.peak, usage.peak_is_bound), (1000, false), "{usage}");
}

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

fn scopes_may_end_in_any_order() {
    let first = Scope::open().unwrap();
    drop(block(100));
    let second = Scope::open().unwrap();
    drop(block(300));
    let third = Scope::open().unwrap();
    drop(block(200));
    let second = second.close();
    assert_eq!((second.allocations, second.peak), (2, 300));
    drop(block(250));
    assert_eq!((first.usage().allocations, first.usage().peak), (4, 300));
    let first = first.close();
    assert_eq!((first.allocations, first.peak), (4, 300));
    drop(block(240));
    let third = third.close();
    assert_eq!((third.allocations, third.peak), (3, 250));
}

fn a_leaked_scope_disturbs_no_other() {
    std::mem::forget(Scope::open().unwrap());
    check_work(measure(work).1);
    thread::spawn(|| std::mem::forget(Scope::open().unwrap()))
        .join()
        .unwrap();
    check_work(measure(work).1);
}

fn a_panic_inside_ends_the_scope() {
    let outer = Scope::open().unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        measure(|| {
            let _held = block(100);
            std::panic::resume_unwind(Box::new(()));
        })
    }));
    assert!(caught.is_err());
    drop(caught);
    let usage = outer.close();
    assert_eq!((usage.net_bytes(), usage.net_blocks()), (0, 0), "{usage}");
    assert!(usage.peak >= 100);
    check_work(measure(work).1);
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

fn other_threads_count_where_they_enter() {
    let scope = Scope::open().unwrap();
    let (outside, inside) = (Barrier::new(2), Barrier::new(2));
    let before = scope.usage();
    thread::scope(|threads| {
        threads.spawn(|| {
            drop(block(1 << 20));
            scope.enter_in(|| {
                let held = block(1000);
                inside.wait();
                outside.wait();
                drop(held);
            });
            drop(block(1 << 20));
        });
        inside.wait();
        drop(block(500));
        outside.wait();
    });
    let usage = scope.close();
    // Starting a thread allocates; the blocks of a megabyte are nobody's.
    assert!(usage.allocations >= before.allocations + 2);
    assert!(usage.allocated < 1 << 20, "{usage}");
    assert!(usage.peak_is_bound && usage.peak >= 1500, "{usage}");
}

fn a_thread_that_is_inside_does_not_count_twice() {
    let scope = Scope::open().unwrap();
    scope.enter_in(|| scope.handle().enter_in(work));
    let usage = scope.close();
    check_work(usage);
}

/// What a leaked scope's thread has done counts when the thread has ended, and not before.
fn a_scope_ends_with_its_thread() {
    let (inside, done) = (Barrier::new(2), Barrier::new(2));
    let handle = std::sync::OnceLock::new();
    thread::scope(|threads| {
        let thread = threads.spawn(|| {
            let scope = Scope::open().unwrap();
            handle.set(scope.handle()).unwrap();
            std::mem::forget(scope);
            drop(block(50));
            inside.wait();
            done.wait();
        });
        inside.wait();
        let usage = handle.get().unwrap().usage();
        assert_eq!(usage, Usage::default());
        done.wait();
        thread.join().unwrap();
    });
    let usage = handle.get().unwrap().usage();
    assert!(usage.allocations >= 1 && usage.allocated >= 50, "{usage}");
    assert!((50..1000).contains(&usage.peak), "{usage}");
}

fn a_handle_may_outlive_its_scope() {
    let handle = Scope::open().unwrap().handle();
    handle.enter_in(work);
    check_work(measure(|| handle.enter_in(work)).1);
}

/// Ready when it was polled twice.
fn yielding() -> impl Future<Output = ()> + Send {
    let mut polled = false;
    future::poll_fn(move |_| {
        if std::mem::replace(&mut polled, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn a_future_counts_on_every_thread_that_polls_it() {
    let scope = Scope::open().unwrap();
    let handle = scope.handle();
    drop(scope);
    let task = async {
        let held = block(300);
        yielding().await;
        drop(held);
        drop(block(100));
    };
    let mut task = pin!(task.in_scope(&handle));
    assert!(poll(task.as_mut()).is_pending());
    drop(block(1 << 20));
    thread::scope(|threads| {
        let polled = threads.spawn(|| poll(task.as_mut()).is_ready()).join();
        assert!(polled.unwrap());
    });
    let usage = handle.usage();
    assert_eq!((usage.allocated, usage.freed), (400, 400), "{usage}");
    assert_eq!((usage.peak, usage.peak_is_bound), (300, false));
}

fn a_future_that_is_dropped_half_way_frees_inside() {
    let scope = Scope::open().unwrap();
    let handle = scope.handle();
    drop(scope);
    let task = async {
        let _held = block(300);
        yielding().await;
    };
    let mut task = Box::pin(task.in_scope(&handle));
    assert!(poll(task.as_mut()).is_pending());
    assert_eq!(handle.usage().net_bytes(), 300);
    thread::spawn(move || drop(task)).join().unwrap();
    let usage = handle.usage();
    assert_eq!((usage.net_bytes(), usage.frees), (0, 1), "{usage}");
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

fn a_budget_says_what_is_exceeded() {
    let kept = |budget: Budget| budget.measure(|| block(5000)).map(|(_, usage)| usage);
    assert!(kept(Budget::new().max_allocations(1).max_net(5000)).is_ok());
    let exceeded = kept(
        Budget::new()
            .max_allocations(0)
            .max_bytes(5000)
            .max_peak(4999),
    );
    let exceeded = exceeded.unwrap_err();
    assert_eq!(exceeded.usage().allocations, 1);
    let text = exceeded.to_string();
    let expected = "the memory budget is exceeded\n  \
         allocations  1, at most 0\n  \
         peak         5000 B, at most 4999 B\n\
         used: 1 allocation of 5000 B, 0 frees of 0 B; net +5000 B in +1 block; peak 5000 B\n\
         allocated, by line:\n";
    assert!(text.starts_with(expected), "{text}");
    let lines: Vec<&str> = text[expected.len()..].lines().collect();
    assert!(
        lines[0].contains("5000 B 100.0 %  1 block") && lines[0].contains("scopes.rs:"),
        "{text}"
    );
    assert_eq!(lines.len(), 2, "{text}");
    let panic = catch_unwind(|| Budget::new().max_net(10).check(|| block(11))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("net          11 B, at most 10 B"), "{text}");
    // A free of what was there before makes up for nothing in the peak.
    let before = block(9000);
    let replaced = Budget::new().max_peak(100).measure(|| {
        drop(before);
        block(101)
    });
    assert!(replaced.is_ok(), "{replaced:?}");
}

fn a_budget_follows_a_task() {
    let checked = Budget::new().max_bytes(300).check_async(async {
        let held = block(300);
        yielding().await;
        held.capacity()
    });
    let mut checked = pin!(checked);
    assert!(poll(checked.as_mut()).is_pending());
    drop(block(1 << 20));
    assert!(matches!(poll(checked.as_mut()), Poll::Ready(300)));
    let exceeded = Budget::new()
        .max_bytes(10)
        .check_async(async { drop(block(11)) });
    let mut exceeded = pin!(exceeded);
    let panicked = catch_unwind(AssertUnwindSafe(|| poll(exceeded.as_mut())));
    let panic = panicked.unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("11 B, at most 10 B"), "{text}");
    assert!(text.contains("scopes.rs"), "{text}");
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

fn live_in(scope: &Scope) -> (u64, u64) {
    let snapshot = scope.snapshot().unwrap();
    (snapshot.total_size(), snapshot.block_count())
}

fn a_recording_scope_owns_what_its_threads_allocate() {
    let before = block(100);
    let scope = Scope::recording().unwrap();
    assert!(!tracemalloc::is_tracing());
    drop(block(2000));
    let kept = block(300);
    drop(before);
    let elsewhere = thread::scope(|threads| {
        let inside = threads.spawn(|| scope.enter_in(|| block(40)));
        let outside = threads.spawn(|| block(5000));
        drop(outside.join().unwrap());
        inside.join().unwrap()
    });
    let snapshot = scope.snapshot().unwrap();
    let sizes: Vec<u64> = snapshot.traces().unwrap().map(|trace| trace.size).collect();
    assert!(sizes.contains(&300) && sizes.contains(&40), "{sizes:?}");
    assert!(!sizes.contains(&5000) && !sizes.contains(&100), "{sizes:?}");
    let all = snapshot.view(View::Allocated).unwrap();
    assert!(all.total_size() >= 2340, "{}", all.total_size());
    let lines = snapshot.statistics(GroupBy::File);
    assert!(
        lines
            .iter()
            .any(|line| line.traceback.to_string().contains("scopes.rs"))
    );
    assert_eq!(scope.usage().net_blocks(), scope.close().net_blocks());
    drop((kept, elsewhere));
    assert!(!tracemalloc::is_tracing());
}

fn frees_on_other_threads_are_no_leaks() {
    Budget::new().no_leak().check(|| {
        let made = block(100);
        let freed = thread::spawn(move || drop(made));
        freed.join().unwrap();
    });
    // What is freed here and was allocated elsewhere makes up for nothing.
    let from_before = block(1000);
    let leaked = Budget::new().max_net(0).no_leak().measure(|| {
        drop(from_before);
        std::mem::forget(block(10));
    });
    let text = leaked.unwrap_err().to_string();
    assert!(text.contains("leaked       1 block, at most 0"), "{text}");
    assert!(!text.contains("\n  net"), "{text}");
}

fn a_leak_is_found_and_named() {
    let leak = || std::mem::forget(black_box(vec![block(10), block(20)]));
    let error = Budget::new().no_leak().measure(leak).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("leaked       3 blocks, at most 0"), "{text}");
    assert!(text.contains("still live, by line:"), "{text}");
    assert!(text.contains("scopes.rs:"), "{text}");
    for _ in 0..20 {
        assert!(Budget::new().no_leak().measure(work).is_ok());
    }
}

fn nested_recordings_know_their_own() {
    let outer = Scope::recording().unwrap();
    let first = block(100);
    let inner = Scope::recording().unwrap();
    let second = block(30);
    let ((), _) = measure(|| drop(block(7)));
    assert_eq!(live_in(&inner), (30, 1));
    assert_eq!(live_in(&outer), (130, 2));
    drop(inner);
    let third = block(5);
    drop(first);
    assert_eq!(live_in(&outer), (35, 2));
    drop((second, third));
    assert_eq!(live_in(&outer), (0, 0));
}

fn recordings_side_by_side_do_not_see_each_other() {
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let noise = thread::spawn(move || {
        let mut kept = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            kept.push(block(64));
            kept.truncate(100);
        }
    });
    let tests = [1_usize, 2, 3].map(|seed| {
        thread::spawn(move || {
            for round in 0..100 {
                let scope = Scope::recording().unwrap();
                let kept: Vec<Vec<u8>> = Vec::from([block(seed), block(seed * 10)]);
                assert_eq!(live_in(&scope).0, (seed * 11 + 48) as u64, "{round}");
                drop(kept);
                assert_eq!(live_in(&scope), (0, 0));
            }
        })
    });
    let ended = tests.map(thread::JoinHandle::join);
    done.store(true, Ordering::Relaxed);
    noise.join().unwrap();
    ended.into_iter().for_each(|ended| ended.unwrap());
}

fn a_changed_session_is_an_error() {
    let changes: [fn(); 3] = [
        || tracemalloc::start(5).unwrap(),
        tracemalloc::clear_traces,
        tracemalloc::stop,
    ];
    for change in changes {
        let scope = Scope::recording().unwrap();
        let kept = block(10);
        change();
        assert_eq!(scope.usage().allocations, 1, "counts do not depend on it");
        let error = scope.snapshot().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionChanged, "{error}");
        drop(scope);
        drop(kept);
        if tracemalloc::is_tracing() {
            drop(block(1));
        }
    }
    assert!(!tracemalloc::is_tracing());
    let error = Budget::new()
        .no_leak()
        .measure(|| tracemalloc::start(5).unwrap());
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("cannot be judged: tracing was started"),
        "{text}"
    );
    let error = Scope::open().unwrap().snapshot().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotTracing);
}

fn a_recording_works_in_any_session() {
    for history in [false, true] {
        Config::new().history(history).start().unwrap();
        let outside = block(77);
        let scope = Scope::recording().unwrap();
        let kept = block(33);
        assert_eq!(live_in(&scope), (33, 1));
        let view = scope
            .snapshot()
            .unwrap()
            .view(View::Allocated)
            .map(|all| all.total_size());
        assert_eq!(view.ok(), history.then_some(33));
        drop(scope);
        assert!(tracemalloc::get_traced_memory().current >= 110);
        drop((outside, kept));
        tracemalloc::stop();
    }
}

fn outside_of_scopes_nothing_is_recorded() {
    let scope = Scope::recording().unwrap();
    assert!(tracemalloc::take_snapshot().is_err());
    assert_eq!(tracemalloc::get_traced_memory().peak, 0);
    thread::scope(|threads| {
        threads.spawn(|| {
            // Blocks of the scope may be resized and freed outside; then they are nobody's.
            let mut block = scope.enter_in(|| block(100));
            block.reserve_exact(5000);
            assert_eq!(live_in(&scope).0 / 1000, 0);
            drop(block);
        });
    });
    tracemalloc::start(3).unwrap();
    let kept = block(10);
    assert_eq!(tracemalloc::take_snapshot().unwrap().total_size(), 10);
    drop(kept);
}

fn growth_is_found_and_filling_is_not() {
    let mut kept = Vec::with_capacity(1000);
    let grown = NoGrowth::new().find(|| kept.push(block(16))).unwrap();
    assert!(!grown.is_empty());
    let text = grown.to_string();
    assert!(
        text.contains("memory grew by 800 B in 50 blocks over 50 rounds"),
        "{text}"
    );
    assert!(text.contains("scopes.rs:"), "{text}");
    let mut cache = Vec::new();
    NoGrowth::new().warm_up(2).rounds(40).check(|| {
        if cache.len() < 10 {
            cache.push(block(16));
        }
        work();
    });
    // Freed by another thread, whoever allocated.
    NoGrowth::new().rounds(8).check(|| {
        let made = block(100);
        thread::spawn(move || drop(made)).join().unwrap();
    });
    let leaks = || {
        NoGrowth::new()
            .rounds(12)
            .check(|| std::mem::forget(block(8)))
    };
    assert!(catch_unwind(leaks).is_err());
}
