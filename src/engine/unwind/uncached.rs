//! What back-ends share that remember nothing and do without the caller's registers.

use super::{Caller, Unwinder};
use crate::engine::memory::arena::{Arena, Zeroed};
use crate::engine::stacks::{StackId, Stacks};

/// Nothing.
pub(crate) struct StackCache;

/// Nothing is known of the thread's own stack.
#[derive(Clone, Copy, Default)]
pub(crate) struct OwnStack;

// SAFETY: there is nothing that could be invalid.
unsafe impl Zeroed for StackCache {}

impl StackCache {
    /// There is nothing to forget.
    #[cfg_attr(miri, expect(dead_code, reason = "no thread has a place"))]
    pub(crate) fn clear(&mut self, _arena: &Arena) {}

    /// There is nothing that could grow.
    #[cfg_attr(miri, expect(dead_code, reason = "no thread has a slot"))]
    pub(crate) fn has_grown(&self) -> bool {
        false
    }

    /// Nothing.
    pub(crate) fn own_stack(&self) -> OwnStack {
        OwnStack
    }

    /// Every stack must be captured.
    pub(crate) fn recall_fast(&self, _caller: Caller, _max_frames: usize) -> Option<StackId> {
        None
    }

    /// The same.
    pub(crate) fn recall(&self, _caller: Caller, _max_frames: usize) -> Option<StackId> {
        None
    }
}

impl Unwinder {
    /// ThreadSlots have nothing of this one's.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn forked(&self) {}

    /// The same.
    pub(crate) fn remember(
        &self,
        _arena: &Arena,
        _stacks: &Stacks,
        _stack_cache: &mut StackCache,
        _caller: Caller,
        _max_frames: usize,
    ) -> Option<StackId> {
        None
    }
}

/// The registers of no function.
pub(crate) fn here() -> Caller {
    Caller {
        pc: 0,
        sp: 0,
        fp: 0,
    }
}

/// Defines `$enter`, which calls `$record` with its own arguments and a place on the stack below
/// which frames are the tracer's.
macro_rules! entry {
    ($(#[$doc:meta])* $enter:ident => $record:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// That of the function that records.
        #[inline(never)]
        unsafe extern "C" fn $enter<A: GlobalAlloc>(
            wrapper: &TraceAlloc<A>,
            session: Session,
            first: usize,
            second: usize,
        ) -> *mut u8 {
            let frame = 0_u8;
            let sp = std::ptr::from_ref(std::hint::black_box(&frame)).addr() + 1;
            let caller = $crate::engine::unwind::Caller { pc: 0, sp, fp: 0 };
            // SAFETY: passed on from the caller.
            unsafe { ($record)(wrapper, session, first, second, caller) }
        }
    };
}
pub(crate) use entry;
