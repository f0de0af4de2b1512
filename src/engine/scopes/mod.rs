//! Scopes, as an event sees them: a thread that is in one counts its events.
//!
//! A thread has one set of counters that only grow, however many scopes it is in. The usage of a scope is the
//! difference between the counters at its end and at its beginning. So the cost of an event does not depend on
//! the depth. A peak is no difference: the thread keeps the highest net since the innermost scope began, and
//! `src/scope/part.rs` carries it on to the outer ones.

use std::cell::Cell;

use crate::engine::session::{Flag, Session};
use crate::engine::thread::guard::Guard;
use crate::engine::thread::tag::{self, TagId};

/// Events of a thread since it first entered a scope. Sums wrap around; only differences count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) allocations: u64,
    pub(crate) reallocations: u64,
    pub(crate) frees: u64,
    /// Bytes of allocations, and those that reallocations have added.
    pub(crate) allocated: u64,
    /// Bytes of frees, and those that reallocations have taken away.
    pub(crate) freed: u64,
}

impl Counts {
    const NONE: Self = Self {
        allocations: 0,
        reallocations: 0,
        frees: 0,
        allocated: 0,
        freed: 0,
    };

    /// Bytes that came and have not gone; negative if more have gone than came.
    pub(crate) fn net(&self) -> i64 {
        self.allocated.wrapping_sub(self.freed) as i64
    }

    /// What happened since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            allocations: self.allocations.wrapping_sub(earlier.allocations),
            reallocations: self.reallocations.wrapping_sub(earlier.reallocations),
            frees: self.frees.wrapping_sub(earlier.frees),
            allocated: self.allocated.wrapping_sub(earlier.allocated),
            freed: self.freed.wrapping_sub(earlier.freed),
        }
    }

    /// What happened here and there.
    pub(crate) fn plus(&self, more: &Self) -> Self {
        Self {
            allocations: self.allocations.wrapping_add(more.allocations),
            reallocations: self.reallocations.wrapping_add(more.reallocations),
            frees: self.frees.wrapping_add(more.frees),
            allocated: self.allocated.wrapping_add(more.allocated),
            freed: self.freed.wrapping_add(more.freed),
        }
    }
}

struct Local {
    /// Scopes that this thread is in. Nothing is counted while there is none.
    open: Cell<u32>,
    counts: Cell<Counts>,
    /// The highest net since it was last set.
    high: Cell<i64>,
}

thread_local! {
    // Const-initialised and without a destructor, as all that an event asks for.
    static LOCAL: Local = const {
        Local {
            open: Cell::new(0),
            counts: Cell::new(Counts::NONE),
            high: Cell::new(0),
        }
    };
}

/// Calls `task` with this thread's counters. `None` if they are gone.
#[cfg_attr(not(debug_assertions), inline(always))]
fn local<R>(task: impl FnOnce(&Local) -> R) -> Option<R> {
    #[cfg(windows)]
    let _errno = crate::engine::memory::errno::KeepErrno::new();
    LOCAL.try_with(task).ok()
}

/// True if this thread is in a scope.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_open() -> bool {
    local(|local| local.open.get() > 0).unwrap_or(false)
}

/// True if what this thread allocates is recorded in `session`.
pub(crate) fn records(session: Session) -> bool {
    session.is_on() && (!session.only_scopes() || tag::owner() != TagId::NONE)
}

/// Proof that an event counts for the scopes that its thread is in.
#[derive(Clone, Copy)]
pub(crate) struct Counting(());

impl Counting {
    /// `None` if the thread is in no scope, or inside the tracer: what the tracer and the inner
    /// allocator do is not the program's.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of(session: Session) -> Option<Self> {
        (session.has(Flag::ScopesOpen) && is_open() && Guard::is_outside()).then_some(Self(()))
    }

    /// A block of `size` bytes was received.
    pub(crate) fn allocated(self, size: usize) {
        change(|counts| {
            counts.allocations = counts.allocations.wrapping_add(1);
            counts.allocated = counts.allocated.wrapping_add(size as u64);
        });
    }

    /// A block of `old` bytes has `new` bytes now.
    pub(crate) fn resized(self, old: usize, new: usize) {
        change(|counts| {
            counts.reallocations = counts.reallocations.wrapping_add(1);
            let (more, less) = (new.saturating_sub(old), old.saturating_sub(new));
            counts.allocated = counts.allocated.wrapping_add(more as u64);
            counts.freed = counts.freed.wrapping_add(less as u64);
        });
    }

    /// A block of `size` bytes is about to be freed.
    pub(crate) fn freed(self, size: usize) {
        change(|counts| {
            counts.frees = counts.frees.wrapping_add(1);
            counts.freed = counts.freed.wrapping_add(size as u64);
        });
    }
}

fn change(step: impl FnOnce(&mut Counts)) {
    local(|local| {
        let mut counts = local.counts.get();
        step(&mut counts);
        local.counts.set(counts);
        local.high.set(local.high.get().max(counts.net()));
    });
}

/// What this thread has counted, and its highest net since [`set_high`]. Zeros if that is gone.
pub(crate) fn read() -> (Counts, i64) {
    local(|local| (local.counts.get(), local.high.get())).unwrap_or((Counts::NONE, 0))
}

/// Begins a new highest net.
pub(crate) fn set_high(high: i64) {
    local(|local| local.high.set(high));
}

/// Says how many scopes this thread is in.
pub(crate) fn set_open(count: u32) {
    local(|local| local.open.set(count));
}
