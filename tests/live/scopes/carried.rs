//! Scopes that other threads and futures are in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Barrier;
use std::task::Poll;
use std::thread;

use tracemalloc::{Budget, InScope, Scope};

use super::{block, check_work, poll, work, yielding};
use crate::cases;

cases![
    other_threads_count_where_they_enter,
    a_thread_that_is_inside_does_not_count_twice,
    a_future_counts_on_every_thread_that_polls_it,
    a_future_that_is_dropped_half_way_frees_inside,
    a_budget_follows_a_task,
    a_stay_that_outlives_the_scope_counts_for_nobody,
    what_one_task_leaves_and_another_frees_is_held_once,
];

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
    assert!(text.contains("scopes/carried.rs"), "{text}");
}

/// The scope is closed on one thread while another one counts into it.
fn a_stay_that_outlives_the_scope_counts_for_nobody() {
    let scope = Scope::open().unwrap();
    let handle = scope.handle();
    let (inside, closed) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|threads| {
        let stays = threads.spawn(|| {
            let (ended, before) = handle.enter_in(|| {
                let outer = Scope::open().unwrap();
                work();
                inside.wait();
                closed.wait();
                let before = handle.usage();
                work();
                (outer.close(), before)
            });
            // The thread is in no scope any more.
            work();
            (ended, before, handle.usage())
        });
        inside.wait();
        let usage = scope.close();
        closed.wait();
        let (inner, before, after) = stays.join().unwrap();
        assert!(inner.allocations >= 8 && inner.frees >= 8, "{inner}");
        // Who is inside sees its own part; who has closed the scope does not.
        assert_eq!(
            before.allocations,
            usage.allocations + 4 + (inner.allocations - 8)
        );
        assert_eq!(after.allocations, usage.allocations + inner.allocations);
    });
}

/// Two threads take turns: one allocates, the other frees. The peak is that of one block.
fn what_one_task_leaves_and_another_frees_is_held_once() {
    let scope = Scope::open().unwrap();
    let handle = scope.handle();
    drop(scope);
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(0);
    let turn = Barrier::new(2);
    thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..20 {
                let made = handle.enter_in(|| block(1 << 20));
                sender.send(made).unwrap();
                turn.wait();
            }
        });
        for _ in 0..20 {
            let made = receiver.recv().unwrap();
            handle.enter_in(|| drop(made));
            turn.wait();
        }
    });
    let usage = handle.usage();
    assert_eq!(
        (usage.peak, usage.peak_is_bound),
        (1 << 20, false),
        "{usage}"
    );
    assert_eq!((usage.allocations, usage.frees), (20, 20), "{usage}");
}
