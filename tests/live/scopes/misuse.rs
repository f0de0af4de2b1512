//! Scopes that end in odd ways: out of order, by a panic, with their thread, or never.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Barrier;
use std::thread;

use tracemalloc::{Budget, ErrorKind, InScope, Scope, ScopeHandle, Usage, measure};

use super::{block, check_work, live_in, poll, work};
use crate::cases;

cases![
    scopes_may_end_in_any_order,
    a_leaked_scope_disturbs_no_other,
    a_panic_inside_ends_the_scope,
    a_panic_in_a_budget_or_a_future_ends_its_scope,
    a_thread_that_ends_can_open_no_scope,
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

fn a_panic_in_a_budget_or_a_future_ends_its_scope() {
    let panics = || {
        let _held = block(100);
        std::panic::resume_unwind(Box::new(()));
    };
    let outer = Scope::recording().unwrap();
    assert!(catch_unwind(|| Budget::new().no_leak().check(panics)).is_err());
    // What is allocated from now on is the outer one's again.
    let kept = block(30);
    assert_eq!(live_in(&outer), (30, 1));
    drop((kept, outer));
    let handle = Scope::open().unwrap().handle();
    let mut task = pin!(async { panics() }.in_scope(&handle));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(task.as_mut()))).is_err());
    // Whoever catches the panic frees what it is made of.
    let counted = handle.usage();
    assert!(counted.frees >= 1 && counted.net_bytes() < 100, "{counted}");
    work();
    assert_eq!(handle.usage(), counted, "the thread has left the scope");
    check_work(measure(work).1);
}

/// The scope that it enters counts nothing: its own thread-local values are gone.
fn a_thread_that_ends_can_open_no_scope() {
    struct Last(ScopeHandle);
    impl Drop for Last {
        fn drop(&mut self) {
            for opened in [Scope::open(), Scope::recording()] {
                assert_eq!(opened.unwrap_err().kind(), ErrorKind::Busy);
            }
            self.0.enter_in(work);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let handle = Scope::open().unwrap().handle();
    let before = handle.usage();
    let inside = handle.clone();
    let thread = thread::spawn(move || {
        // Destroyed in the reverse order of their first use, on most systems.
        LAST.set(Some(Last(inside)));
        drop(Scope::open().unwrap());
    });
    thread.join().unwrap();
    assert_eq!(handle.usage(), before);
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
