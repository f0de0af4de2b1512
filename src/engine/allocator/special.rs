//! Events that have more to do than to be recorded: a sampler decides, or scopes count them.

use std::alloc::{GlobalAlloc, Layout};

use super::{TraceAlloc, record_block_slow, record_plain};
use crate::engine::capture::Candidate;
use crate::engine::scopes::{self, Counting};
use crate::engine::session::Session;
use crate::engine::thread::guard::Guard;
use crate::engine::unwind::Caller;

/// Allocates a block where [`record_block`](super::record_block) has more to ask than whether it is
/// recorded: of a sampler, or of the scopes that the thread is in.
///
/// # Safety
/// Those of [`GlobalAlloc::alloc`] and, if `ZEROED`, [`GlobalAlloc::alloc_zeroed`].
// The parts of a `Caller`, which would be put into memory for the other way too.
#[inline(never)]
pub(super) unsafe fn record_special<A: GlobalAlloc, const ZEROED: bool>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    layout: Layout,
    pc: usize,
    sp: usize,
    fp: usize,
) -> *mut u8 {
    let counting = Counting::of(session);
    let block = if !scopes::records(session) {
        // As when the block is recorded: what the inner allocator allocates is its own affair, and a
        // probe is noticed.
        let _guard = Guard::enter();
        // SAFETY: passed on from the caller.
        unsafe { wrapper.allocate::<ZEROED>(layout) }
    } else if session.is_sampled() {
        // SAFETY: passed on from the caller.
        unsafe { record_sampled::<A, ZEROED>(wrapper, session, layout, pc, sp, fp) }
    } else {
        let caller = Caller { pc, sp, fp };
        // SAFETY: passed on from the caller.
        unsafe { record_plain::<A, ZEROED>(wrapper, session, layout, caller) }
    };
    if let Some(counting) = counting
        && !block.is_null()
    {
        counting.allocated(layout.size());
    }
    block
}

/// Allocates a block, and records it if the sampler chooses it.
///
/// # Safety
/// Those of [`GlobalAlloc::alloc`] and, if `ZEROED`, [`GlobalAlloc::alloc_zeroed`].
// The parts of a `Caller`, which would be put into memory for the other way too.
#[inline(never)]
unsafe fn record_sampled<A: GlobalAlloc, const ZEROED: bool>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    layout: Layout,
    pc: usize,
    sp: usize,
    fp: usize,
) -> *mut u8 {
    let guard = if wrapper.tracker.samples.is_unsampled(session, layout.size()) {
        None
    } else {
        Guard::enter()
    };
    match guard {
        // SAFETY: passed on from the caller.
        None => unsafe { wrapper.allocate::<ZEROED>(layout) },
        // SAFETY: passed on from the caller.
        Some(guard) => unsafe {
            let missed = (guard, Candidate::UNKNOWN);
            record_block_slow::<A, ZEROED>(wrapper, session, layout, pc, sp, fp, missed)
        },
    }
}

impl<A: GlobalAlloc> TraceAlloc<A> {
    /// Frees a block where there may be no record, or a scope that counts the free.
    ///
    /// # Safety
    /// Those of [`GlobalAlloc::dealloc`].
    #[inline(never)]
    pub(super) unsafe fn special_dealloc(&self, session: Session, block: *mut u8, layout: Layout) {
        if !session.is_on() && !scopes::is_open() {
            // SAFETY: passed on from the caller.
            return unsafe { self.inner.dealloc(block, layout) };
        }
        let counting = Counting::of(session);
        if let Some(counting) = counting {
            counting.freed(layout.size());
        }
        if !session.is_on() || self.tracker.samples.is_unrecorded(session, block.addr()) {
            let _guard = Guard::enter();
            // SAFETY: passed on from the caller.
            unsafe { self.inner.dealloc(block, layout) }
        } else if self.is_system && session.is_plain() {
            // SAFETY: passed on from the caller.
            unsafe { self.traced_system_dealloc(session, block, layout) }
        } else {
            // SAFETY: passed on from the caller.
            unsafe { self.traced_dealloc(session, block, layout) }
        }
    }
}
