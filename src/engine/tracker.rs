//! What an event does: the state of the tracer as one value.
//!
//! The order of steps is a law. A block is learned after it was received and before anybody else
//! can know its address; it is removed before it is given back; a block that `realloc` may move
//! is marked first and settled afterwards, and stays as it was when `realloc` fails. Done the other
//! way round, another thread may be given the address in between and lose its record.

use crate::engine::blocks::{LiveTable, Moving, Record, SWEEP_EVERY, Spacing};
use crate::engine::capture::{CallContext, Capture};
use crate::engine::memory::arena::Arena;
use crate::engine::session::{Lost, LostBlocks, NotStarted, Session, Settings, Shared, Switch};
use crate::engine::stacks::StackId;
use crate::engine::thread::guard::Guard;
use crate::engine::thread::samples::Samples;
use crate::engine::thread::slot::ThreadSlot;
use crate::engine::thread::slots::{OwnSlot, ThreadSlots};
use crate::engine::unwind::{Caller, Mark};

/// The tracer's state.
pub(crate) struct Tracker {
    switch: Switch,
    pub(crate) samples: Samples,
    arena: Arena,
    capture: Capture,
    live: LiveTable,
    threads: ThreadSlots,
    /// What no thread's counter counts.
    shared: Shared,
    lost: LostBlocks,
}

impl Tracker {
    pub(crate) const fn new() -> Self {
        Self {
            switch: Switch::new(),
            samples: Samples::new(),
            arena: Arena::new(),
            capture: Capture::new(),
            live: LiveTable::new(),
            threads: ThreadSlots::new(),
            shared: Shared::new(),
            lost: LostBlocks::new(),
        }
    }

    /// The session, if tracing is on.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn session(&self) -> Option<Session> {
        self.switch.session()
    }

    pub(crate) fn never_started(&self) -> bool {
        self.switch.never_started()
    }

    /// Turns tracing on. `Ok(None)` if it was on; the session then goes on as it was.
    pub(crate) fn start(
        &self,
        settings: Settings,
        memory_limit: usize,
    ) -> Result<Option<Session>, NotStarted> {
        if self.session().is_some() {
            return Ok(None);
        }
        self.arena.set_limit(memory_limit);
        self.capture
            .prepare(&self.arena)
            .and_then(|()| self.live.prepare(&self.arena))
            .ok_or(NotStarted::NoMemory)?;
        #[cfg(all(unix, not(miri)))]
        crate::engine::fork::prepare(&(in_child as crate::engine::fork::InChild));
        if let Some(bytes) = settings.sample_every {
            self.samples
                .prepare(&self.arena, bytes)
                .ok_or(NotStarted::NoMemory)?;
        }
        #[cfg(tracemalloc_check)]
        crate::engine::capture::check::prepare();
        let session = self.switch.start(settings);
        self.sweep_if_due(session);
        Ok(session)
    }

    /// Turns tracing on, and off again if `is_installed` does not see an allocation arrive.
    ///
    /// One that another thread's stop lets pass proves nothing, so it counts only if the session
    /// was on from before it until after it. Otherwise all begins again.
    pub(crate) fn start_if_installed(
        &self,
        settings: Settings,
        memory_limit: usize,
        mut is_installed: impl FnMut() -> bool,
    ) -> Result<(), NotStarted> {
        loop {
            self.start(settings, memory_limit)?;
            let session = self.session();
            if is_installed() {
                return Ok(());
            }
            if session.is_some_and(|session| self.abandon(session)) {
                return Err(NotStarted::NotInstalled);
            }
        }
    }

    /// Turns tracing off; what was recorded is removed.
    pub(crate) fn stop(&self) {
        self.sweep_if_due(self.switch.stop());
    }

    /// Turns tracing off if `session` is still the one that is on. False if it is not.
    fn abandon(&self, session: Session) -> bool {
        let ended = self.switch.abandon(session);
        self.sweep_if_due(ended);
        ended.is_some()
    }

    /// Forgets what was recorded and goes on.
    pub(crate) fn clear(&self) {
        self.sweep_if_due(self.switch.clear());
    }

    /// Session numbers wrap in the tables, so now and then those of long ended sessions are wiped
    /// out.
    fn sweep_if_due(&self, begun: Option<Session>) {
        if let Some(number) = begun.map(Session::number)
            && number.0.is_multiple_of(SWEEP_EVERY)
        {
            self.live.sweep(number);
            self.samples.sweep(number);
            self.shared.refresh(number);
            self.capture.refresh(number);
            self.lost.refresh(number);
        }
    }

    /// Asks, before the first block is noted, how close the inner allocator puts blocks.
    #[inline]
    pub(crate) fn settle_spacing(&self, find_out: impl FnOnce() -> Spacing) {
        self.live.settle_spacing(find_out);
    }

    /// The call context of an allocation that the function at `caller` makes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> CallContext<'g> {
        let slot = self.threads.own_slot(&self.arena, guard);
        self.capture
            .call_context(&self.arena, slot, session, caller)
    }

    /// Fast path of [`Tracker::call_context`]: makes no call. `None` if that takes more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context_fast<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> Option<CallContext<'g>> {
        let slot = self.threads.known_slot(guard)?;
        self.capture.call_context_fast(slot, session, caller)
    }

    /// The number of the running thread's stack, from the first frame above `mark` on.
    pub(crate) fn stack_here(&self, session: Session, _inside: &mut Guard, mark: Mark) -> StackId {
        self.capture.stack_here(&self.arena, session, mark)
    }

    /// Notes the block of `size` bytes that this thread has just received at `address`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn record(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        size: usize,
    ) {
        self.record_change(session, context, address, 0, size);
    }

    /// The same for a block of the size that most have, in a session that does not sample. False if
    /// nothing was done, because it takes more than to write a word and to add.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn record_fast(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        size: usize,
    ) -> bool {
        let size = size as u64;
        let record = Record {
            size,
            stack: context.stack,
        };
        let free = self.live.free_entry(address, record, session.number());
        let (Some(slot), Some(free)) = (&context.slot, free) else {
            return false;
        };
        let counted = !session.is_sampled() && slot.thread.counter.change_within(session, 0, size);
        if counted {
            free.write();
        }
        counted
    }

    /// Writes the record and counts it: `old` bytes are replaced by its own.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn record_change(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        old: u64,
        size: usize,
    ) {
        let number = session.number();
        let size = size as u64;
        let record = Record {
            size,
            stack: context.stack,
        };
        self.samples.add(session, address);
        let (old, new) = match self.live.insert(&self.arena, address, record, number) {
            Ok(None) => (old, self.samples.bytes_for(session, size)),
            Ok(Some(stale)) => {
                self.lost.replaced.add(number, 1);
                let stale = self.samples.bytes_for(session, stale);
                (
                    old.saturating_add(stale),
                    self.samples.bytes_for(session, size),
                )
            }
            Err(_) => {
                self.samples.remove(session, address);
                self.lost.blocks.add(number, 1);
                (old, 0)
            }
        };
        self.change(session, context.slot.as_ref(), old, new);
    }

    /// Counts that `old` bytes became `new`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn change(&self, session: Session, slot: Option<&OwnSlot>, old: u64, new: u64) {
        match slot {
            Some(OwnSlot { thread, .. }) => {
                if !thread.counter.change_within(session, old, new) {
                    self.change_beyond(session, thread, old, new);
                }
            }
            None => self.change_shared(session, old, new),
        }
    }

    #[inline(never)]
    fn change_beyond(&self, session: Session, thread: &ThreadSlot, old: u64, new: u64) {
        thread.counter.change(session, old, new, || {
            self.shared
                .current(session.number())
                .wrapping_add(self.threads.net(session, Some(thread)))
        });
    }

    /// Counts that `old` bytes became `new` that belong to no thread's slot: those of a thread without
    /// one, and memory that is not the allocator's.
    #[inline(never)]
    pub(crate) fn change_shared(&self, session: Session, old: u64, new: u64) {
        self.shared.change(session.number(), old, new, || {
            self.threads.net(session, None)
        });
    }

    /// Forgets the block at `address`, which this thread owns and is about to give back. `guard`:
    /// `None` if it was inside the tracer already.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove(
        &self,
        session: Session,
        guard: Option<&mut Guard>,
        address: usize,
        size: usize,
    ) {
        if let Some(size) = self.live.remove(address, size, session.number()) {
            self.samples.remove(session, address);
            let slot = guard.and_then(|guard| self.threads.own_slot(&self.arena, guard));
            let bytes = self.samples.bytes_for(session, size);
            self.change(session, slot.as_ref(), bytes, 0);
        }
    }

    /// The same for a block of the size that most have, in a session that does not sample. False if
    /// nothing was done, because it takes more than to clear a word and to subtract.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove_fast(
        &self,
        session: Session,
        guard: &mut Guard,
        address: usize,
        size: usize,
    ) -> bool {
        let Some(slot) = self.threads.known_slot(guard) else {
            return false;
        };
        let Some(entry) = self.live.own_entry(address, size, session.number()) else {
            return false;
        };
        let removed =
            !session.is_sampled() && slot.thread.counter.change_within(session, entry.size(), 0);
        if removed {
            entry.remove();
        }
        removed
    }

    /// Marks the block at `address` before `realloc` may move it. `None` if it has no record.
    pub(crate) fn begin_move(
        &self,
        session: Session,
        address: usize,
        size: usize,
    ) -> Option<Moving> {
        self.live.begin_move(address, size, session.number())
    }

    /// `realloc` failed: the block is as it was.
    pub(crate) fn cancel_move(&self, moving: Option<Moving>) {
        moving
            .iter()
            .for_each(|moving| self.live.cancel_move(moving));
    }

    /// `realloc` has put the block at `address` with `size` bytes: a record of its own, from this
    /// call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn finish_move(
        &self,
        session: Session,
        context: &CallContext,
        moving: Option<Moving>,
        address: usize,
        size: usize,
    ) {
        let old = self.settle(session, moving);
        self.record_change(session, context, address, old, size);
    }

    /// `realloc` has moved the block but the new one is not to be recorded.
    pub(crate) fn drop_move(
        &self,
        session: Session,
        guard: Option<&mut Guard>,
        moving: Option<Moving>,
    ) {
        if moving.is_some() {
            let old = self.settle(session, moving);
            let slot = guard.and_then(|guard| self.threads.own_slot(&self.arena, guard));
            self.change(session, slot.as_ref(), old, 0);
        }
    }

    /// Clears the old place of a moved block and returns its bytes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn settle(&self, session: Session, moving: Option<Moving>) -> u64 {
        moving.map_or(0, |moving| {
            self.live.finish_move(&moving);
            self.samples.remove(session, moving.address);
            self.samples.bytes_for(session, moving.record.size)
        })
    }

    /// The size and the stack of the live block that starts at `address`. Any number may be asked
    /// for.
    pub(crate) fn block_at(&self, session: Session, address: usize) -> Option<(u64, StackId)> {
        let record = self.live.get(address, session.number())?;
        Some((record.size, record.stack))
    }

    /// Calls `visit` with the size and the stack of every live block.
    pub(crate) fn for_each_block(&self, session: Session, mut visit: impl FnMut(u64, StackId)) {
        self.live
            .for_each(session.number(), |record| visit(record.size, record.stack));
    }

    /// See [`Capture::frames`].
    pub(crate) fn read_stack(
        &self,
        session: Session,
        stack: StackId,
        visit: impl FnMut(usize),
    ) -> StackId {
        self.capture.frames(session, stack, visit)
    }

    /// Bytes live now and at most since the session began or the peak was reset.
    pub(crate) fn traced_memory(&self, session: Session) -> (u64, u64) {
        let number = session.number();
        let current = self.shared.current(number) + self.threads.net(session, None);
        let peak = self.shared.peak(number).max(self.threads.peak(session));
        (current.max(0) as u64, peak.max(current).max(0) as u64)
    }

    pub(crate) fn reset_peak(&self, session: Session) {
        if let Some(session) = self.switch.reset_peak(session) {
            let (current, _) = self.traced_memory(session);
            self.shared.set_peak(session.number(), current);
        }
    }

    pub(crate) fn lost(&self, session: Session) -> Lost {
        let number = session.number();
        self.lost.with_stacks(number, self.capture.lost(number))
    }

    /// Bytes of physical memory that the tables take.
    pub(crate) fn own_memory(&self) -> usize {
        self.arena.resident()
    }

    /// Which mappings the arena is refused.
    #[cfg(any(test, tracemalloc_failpoints))]
    pub(crate) fn refusals(&self) -> &crate::engine::memory::refusals::Refusals {
        self.arena.refusals()
    }
}

/// The state of the one global allocator of a program.
pub(crate) static TRACKER: Tracker = Tracker::new();

/// In the child of a fork: takes back what belonged to threads that are not there. `before`: who this
/// thread was in the parent.
#[cfg(all(unix, not(miri)))]
fn in_child(before: Option<crate::engine::thread::slots::Owner>) {
    TRACKER.threads.forked(before);
    TRACKER.capture.forked();
}
