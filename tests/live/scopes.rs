//! Scopes: what a section of the program counts.

use std::future::{self, Future};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use tracemalloc::{Budget, Config, InScope, Scope, ScopeHandle, Usage, measure};

use crate::cases;

cases![
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
    let (made_elsewhere, usage) = measure(|| thread::spawn(|| block(400)).join().unwrap());
    assert!(usage.allocated < 400 || usage.allocations > 1);
    let ((), usage) = measure(|| drop(made_elsewhere));
    assert_eq!((usage.frees, usage.freed), (1, 400));
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

fn a_scope_ends_with_its_thread() {
    struct Last(ScopeHandle);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.enter_in(|| drop(block(100)));
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
    let scope = Scope::open().unwrap();
    let handle = scope.handle();
    thread::spawn(move || {
        std::mem::forget(Scope::open().unwrap());
        LAST.set(Some(Last(handle)));
        drop(block(50));
    })
    .join()
    .unwrap();
    // Whether a thread that ends can still count depends on the order of its destructors.
    let usage = scope.close();
    assert!(usage.net_bytes() >= 0, "{usage}");
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
    assert_eq!(
        exceeded.to_string(),
        "the memory budget is exceeded\n  \
         allocations  1, at most 0\n  \
         peak         5000 B, at most 4999 B\n\
         used: 1 allocation of 5000 B, 0 frees of 0 B; net +5000 B in +1 block; peak 5000 B"
    );
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
