//! What the wrapper does for `realloc`.
//!
//! ```text
//! where does the call come from?     the stack, before anything has changed
//! mark the record as moving          the block is live at its old size
//! inner realloc                      from here on another thread may own the old address
//! failed: take the mark back
//! else: clear the old entry if it still has the mark, write the new one, count the difference
//! ```

use std::alloc::{GlobalAlloc, Layout};

use super::TraceAlloc;
use crate::engine::capture::Candidate;
use crate::engine::scopes::{self, Counting};
use crate::engine::session::Session;
use crate::engine::thread::guard::Guard;
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
    let resize = unsafe { &*resize };
    if session.is_simple() {
        // SAFETY: passed on from the caller.
        unsafe { record_resize_plain(wrapper, session, block, resize, caller) }
    } else {
        // SAFETY: passed on from the caller.
        unsafe { record_resize_special(wrapper, session, block, resize, caller) }
    }
}

/// Resizes a block where [`record_resize`] has more to ask than whether it is recorded: of a sampler, or of
/// the scopes that the thread is in.
///
/// # Safety
/// Those of [`record_resize`].
#[inline(never)]
unsafe fn record_resize_special<A: GlobalAlloc>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    block: *mut u8,
    resize: &Resize,
    caller: Caller,
) -> *mut u8 {
    let Resize { layout, new_size } = *resize;
    if !session.is_on() && !scopes::is_open() {
        // SAFETY: passed on from the caller.
        return unsafe { wrapper.inner.realloc(block, layout, new_size) };
    }
    let counting = Counting::of(session);
    let moved = if scopes::records(session) {
        // SAFETY: passed on from the caller.
        unsafe { record_resize_plain(wrapper, session, block, resize, caller) }
    } else if session.is_on() {
        // A block of a scope is nobody's from now on.
        let missed = (Guard::enter(), Candidate::UNKNOWN);
        // SAFETY: passed on from the caller.
        unsafe { record_resize_slow(wrapper, session, block, resize, caller, missed) }
    } else {
        let _guard = Guard::enter();
        // SAFETY: passed on from the caller.
        unsafe { wrapper.inner.realloc(block, layout, new_size) }
    };
    if let Some(counting) = counting
        && !moved.is_null()
    {
        counting.resized(layout.size(), new_size);
    }
    moved
}

/// Resizes a block and records the change: [`record_resize`] for what the session asks for.
///
/// # Safety
/// Those of [`record_resize`].
// Without optimisation too: its frame lies below the walk.
#[inline(always)]
unsafe fn record_resize_plain<A: GlobalAlloc>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    block: *mut u8,
    resize: &Resize,
    caller: Caller,
) -> *mut u8 {
    // SAFETY: passed on from the caller.
    match unsafe { record_resize_fast(wrapper, session, block, resize, caller) } {
        Ok(moved) => moved,
        Err(missed) => {
            // SAFETY: passed on from the caller.
            unsafe { record_resize_slow(wrapper, session, block, resize, caller, missed) }
        }
    }
}

/// Fast path of [`record_resize`]. If it cannot serve nothing has been done but entering the tracer: then the
/// guard comes back, `None` if the thread was inside already, with what the look-up has found out.
///
/// A function of its own for builds without optimisation: what it needs of the stack is free again on the
/// slow path.
///
/// # Safety
/// Those of [`record_resize`].
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn record_resize_fast<A: GlobalAlloc>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    block: *mut u8,
    resize: &Resize,
    caller: Caller,
) -> Result<*mut u8, (Option<Guard>, Candidate)> {
    let Resize { layout, new_size } = *resize;
    let tracker = wrapper.tracker;
    if session.is_sampled() {
        return Err((Guard::enter(), Candidate::UNKNOWN));
    }
    let Some(mut guard) = Guard::enter() else {
        return Err((None, Candidate::UNKNOWN));
    };
    let mut context = match tracker.call_context_fast(session, &mut guard, caller) {
        Ok(context) => context,
        Err(candidate) => return Err((Some(guard), candidate)),
    };
    tracker.label(session, &mut context);
    let Some(moving) = tracker.begin_move_fast(session, block.addr(), layout.size()) else {
        // The stack is known: a look-up finds it again.
        return Err((Some(guard), Candidate::UNKNOWN));
    };
    // SAFETY: passed on from the caller.
    let moved = unsafe { wrapper.inner.realloc(block, layout, new_size) };
    if moved.is_null() {
        tracker.cancel_move(Some(moving));
    } else if !session.is_plain()
        || !tracker.finish_move_fast(session, &context, &moving, moved.addr(), new_size)
    {
        tracker.finish_move(session, &context, Some(moving), moved.addr(), new_size);
    }
    Ok(moved)
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
    resize: &Resize,
    caller: Caller,
    (mut guard, candidate): (Option<Guard>, Candidate),
) -> *mut u8 {
    let tracker = wrapper.tracker;
    let passes =
        !scopes::records(session) || tracker.samples.is_unsampled(session, resize.new_size);
    let mut context = match &mut guard {
        Some(guard) if !passes => Some(tracker.call_context(session, guard, caller, candidate)),
        _ => None,
    };
    if let Some(context) = &mut context {
        tracker.label(session, context);
    }
    let moving = tracker.begin_move(session, block.addr(), resize.layout.size());
    // SAFETY: passed on from the caller.
    let moved = unsafe { resize_apart(wrapper, block, resize) };
    match context {
        _ if moved.is_null() => tracker.cancel_move(moving),
        Some(context) => {
            tracker.settle_spacing(|| wrapper.spacing());
            tracker.finish_move(session, &context, moving, moved.addr(), resize.new_size);
        }
        None => tracker.drop_move(session, guard.as_mut(), moving, moved.addr()),
    }
    moved
}

/// The inner allocator's `realloc`, in a function of its own: what it needs of the stack is not there yet
/// while the caller's stack is walked.
///
/// # Safety
/// Those of [`GlobalAlloc::realloc`].
#[inline(never)]
unsafe fn resize_apart<A: GlobalAlloc>(
    wrapper: &TraceAlloc<A>,
    block: *mut u8,
    resize: &Resize,
) -> *mut u8 {
    // SAFETY: passed on from the caller.
    unsafe { wrapper.inner.realloc(block, resize.layout, resize.new_size) }
}
