//! Scopes: what a section of the program counts, owns and is limited to.

pub(crate) mod budgets;
pub(crate) mod carried;
pub(crate) mod counts;
pub(crate) mod misuse;
pub(crate) mod owned;

use std::future::{self, Future};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tracemalloc::{Scope, Usage};

/// The figures of a usage that do not depend on sizes.
pub(super) fn calls(usage: Usage) -> (u64, u64, u64) {
    (usage.allocations, usage.reallocations, usage.frees)
}

pub(super) fn block(size: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(size))
}

/// 4 allocations, 1 reallocation and 4 frees; 1000 bytes at most.
pub(super) fn work() {
    let mut first = block(100);
    first.reserve_exact(300);
    drop(black_box([block(200), block(500)]));
    drop(first);
    drop(block(1000));
}

#[track_caller]
pub(super) fn check_work(usage: Usage) {
    assert_eq!(calls(usage), (4, 1, 4), "{usage}");
    assert_eq!((usage.allocated, usage.freed), (2000, 2000), "{usage}");
    assert_eq!((usage.peak, usage.peak_is_bound), (1000, false), "{usage}");
}

/// Ready when it was polled twice.
pub(super) fn yielding() -> impl Future<Output = ()> + Send {
    let mut polled = false;
    future::poll_fn(move |_| {
        if std::mem::replace(&mut polled, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}

pub(super) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn live_in(scope: &Scope) -> (u64, u64) {
    let snapshot = scope.snapshot().unwrap();
    (snapshot.total_size(), snapshot.block_count())
}
