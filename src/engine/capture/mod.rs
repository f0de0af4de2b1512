//! Capture: where an allocation comes from, as the number of its call stack and its thread's slot.
//!
//! The thread's stack cache answers first. If it cannot, the unwinder walks the stack and the
//! calling-context tree gives it a number. A stack that a walk cannot record in the cache is read as
//! a whole, into a buffer.

#[cfg(tracemalloc_check)]
#[expect(unsafe_code, reason = "prints by the C library's functions")]
pub(super) mod check;

use crate::engine::memory::arena::Arena;
use crate::engine::memory::buffers::Buffers;
use crate::engine::memory::errno::KeepErrno;
use crate::engine::session::counters::Counter;
use crate::engine::session::{Session, SessionNumber};
pub(crate) use crate::engine::stack_cache::Candidate;
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::thread::slots::OwnSlot;
use crate::engine::unwind::{Caller, DEEPEST, Mark, OwnStack, StackEnd, Unwinder, here};

/// Frames captured beyond the session's limit, to replace those that are trimmed later: frames of
/// the allocator and of the standard library. There are more of them where nothing is inlined.
const MARGIN: usize = if cfg!(debug_assertions) { 48 } else { 24 };
/// Frames that fit into a buffer on the stack of the allocating thread. A build without optimisation
/// needs more of a small stack for itself.
const ON_STACK: usize = if cfg!(debug_assertions) { 1 } else { 96 };

/// Reads call stacks and gives each distinct one a number.
pub(crate) struct Capture {
    unwinder: Unwinder,
    stacks: Stacks,
    buffers: Buffers<DEEPEST>,
    /// Stacks that could not be recorded for want of memory.
    lost: Counter,
}

/// Where an allocation comes from.
///
/// It is found out before the block is allocated. The program's registers are at hand then, and an
/// allocation that fails afterwards has changed nothing but the tree of stacks.
pub(crate) struct CallContext<'g> {
    pub(in crate::engine) stack: StackId,
    /// `None` if the thread has no slot.
    pub(in crate::engine) slot: Option<OwnSlot<'g>>,
}

impl Capture {
    pub(crate) const fn new() -> Self {
        Self {
            unwinder: Unwinder::new(),
            stacks: Stacks::new(),
            buffers: Buffers::new(),
            lost: Counter::new(),
        }
    }

    /// Creates the tables that the first allocation needs. `None` without memory for them.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        self.stacks.prepare(arena)?;
        self.unwinder.prepare(arena);
        Some(())
    }

    /// The call context of an allocation that the function at `caller` makes. `slot`: its thread's.
    /// `candidate`: what [`Capture::call_context_fast`] has found out for the same `caller`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context<'g>(
        &self,
        arena: &Arena,
        mut slot: Option<OwnSlot<'g>>,
        session: Session,
        caller: Caller,
        candidate: Candidate,
    ) -> CallContext<'g> {
        let cached = match &mut slot {
            Some(slot) => {
                let cache = slot.stack_cache();
                cache.recall(caller, frames_of(session), candidate)
            }
            None => None,
        };
        let context = match cached {
            Some(stack) => CallContext { stack, slot },
            None => {
                // Registers one by one: a `Caller` would be put into memory on the other path too.
                self.call_context_slow(arena, slot, session, caller.pc, caller.sp, caller.fp)
            }
        };
        self.check(session, context.stack, caller.mark());
        context
    }

    /// Fast path of [`Capture::call_context`]: makes no call. Fails if the thread's cache has no entry
    /// that is valid as it stands.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context_fast<'g>(
        &self,
        mut slot: OwnSlot<'g>,
        session: Session,
        caller: Caller,
    ) -> Result<CallContext<'g>, Candidate> {
        let stack = slot.stack_cache().recall_fast(caller, frames_of(session))?;
        self.check(session, stack, caller.mark());
        let slot = Some(slot);
        Ok(CallContext { stack, slot })
    }

    /// Slow path of [`Capture::call_context`]: walks the stack.
    #[inline(never)]
    fn call_context_slow<'g>(
        &self,
        arena: &Arena,
        mut slot: Option<OwnSlot<'g>>,
        session: Session,
        pc: usize,
        sp: usize,
        fp: usize,
    ) -> CallContext<'g> {
        let caller = Caller { pc, sp, fp };
        let walked = slot.as_mut().and_then(|slot| {
            let max_frames = frames_of(session);
            let cache = slot.stack_cache();
            cache.fill(arena, &self.unwinder, &self.stacks, caller, max_frames)
        });
        let stack = walked.unwrap_or_else(|| {
            let own = slot.as_mut().map(|slot| slot.stack_cache().own_stack());
            let own = own.unwrap_or_default();
            self.read(arena, session, caller, caller.mark(), own)
        });
        CallContext { stack, slot }
    }

    /// The number of the running thread's stack, from the first frame above `mark` on. The thread must
    /// be inside the tracer.
    pub(crate) fn stack_here(&self, arena: &Arena, session: Session, mark: Mark) -> StackId {
        let stack = self.read(arena, session, here(), mark, OwnStack::default());
        self.check(session, stack, mark);
        stack
    }

    /// Reads the stack as a whole, without the cache.
    #[cold]
    #[inline(never)]
    fn read(
        &self,
        arena: &Arena,
        session: Session,
        caller: Caller,
        mark: Mark,
        own: OwnStack,
    ) -> StackId {
        let _errno = KeepErrno::new();
        let len = frames_of(session);
        let read = |buffer: &mut [usize]| {
            let captured = self.unwinder.capture(arena, caller, mark, own, buffer);
            let frames = buffer.get(..captured.frames).unwrap_or_default();
            let root = match captured.end {
                StackEnd::Oldest => Path::COMPLETE,
                StackEnd::Truncated => Path::TRUNCATED,
                StackEnd::UnknownCode => Path::INCOMPLETE,
            };
            self.stacks.intern(arena, frames, root)
        };
        let stack = if len <= ON_STACK {
            let mut buffer = [0; ON_STACK];
            buffer.get_mut(..len).and_then(read)
        } else {
            self.buffers.lend(arena, len, read).flatten()
        };
        stack.unwrap_or_else(|| {
            self.lost.add(session.number(), 1);
            StackId::OVERFLOW
        })
    }

    /// In the checking build: compares a recorded stack with the one that the system unwinder reads.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn check(&self, session: Session, stack: StackId, mark: Mark) {
        #[cfg(tracemalloc_check)]
        check::compare(&self.stacks, stack, mark, frames_of(session));
        let _ = (session, stack, mark);
    }

    pub(in crate::engine) fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// Calls `visit` with the return addresses of `stack`, most recent first, and returns its root.
    ///
    /// A cached stack may have frames beyond those that the session captures. They are left out: they
    /// may belong to another stack.
    pub(crate) fn frames(
        &self,
        session: Session,
        stack: StackId,
        mut visit: impl FnMut(usize),
    ) -> StackId {
        let mut left = frames_of(session);
        let mut cut = false;
        let root = self
            .stacks
            .read(stack, |address| match left.checked_sub(1) {
                Some(less) => {
                    left = less;
                    visit(address);
                }
                None => cut = true,
            });
        if cut { StackId::TRUNCATED } else { root }
    }

    /// Calls `visit` with `stack` and its callers' stacks and their return addresses, most recent
    /// first, while it answers true. Frames beyond those that a session captures are not left out.
    pub(crate) fn contexts(&self, stack: StackId, visit: impl FnMut(StackId, usize) -> bool) {
        self.stacks.read_while(stack, visit);
    }

    /// Stacks of the session that could not be recorded.
    pub(crate) fn lost(&self, number: SessionNumber) -> u64 {
        self.lost.get(number)
    }

    /// Brings the counter of lost stacks into the session: see [`Counter::refresh`].
    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.lost.refresh(number);
    }

    /// In the child of a fork: takes back the buffers of threads that are not there.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn forked(&self) {
        self.buffers.forked();
        self.unwinder.forked();
    }
}

/// Return addresses that a session captures of a stack.
#[cfg_attr(not(debug_assertions), inline(always))]
fn frames_of(session: Session) -> usize {
    session.limit() as usize + MARGIN
}
