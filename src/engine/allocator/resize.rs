//! What the wrapper does for `realloc`.
//!
//! ```text
//! where does the call come from?     the stack, before anything has changed
//! mark the record as moving          the block is live at its old size, for whoever looks
//! inner realloc                      from here on another thread may own the old address
//! failed: take the mark back
//! else: clear the old entry if it still has the mark, write the new one, count the difference
//! ```

use std::alloc::{GlobalAlloc, Layout};

use super::TraceAlloc;
use crate::engine::blocks::Moving;
use crate::engine::capture::CallContext;
use crate::engine::session::Session;
use crate::engine::thread::guard::Guard;
use crate::engine::tracker::Tracker;
use crate::engine::unwind::Caller;

/// What `realloc` is asked for, apart from the block.
#[derive(Clone, Copy)]
pub(super) struct Resize {
    pub(super) layout: Layout,
    pub(super) new_size: usize,
}

/// Has the inner allocator resize a block, and records the change.
///
/// # Safety
/// Those of [`GlobalAlloc::realloc`], with the block's address, and that of a [`Resize`] for the
/// rest.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) unsafe fn record_resize<A: GlobalAlloc>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    block: usize,
    resize: usize,
    caller: Caller,
) -> *mut u8 {
    let block = std::ptr::with_exposed_provenance_mut::<u8>(block);
    let resize = std::ptr::with_exposed_provenance::<Resize>(resize);
    // SAFETY: the caller's promise: the address is that of a `Resize` that it keeps.
    let resize = unsafe { resize.read() };
    let Resize { layout, new_size } = resize;
    let Caller { pc, sp, fp } = caller;
    let tracker = wrapper.tracker;
    let slow = |guard| {
        // SAFETY: passed on from the caller.
        unsafe { record_resize_slow(wrapper, session, block, resize, (pc, sp, fp), guard) }
    };
    if session.is_sampled() {
        return slow(Guard::enter());
    }
    let Some(mut guard) = Guard::enter() else {
        return slow(None);
    };
    let Some(context) = tracker.call_context_fast(session, &mut guard, caller) else {
        return slow(Some(guard));
    };
    let Some(moving) = tracker.begin_move_fast(session, block.addr(), layout.size()) else {
        return slow(Some(guard));
    };
    // SAFETY: passed on from the caller.
    let moved = unsafe { wrapper.inner.realloc(block, layout, new_size) };
    if moved.is_null() {
        tracker.cancel_move(Some(moving));
    } else if !tracker.finish_move_fast(session, &context, &moving, moved.addr(), new_size) {
        finish_move_slow(tracker, session, context, moving, moved.addr(), new_size);
    }
    moved
}

/// Slow path of [`record_resize`]: the stack is not in this thread's cache, or the block has no
/// record of one word.
///
/// # Safety
/// Those of [`record_resize`].
#[inline(never)]
unsafe fn record_resize_slow<A: GlobalAlloc>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    block: *mut u8,
    resize: Resize,
    (pc, sp, fp): (usize, usize, usize),
    mut guard: Option<Guard>,
) -> *mut u8 {
    let tracker = wrapper.tracker;
    let Resize { layout, new_size } = resize;
    let caller = Caller { pc, sp, fp };
    let passes = tracker.samples.is_unsampled(session, new_size);
    let context = match &mut guard {
        Some(guard) if !passes => Some(tracker.call_context(session, guard, caller)),
        _ => None,
    };
    let moving = tracker.begin_move(session, block.addr(), layout.size());
    // SAFETY: passed on from the caller.
    let moved = unsafe { wrapper.inner.realloc(block, layout, new_size) };
    match context {
        _ if moved.is_null() => tracker.cancel_move(moving),
        Some(context) => {
            tracker.settle_spacing(|| wrapper.spacing());
            tracker.finish_move(session, &context, moving, moved.addr(), new_size);
        }
        None => tracker.drop_move(session, guard.as_mut(), moving, moved.addr()),
    }
    moved
}

/// Slow path of [`Tracker::finish_move_fast`].
#[inline(never)]
fn finish_move_slow(
    tracker: &Tracker,
    session: Session,
    context: CallContext,
    moving: Moving,
    address: usize,
    size: usize,
) {
    tracker.finish_move(session, &context, Some(moving), address, size);
}
