//! What `fork` does to the tracer.
//!
//! The child has one thread, the one that forked, and memory as it was in the middle of whatever the
//! others were doing. Tables need no help: each of their steps is one atomic write, and a reader
//! never relies on the next one. What belonged to a thread that is not there needs some: its slot and
//! the buffers that it had borrowed are given back, by the child's only thread before it goes on.
//!
//! Where `fork` is bypassed (`vfork`, bare system calls) nothing here runs. A child that shares its
//! parent's memory then leaves the parent's threads alone. One that does not can do without those
//! slots, and lives with fewer buffers.

use std::cell::Cell;

use once_cell::race::OnceRef;

use crate::engine::memory::errno::KeepErrno;
use crate::engine::thread::owner::Owner;

/// Runs in the child of a fork, on its only thread. Its argument: who this thread was in the parent.
pub(crate) type InChild = fn(Option<Owner>);

thread_local! {
    /// Who this thread was before the fork that is under way.
    static FORKING: Cell<Option<Owner>> = const { Cell::new(None) };
}

/// Set by the first call of [`prepare`].
static IN_CHILD: OnceRef<'static, InChild> = OnceRef::new();

/// Has `task` run in the child of every fork from now on. Only the first call counts. Without memory
/// to register it, a child lives with what was said above.
pub(crate) fn prepare(task: &'static InChild) {
    if IN_CHILD.set(task).is_ok() {
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
    if let Some(task) = IN_CHILD.get() {
        task(before);
    }
}
