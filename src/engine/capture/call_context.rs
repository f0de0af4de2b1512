//! Where an allocation comes from: its stack, and the place of its thread.

use crate::engine::memory::errno::KeepErrno;
use crate::engine::session::Session;
use crate::engine::stacks::StackId;
use crate::engine::thread::guard::Guard;
use crate::engine::thread::slots::OwnSlot;
use crate::engine::tracker::Tracker;
use crate::engine::unwind::{Caller, Mark};

/// Frames read beyond the limit, because those of the allocator and the standard library are
/// trimmed later: many, where nothing is inlined.
const MARGIN: usize = if cfg!(debug_assertions) { 48 } else { 24 };
/// Frames that are read onto the machine stack of the allocating thread. Without optimisation the
/// tracer needs more of a small stack for itself.
const ON_STACK: usize = if cfg!(debug_assertions) { 1 } else { 96 };

/// What is known of an allocation before it is made.
///
/// The stack is read first and not when the block is there: the program's registers are at hand,
/// and an allocation that then fails has changed nothing but what the tracer knows of stacks.
pub(crate) struct CallContext<'g> {
    pub(in crate::engine) stack: StackId,
    pub(in crate::engine) slot: Option<OwnSlot<'g>>,
}

impl Tracker {
    /// Where an allocation comes from that the function at `caller` asks for.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> CallContext<'g> {
        let mut slot = self.threads.own_slot(&self.arena, guard);
        let known = match &mut slot {
            Some(slot) => slot.stack_cache().recall(caller, frames_of(session)),
            None => None,
        };
        let context = match known {
            Some(stack) => CallContext { stack, slot },
            // Registers, since a `Caller` would be put into memory for the other case too.
            None => self.call_context_slow(session, slot, caller.pc, caller.sp, caller.fp),
        };
        self.check(session, context.stack, caller.mark());
        context
    }

    /// The same if the thread remembers it and the callers that it was last found to share with
    /// others: no call is made.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context_fast<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> Option<CallContext<'g>> {
        let mut slot = self.threads.known_slot(guard)?;
        let stack = slot.stack_cache().recall_fast(caller, frames_of(session))?;
        self.check(session, stack, caller.mark());
        let slot = Some(slot);
        Some(CallContext { stack, slot })
    }

    /// The same where the thread remembers nothing that is still good.
    #[inline(never)]
    fn call_context_slow<'g>(
        &self,
        session: Session,
        mut slot: Option<OwnSlot<'g>>,
        pc: usize,
        sp: usize,
        fp: usize,
    ) -> CallContext<'g> {
        let caller = Caller { pc, sp, fp };
        let max_frames = frames_of(session);
        let walked = slot.as_mut().and_then(|slot| {
            self.unwinder.remember(
                &self.arena,
                &self.stacks,
                slot.stack_cache(),
                caller,
                max_frames,
            )
        });
        let stack = walked.unwrap_or_else(|| self.capture(session, caller, caller.mark()));
        CallContext { stack, slot }
    }

    /// In the checking mode: compares a stack with what the system unwinder reads.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn check(&self, session: Session, stack: StackId, mark: Mark) {
        #[cfg(tracemalloc_check)]
        crate::engine::capture::check::compare(&self.stacks, stack, mark, frames_of(session));
        let _ = (session, stack, mark);
    }

    /// The number of this thread's stack from here on, beyond `mark`.
    pub(crate) fn stack_here(&self, session: Session, guard: &mut Guard, mark: Mark) -> StackId {
        let _alone = guard;
        let stack = self.capture(session, crate::engine::unwind::here(), mark);
        self.check(session, stack, mark);
        stack
    }

    /// Reads the stack as a whole.
    #[cold]
    #[inline(never)]
    fn capture(&self, session: Session, caller: Caller, mark: Mark) -> StackId {
        let _errno = KeepErrno::new();
        let len = frames_of(session);
        let read = |buffer: &mut [usize]| {
            let captured = self.unwinder.capture(&self.arena, caller, mark, buffer);
            let frames = buffer.get(..captured.frames).unwrap_or_default();
            self.stacks.intern(&self.arena, frames, captured.truncated)
        };
        let stack = if len <= ON_STACK {
            let mut buffer = [0; ON_STACK];
            buffer.get_mut(..len).and_then(read)
        } else {
            self.buffers.lend(&self.arena, len, read).flatten()
        };
        stack.unwrap_or_else(|| {
            self.lost.stacks.add(session.number(), 1);
            StackId::OVERFLOW
        })
    }
}

/// Return addresses that a session captures of a stack.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(in crate::engine) fn frames_of(session: Session) -> usize {
    session.limit() as usize + MARGIN
}
