//! What back-ends share that start from their own frame, and so do without the caller's registers.

use super::{Caller, Unwinder};

/// Nothing is known of the thread's own stack.
#[derive(Clone, Copy, Default)]
pub(crate) struct OwnStack;

impl Unwinder {
    /// Does nothing: such a back-end keeps nothing for threads.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn forked(&self) {}
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
