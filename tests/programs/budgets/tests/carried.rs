//! Scopes that a pool, scoped threads and tasks are in: each by one line where the work is handed over.

use std::hint::black_box;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rayon::prelude::*;
use tracemalloc::{Budget, InScope, NoGrowth, Scope, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const BLOCK: u64 = 1000;

fn block() -> Vec<u8> {
    black_box(vec![1; BLOCK as usize])
}

/// A pool whose threads have run: what they make on first use is made.
fn pool() -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
    let pool = pool.build().expect("threads");
    pool.broadcast(|_| drop(block()));
    pool
}

#[test]
fn a_pool_counts_where_it_enters() {
    let pool = pool();
    let scope = Scope::open().unwrap();
    let tasks = || (0..50).into_par_iter();
    // What the pool allocates for itself is not in the closure.
    pool.install(|| tasks().for_each(|_| scope.enter_in(|| drop(block()))));
    pool.install(|| tasks().for_each(|_| drop(block())));
    let usage = scope.close();
    assert!((50..60).contains(&usage.allocations), "{usage}");
    assert!(usage.peak <= 3 * BLOCK + 5000, "{usage}");
}

#[test]
fn leaks_of_a_pool_are_found() {
    let pool = pool();
    let scope = Scope::recording().unwrap();
    pool.install(|| {
        (0..40_u32).into_par_iter().for_each(|number| {
            scope.enter_in(|| {
                let made = block();
                if number % 10 == 0 {
                    std::mem::forget(made);
                }
            });
        });
    });
    let snapshot = scope.snapshot().unwrap();
    let leaked = snapshot
        .traces()
        .unwrap()
        .filter(|trace| trace.size == BLOCK);
    assert_eq!(leaked.count(), 4);
}

#[test]
fn scoped_threads_count_where_they_enter() {
    let scope = Scope::open().unwrap();
    let before = scope.usage();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| scope.enter_in(|| drop(block())));
            threads.spawn(|| drop(block()));
        }
    });
    let usage = scope.close();
    // Starting a thread allocates too.
    assert!(usage.allocated - before.allocated >= 4 * BLOCK, "{usage}");
    assert!(usage.allocated - before.allocated < 8 * BLOCK, "{usage}");
}

/// Ready when it is polled again, on any thread. The runtime's own way makes a list for it on first use.
fn elsewhere() -> impl Future<Output = ()> {
    let mut polled = false;
    std::future::poll_fn(move |context| {
        context.waker().wake_by_ref();
        match std::mem::replace(&mut polled, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .expect("a runtime")
}

/// Tasks that are spawned are tasks of their own: those that are given the scope are in it.
#[test]
fn spawned_tasks_count_where_they_are_given_the_scope() {
    let runtime = runtime();
    let scope = Scope::open().unwrap();
    let handle = scope.handle();
    drop(scope);
    runtime.block_on(async {
        let task = async || {
            let held = block();
            elsewhere().await;
            drop(held);
        };
        let inside = (0..20).map(|_| tokio::spawn(task().in_scope(&handle)));
        let outside = (0..20).map(|_| tokio::spawn(task()));
        for task in inside.chain(outside).collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    let usage = handle.usage();
    assert_eq!((usage.allocations, usage.frees), (20, 20), "{usage}");
    assert!((BLOCK..=20 * BLOCK).contains(&usage.peak), "{usage}");
}

/// The branch that loses is dropped half way, inside of the scope.
#[test]
fn a_select_frees_what_it_cancels_in_the_scope() {
    let runtime = runtime();
    let scope = Scope::recording().unwrap();
    let handle = scope.handle();
    let slow = async {
        let _held = block();
        tokio::time::sleep(Duration::from_secs(600)).await;
    };
    let quick = async {
        let held = block();
        elsewhere().await;
        drop(held);
    };
    runtime.block_on(async {
        let (slow, quick) = (slow.in_scope(&handle), quick.in_scope(&handle));
        tokio::select! {
            () = slow => unreachable!("ten minutes"),
            () = quick => {}
        }
    });
    let snapshot = scope.snapshot().unwrap();
    let live = snapshot
        .traces()
        .unwrap()
        .filter(|trace| trace.size == BLOCK);
    assert_eq!(live.count(), 0);
    let usage = scope.close();
    assert!(usage.allocated >= 2 * BLOCK, "{usage}");
}

#[test]
fn a_budget_follows_a_task_over_threads() {
    let runtime = runtime();
    let task = async |count: usize| {
        let mut held = Vec::with_capacity(8);
        for _ in 0..count {
            held.push(block());
            elsewhere().await;
        }
        held.len()
    };
    let budget = Budget::new().max_peak(5 * BLOCK).max_net(0).no_leak();
    let checked = runtime.spawn(budget.check_async(task(4)));
    assert_eq!(runtime.block_on(checked).unwrap(), 4);
    let checked = runtime.spawn(budget.check_async(task(6)));
    let panic = runtime.block_on(checked).unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("peak         "), "{text}");
    assert!(text.contains("tests/carried.rs:"), "{text}");
    // Cancelled half way: nothing is judged, and the next budget knows nothing of it.
    let mut cancelled = Box::pin(budget.check_async(task(6)));
    let polled = cancelled
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(cancelled);
    budget.check(|| drop(block()));
}

#[test]
fn requests_leave_nothing_behind() {
    NoGrowth::new()
        .warm_up(3)
        .rounds(10)
        .check(|| budgets::upper("a request"));
    let mut kept = Vec::new();
    let grown = NoGrowth::new().find(|| kept.push(budgets::upper("a request")));
    let grown = grown.unwrap().to_string();
    assert!(grown.contains("src/lib.rs:"), "{grown}");
}
