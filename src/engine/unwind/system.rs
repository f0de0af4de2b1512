//! The platform's own unwinder, through the `backtrace` crate: works wherever that does, takes
//! microseconds.
//!
//! `backtrace::trace` would take a lock that every thread shares; the form without it is sound here
//! because the platforms on which it is not are left to the no-op back-end.
//!
//! It starts from its own frame, so it does not need the caller's registers.

use super::{Caller, Captured, Mark, OwnStack, StackEnd};
use crate::engine::memory::arena::Arena;

/// Has no state.
pub(crate) struct Unwinder;

impl Unwinder {
    pub(crate) const fn new() -> Self {
        Self
    }

    /// Makes the system unwinder do what it does only once, such as loading a library, before an
    /// allocation needs it.
    pub(crate) fn prepare(&self, _arena: &Arena) {
        capture(Mark(0), &mut [0; 4]);
    }

    /// Fills `buffer` with the return addresses of this thread's stack beyond `mark`.
    #[cfg_attr(
        tracemalloc_check,
        allow(dead_code, reason = "not called where the tracer walks by itself")
    )]
    pub(crate) fn capture(
        &self,
        _arena: &Arena,
        _caller: Caller,
        mark: Mark,
        _own: OwnStack,
        buffer: &mut [usize],
    ) -> Captured {
        capture(mark, buffer)
    }

    /// Fills `buffer` as [`Unwinder::capture`] does, without a session's tables.
    #[cfg(tracemalloc_check)]
    pub(crate) fn capture_beyond(&self, mark: Mark, buffer: &mut [usize]) -> Captured {
        capture(mark, buffer)
    }
}

fn capture(mark: Mark, buffer: &mut [usize]) -> Captured {
    let mut frames = 0;
    let mut truncated = false;
    let mut passed = false;
    let visit = |frame: &backtrace::Frame| {
        // The stack grows down: frames before the first whose stack pointer is beyond the mark
        // belong to the tracer. Their callers may be on another stack, which may lie below it.
        let stack_pointer = frame.sp().addr();
        passed |= stack_pointer == 0 || stack_pointer >= mark.0;
        if !passed {
            return true;
        }
        let address = frame.ip().addr();
        if address == 0 {
            return false;
        }
        match buffer.get_mut(frames) {
            Some(slot) => *slot = address,
            None => truncated = true,
        }
        frames += 1;
        !truncated
    };
    // SAFETY: the unsynchronised form asks that no thread does anything to the symbol machinery of
    // dbghelp meanwhile, which is used by 32-bit Windows alone; elsewhere the system unwinder
    // may run on any number of threads.
    unsafe { backtrace::trace_unsynchronized(visit) };
    Captured {
        frames: frames.min(buffer.len()),
        end: if truncated {
            StackEnd::Truncated
        } else {
            StackEnd::Oldest
        },
    }
}
