//! Where an allocation comes from: its stack, and the place of its thread.

use super::errno::KeepErrno;
use super::guard::Guard;
use super::session::Session;
use super::stacks::StackId;
use super::threads::Mine;
use super::tracker::Tracker;
use super::unwind::{Caller, Mark};

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
pub(crate) struct Origin<'g> {
    pub(super) stack: StackId,
    pub(super) mine: Option<Mine<'g>>,
}

impl Tracker {
    /// Where an allocation comes from that the function at `caller` asks for.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn origin<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> Origin<'g> {
        let mut mine = self.threads.mine(&self.arena, guard);
        let known = match &mut mine {
            Some(mine) => mine.memo().recall(caller, frames_of(session)),
            None => None,
        };
        let origin = match known {
            Some(stack) => Origin { stack, mine },
            // Registers, since a `Caller` would be put into memory for the other case too.
            None => self.origin_anew(session, mine, caller.pc, caller.sp, caller.fp),
        };
        self.check(session, origin.stack, caller.mark());
        origin
    }

    /// The same if the thread remembers it and the callers that it was last found to share with others:
    /// no call is made.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn known_origin<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> Option<Origin<'g>> {
        let mut mine = self.threads.known(guard)?;
        let stack = mine.memo().recall_at_once(caller, frames_of(session))?;
        self.check(session, stack, caller.mark());
        let mine = Some(mine);
        Some(Origin { stack, mine })
    }

    /// The same where the thread remembers nothing that is still good.
    #[inline(never)]
    fn origin_anew<'g>(
        &self,
        session: Session,
        mut mine: Option<Mine<'g>>,
        pc: usize,
        sp: usize,
        fp: usize,
    ) -> Origin<'g> {
        let caller = Caller { pc, sp, fp };
        let most = frames_of(session);
        let walked = mine.as_mut().and_then(|mine| {
            self.unwinder
                .remember(&self.arena, &self.stacks, mine.memo(), caller, most)
        });
        let stack = walked.unwrap_or_else(|| self.capture(session, caller, caller.mark()));
        Origin { stack, mine }
    }

    /// In the checking mode: compares a stack with what the platform's unwinder reads.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn check(&self, session: Session, stack: StackId, mark: Mark) {
        #[cfg(tracemalloc_check)]
        super::check::compare(&self.stacks, stack, mark, frames_of(session));
        let _ = (session, stack, mark);
    }

    /// The number of this thread's stack from here on, beyond `mark`.
    pub(crate) fn stack_here(&self, session: Session, guard: &mut Guard, mark: Mark) -> StackId {
        let _alone = guard;
        let stack = self.capture(session, super::unwind::here(), mark);
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
            self.lost.stacks.add(session.epoch(), 1);
            StackId::OVERFLOW
        })
    }
}

/// Return addresses that a session captures of a stack.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn frames_of(session: Session) -> usize {
    session.limit() as usize + MARGIN
}
