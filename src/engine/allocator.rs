//! `TraceAlloc`, the wrapper that a program installs: it records each call and forwards it to the
//! inner allocator, one to one.

mod resize;
mod special;
mod system;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::num::NonZeroU16;

use crate::engine::blocks::Spacing;
use crate::engine::capture::{CallContext, Candidate};
use crate::engine::scopes;
use crate::engine::session::{Session, Settings};
use crate::engine::thread::guard::Guard;
use crate::engine::tracker::{TRACKER, Tracker};
use crate::engine::unwind::{Caller, entry};
use resize::{Resize, record_resize};
use special::record_special;

/// A global allocator that records what the program allocates while tracing is on.
///
/// It forwards every call unchanged to the inner allocator, which is the operating system's unless
/// another one is given, and adds nothing to the block. While tracing is off, a call costs one load
/// and a branch more.
///
/// A program must install it, once, to be traced:
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(25)?;
/// assert!(tracemalloc::is_tracing());
/// # Ok(())
/// # }
/// ```
///
/// Another allocator stays in use when it is wrapped:
/// `static ALLOC: TraceAlloc<MiMalloc> = TraceAlloc::new(MiMalloc);`, as in `examples/over_mimalloc.rs`.
pub struct TraceAlloc<A = System> {
    inner: A,
    tracker: &'static Tracker,
    /// The inner allocator is the operating system's, by its type.
    is_system: bool,
    /// Frames to trace with from the first allocation on.
    from_start: Option<NonZeroU16>,
}

impl TraceAlloc<System> {
    /// Wraps the operating system's allocator.
    pub const fn system() -> Self {
        let mut wrapper = Self::new(System);
        wrapper.is_system = true;
        wrapper
    }
}

impl<A> TraceAlloc<A> {
    /// Wraps `inner`.
    pub const fn new(inner: A) -> Self {
        Self {
            inner,
            tracker: &TRACKER,
            is_system: false,
            from_start: None,
        }
    }

    /// Wraps `inner` with a tracker of its own, so that tests need not install it.
    #[cfg(test)]
    pub(super) fn with_tracker(inner: A, tracker: &'static Tracker) -> Self {
        Self {
            inner,
            tracker,
            is_system: false,
            from_start: None,
        }
    }

    /// As if `inner` were the operating system's allocator.
    #[cfg(test)]
    pub(super) fn like_system(mut self) -> Self {
        self.is_system = true;
        self
    }

    /// Traces from the program's very first allocation, before `main`, keeping `frames` frames per
    /// block.
    ///
    /// A later call of [`stop`](crate::stop) ends it as any other. Without memory for the tables
    /// the program runs untraced, which [`is_tracing`](crate::is_tracing) tells.
    ///
    /// ```standalone_crate
    /// use tracemalloc::TraceAlloc;
    ///
    /// #[global_allocator]
    /// static ALLOC: TraceAlloc = TraceAlloc::system().started(25);
    ///
    /// # fn main() {
    /// assert!(tracemalloc::is_tracing());
    /// # }
    /// ```
    ///
    /// # Panics
    /// If `frames` is 0; in a `static` that is an error of the compiler's.
    #[must_use]
    pub const fn started(mut self, frames: u16) -> Self {
        assert!(
            frames > 0,
            "the number of frames must be in range 1 to 65535"
        );
        self.from_start = NonZeroU16::new(frames);
        self
    }

    /// What an event has to do. `None`: nothing but to call the inner allocator.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn event(&self) -> Option<Session> {
        match self.tracker.event() {
            None if self.from_start.is_some() => self.first_event(),
            session => session,
        }
    }

    #[cold]
    fn first_event(&self) -> Option<Session> {
        if self.tracker.never_started() {
            // Without memory for the tables the program runs untraced.
            let _ = self.tracker.start(
                Settings {
                    limit: self.from_start?.get(),
                    ..Settings::default()
                },
                usize::MAX,
            );
        }
        self.tracker.event()
    }

    #[cold]
    fn spacing(&self) -> Spacing {
        if self.is_system && system::is_glibc_malloc() {
            Spacing::Wide
        } else {
            Spacing::Close
        }
    }
}

entry! {
    /// Calls the inner allocator for a block of the given size and alignment, and records the
    /// block.
    enter_alloc => record_block::<_, false>
}

entry! {
    /// Calls the inner allocator for a zeroed block of the given size and alignment, and records the
    /// block.
    enter_alloc_zeroed => record_block::<_, true>
}

entry! {
    /// Calls the inner allocator for another size of a block, and records the change.
    enter_realloc => record_resize
}

/// # Safety
/// Those of [`GlobalAlloc::alloc`] and, if `ZEROED`, [`GlobalAlloc::alloc_zeroed`], with the parts
/// of a layout.
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn record_block<A: GlobalAlloc, const ZEROED: bool>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    size: usize,
    align: usize,
    caller: Caller,
) -> *mut u8 {
    // SAFETY: the caller's promise: they are a layout's parts.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    if session.is_simple() {
        // SAFETY: passed on from the caller.
        unsafe { record_plain::<A, ZEROED>(wrapper, session, layout, caller) }
    } else if !session.is_on() && !scopes::is_open() {
        // SAFETY: passed on from the caller.
        unsafe { wrapper.allocate::<ZEROED>(layout) }
    } else {
        // SAFETY: passed on from the caller.
        unsafe {
            record_special::<A, ZEROED>(wrapper, session, layout, caller.pc, caller.sp, caller.fp)
        }
    }
}

/// Allocates a block and records it: [`record_block`] in a session that records every block.
///
/// # Safety
/// Those of [`GlobalAlloc::alloc`] and, if `ZEROED`, [`GlobalAlloc::alloc_zeroed`].
// Without optimisation too: its frame lies below the walk.
#[inline(always)]
unsafe fn record_plain<A: GlobalAlloc, const ZEROED: bool>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    layout: Layout,
    caller: Caller,
) -> *mut u8 {
    // SAFETY: passed on from the caller.
    match unsafe { record_plain_fast::<A, ZEROED>(wrapper, session, layout, caller) } {
        Ok(block) => block,
        // No variables of their own: without optimisation they would lie below the walk.
        // SAFETY: passed on from the caller.
        Err(missed) => unsafe {
            record_block_slow::<A, ZEROED>(
                wrapper, session, layout, caller.pc, caller.sp, caller.fp, missed,
            )
        },
    }
}

/// Fast path of [`record_plain`]. If it cannot serve nothing has been done but entering the tracer: then
/// the guard comes back, with what the look-up has found out.
///
/// A function of its own for builds without optimisation: what it needs of the stack is free again on the
/// slow path.
///
/// # Safety
/// Those of [`record_plain`].
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn record_plain_fast<A: GlobalAlloc, const ZEROED: bool>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    layout: Layout,
    caller: Caller,
) -> Result<*mut u8, (Guard, Candidate)> {
    let tracker = wrapper.tracker;
    // The guard is held across the inner call: what the inner allocator allocates is its own
    // affair.
    let Some(mut guard) = Guard::enter() else {
        // SAFETY: passed on from the caller.
        return Ok(unsafe { wrapper.allocate::<ZEROED>(layout) });
    };
    let mut context = match tracker.call_context_fast(session, &mut guard, caller) {
        Ok(context) => context,
        Err(candidate) => return Err((guard, candidate)),
    };
    tracker.label(session, &mut context);
    // SAFETY: passed on from the caller.
    let block = unsafe { wrapper.allocate::<ZEROED>(layout) };
    wrapper.record(session, context, block, layout.size());
    Ok(block)
}

/// Slow path of [`record_block`]: the stack is not in this thread's cache.
///
/// # Safety
/// Those of [`GlobalAlloc::alloc`] and, if `ZEROED`, [`GlobalAlloc::alloc_zeroed`].
#[inline(never)]
unsafe fn record_block_slow<A: GlobalAlloc, const ZEROED: bool>(
    wrapper: &TraceAlloc<A>,
    session: Session,
    layout: Layout,
    pc: usize,
    sp: usize,
    fp: usize,
    (mut guard, candidate): (Guard, Candidate),
) -> *mut u8 {
    let caller = Caller { pc, sp, fp };
    let mut context = wrapper
        .tracker
        .call_context(session, &mut guard, caller, candidate);
    wrapper.tracker.label(session, &mut context);
    // SAFETY: passed on from the caller.
    let block = unsafe { wrapper.allocate_apart::<ZEROED>(layout) };
    wrapper.record(session, context, block, layout.size());
    block
}

impl<A: GlobalAlloc> TraceAlloc<A> {
    /// As [`TraceAlloc::allocate`], in a function of its own: what the inner allocator needs of the stack is
    /// not there yet while the caller's stack is walked.
    ///
    /// # Safety
    /// Those of [`TraceAlloc::allocate`].
    #[inline(never)]
    unsafe fn allocate_apart<const ZEROED: bool>(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        unsafe { self.allocate::<ZEROED>(layout) }
    }

    /// Has the inner allocator make a block.
    ///
    /// # Safety
    /// Those of [`GlobalAlloc::alloc`] and, if `ZEROED`, [`GlobalAlloc::alloc_zeroed`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn allocate<const ZEROED: bool>(&self, layout: Layout) -> *mut u8 {
        if ZEROED {
            // SAFETY: passed on from the caller.
            unsafe { self.inner.alloc_zeroed(layout) }
        } else {
            // SAFETY: passed on from the caller.
            unsafe { self.inner.alloc(layout) }
        }
    }

    /// Records the block that this thread has just received, unless it is null.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn record(&self, session: Session, context: CallContext, block: *mut u8, size: usize) {
        let tracker = self.tracker;
        if !block.is_null() && !tracker.record_fast(session, &context, block.addr(), size) {
            self.record_slow(session, context, block, size);
        }
    }

    /// Slow path of [`TraceAlloc::record`]: the record needs a second word, a new table, or a peak update.
    #[inline(never)]
    fn record_slow(&self, session: Session, context: CallContext, block: *mut u8, size: usize) {
        self.tracker.settle_spacing(|| self.spacing());
        self.tracker.record(session, &context, block.addr(), size);
    }

    /// True if a new block is to have no record, and this thread can tell so fast.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_unsampled(&self, session: Session, layout: Layout) -> bool {
        self.tracker
            .samples
            .is_unsampled_fast(session, layout.size())
    }

    /// True if the block has no record and is to have none at its new size.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_resize_unsampled(&self, session: Session, block: *mut u8, new_size: usize) -> bool {
        let samples = &self.tracker.samples;
        samples.has_no_record(session, block.addr()) && samples.is_unsampled_fast(session, new_size)
    }

    /// # Safety
    /// Those of [`GlobalAlloc::dealloc`].
    #[inline(never)]
    unsafe fn traced_dealloc(&self, session: Session, block: *mut u8, layout: Layout) {
        let mut guard = Guard::enter();
        // Before it is given back: afterwards the address may be another thread's. Also when this
        // thread was inside the tracer already, as in a signal handler; forgetting takes nothing
        // that could be held.
        self.tracker
            .remove(session, guard.as_mut(), block.addr(), layout.size());
        // SAFETY: passed on from the caller.
        unsafe { self.inner.dealloc(block, layout) }
    }

    /// Removes a block's record and frees the block: [`TraceAlloc::traced_dealloc`] for the system's
    /// allocator. That one never allocates through this wrapper, so the guard is released before it
    /// works. The fast path makes no call and jumps to the allocator.
    ///
    /// # Safety
    /// Those of [`GlobalAlloc::dealloc`].
    #[inline(never)]
    unsafe fn traced_system_dealloc(&self, session: Session, block: *mut u8, layout: Layout) {
        let removed = match Guard::enter() {
            Some(mut guard) => {
                self.tracker
                    .remove_fast(session, &mut guard, block.addr(), layout.size())
            }
            None => false,
        };
        if removed {
            // SAFETY: passed on from the caller.
            unsafe { self.inner.dealloc(block, layout) }
        } else {
            // SAFETY: passed on from the caller.
            unsafe { self.traced_dealloc(session, block, layout) }
        }
    }
}

// SAFETY: every call is answered by exactly one call of the inner allocator with the same
// arguments, and its result is returned unchanged. Nothing on the way unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TraceAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.event() {
            // SAFETY: passed on from the caller.
            None => unsafe { self.inner.alloc(layout) },
            // SAFETY: passed on from the caller.
            Some(session) if self.is_unsampled(session, layout) => unsafe {
                self.inner.alloc(layout)
            },
            // SAFETY: passed on from the caller.
            Some(session) => unsafe { enter_alloc(self, session, layout.size(), layout.align()) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.event() {
            // SAFETY: passed on from the caller.
            None => unsafe { self.inner.alloc_zeroed(layout) },
            // SAFETY: passed on from the caller.
            Some(session) if self.is_unsampled(session, layout) => unsafe {
                self.inner.alloc_zeroed(layout)
            },
            // SAFETY: passed on from the caller.
            Some(session) => unsafe {
                enter_alloc_zeroed(self, session, layout.size(), layout.align())
            },
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        match self.event() {
            // SAFETY: passed on from the caller.
            None => unsafe { self.inner.realloc(block, layout, new_size) },
            // SAFETY: passed on from the caller.
            Some(session) if self.is_resize_unsampled(session, block, new_size) => unsafe {
                self.inner.realloc(block, layout, new_size)
            },
            Some(session) => {
                let resize = Resize { layout, new_size };
                let resize = std::ptr::from_ref(&resize).expose_provenance();
                // SAFETY: passed on from the caller; the request is there until the call returns.
                unsafe { enter_realloc(self, session, block.expose_provenance(), resize) }
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.event() {
            // SAFETY: passed on from the caller.
            None => unsafe { self.inner.dealloc(block, layout) },
            // SAFETY: passed on from the caller.
            Some(session) if self.is_system && session.is_simple_to_free() => unsafe {
                self.traced_system_dealloc(session, block, layout)
            },
            // SAFETY: passed on from the caller.
            Some(session) if session.is_simple_to_free() => unsafe {
                self.traced_dealloc(session, block, layout)
            },
            // SAFETY: passed on from the caller.
            Some(session) if self.tracker.samples.has_no_record(session, block.addr()) => unsafe {
                self.inner.dealloc(block, layout)
            },
            // SAFETY: passed on from the caller.
            Some(session) => unsafe { self.special_dealloc(session, block, layout) },
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for TraceAlloc<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TraceAlloc")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<A: Default> Default for TraceAlloc<A> {
    fn default() -> Self {
        Self::new(A::default())
    }
}
