//! What `fork` does to the tracer.
//!
//! The child has one thread, the one that forked, and memory as it was in the middle of whatever
//! the others were doing. Tables need no help: each of their steps is one atomic write, and a
//! reader never relies on the next one. What belonged to a thread that is not there does: its slot
//! and the memory that it had borrowed are given back, by the child's only thread before it goes
//! on.
//!
//! Where `fork` is bypassed (`vfork`, bare system calls) nothing here runs. A child that shares its
//! parent's memory then leaves the parent's threads alone; one that does not can do without those
//! slots, and lives with fewer buffers.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::TRACKER;
use crate::engine::memory::errno::KeepErrno;
use crate::engine::thread::slots::Owner;
use crate::engine::tracker::Tracker;

impl Tracker {
    /// In the child of a fork: gives back what threads had that are not there. `before`: who this
    /// thread was in the parent.
    fn forked(&self, before: Option<Owner>) {
        self.threads.forked(before);
        self.buffers.forked();
        self.unwinder.forked();
    }
}

thread_local! {
    /// Who this thread was before the fork that is under way.
    static FORKING: Cell<Option<Owner>> = const { Cell::new(None) };
}

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Has the handlers run at every fork from now on. May be called any number of times; without
/// memory for them a child lives with what was said above.
pub(crate) fn prepare() {
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        // SAFETY: both are functions of the program, which may be called at any time.
        let _ = unsafe { libc::pthread_atfork(Some(before), None, Some(in_child)) };
    }
}

extern "C" fn before() {
    let _ = FORKING.try_with(|forking| forking.set(Owner::me()));
}

extern "C" fn in_child() {
    let _errno = KeepErrno::new();
    let before = FORKING.try_with(Cell::take).unwrap_or(None);
    TRACKER.forked(before);
}
