//! Scopes that end in odd ways: out of order, by a panic, with their thread, or never.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;

use tracemalloc::{Scope, Usage, measure};

use super::{block, check_work, work};
use crate::cases;

cases![
    scopes_may_end_in_any_order,
    a_leaked_scope_disturbs_no_other,
    a_panic_inside_ends_the_scope,
    a_scope_ends_with_its_thread,
    a_handle_may_outlive_its_scope,
];

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
