//! The tracker: what an allocation, a free and a reallocation do to the tables, and in which order.
//! Its state is one value, so tests have trackers of their own.
//!
//! # The tables
//!
//! | table | holds | found by | who writes it |
//! | --- | --- | --- | --- |
//! | `switch` | the session: on or off, number, settings | one word | any thread, by compare-and-swap |
//! | `capture`, rules | how to unwind from a return address | return address | any thread, once: a rule never changes |
//! | `capture`, stacks | distinct call stacks, as a tree of (return address, caller) | hash of the path | any thread, by compare-and-swap: a node never changes |
//! | `threads`, stack cache | the thread's last stacks, and the words that they were read from | registers of the caller | the slot's thread |
//! | `threads`, counter | what the thread has added to current bytes, and the peak that it has seen | the slot | the slot's thread |
//! | `live` | a live block's size, stack and session | address | the block's owner |
//! | `samples` | the sampling period, and which addresses may have a record | address | any thread, by compare-and-swap |
//! | `history` | sums of a stack: at the peak, in all | the stack | the thread that made the record, and all others in a second one |
//! | `shared`, `lost` | bytes that belong to no slot, and losses | the session | any thread, by compare-and-swap |
//! | `alarm` | live bytes at which a waiting thread is woken | one word | who sets it, and the thread that reaches it |
//! | `arena` | the memory of all tables | | any thread, by compare-and-swap |
//! | `counts_mapped` | whether the system is asked which memory is resident | one word | the thread that starts a session |
//!
//! A block's owner is the thread that has received it and not yet given it back. It alone may pass
//! the block to `dealloc` or `realloc`, so no two threads write one entry of the live table at a
//! time. A thread that hands a block to another one synchronises with it, and thereby hands over the
//! entry.
//!
//! # The order of steps
//!
//! 1. `alloc`: find the call context; allocate; write the record; count it; return the address.
//! 2. `dealloc`: remove the record; count that; free the block.
//! 3. `realloc`: find the call context; mark the record as moving; reallocate. On failure, take the
//!    mark back. On success, clear the old entry if it still has the mark, write a new record, and
//!    count the difference as one step.
//!
//! Between the free and the next step another thread may receive the address. So a record is gone
//! before its block is freed, and a record that `realloc` has left behind is cleared only if nobody
//! has written over it.
//!
//! # What the atomic orderings are for
//!
//! No step waits for another thread, and no table relies on what another one says. A thread that sees
//! a session may not see the tables that were made before it began; it then makes them itself or
//! finds them in the slow path. So the switch is loaded relaxed.
//!
//! - A pointer to a table is published with release and loaded with acquire (`OnceRef`): a thread that sees
//!   the table sees it zeroed.
//! - A word that stands for other memory is stored with release and loaded with acquire: the index of
//!   stacks for the nodes, a live entry's first word for its second and for its stack's nodes, a
//!   slot's owner for all that its last owner did there.
//! - A counter that other threads read is stored with release, its session last. A reader of the
//!   session sees nothing of the one before.
//! - Sums that carry their session in their own word are relaxed: nothing else is read on the
//!   strength of them.

mod history;
mod labels;
mod moves;
mod questions;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::blocks::{LiveTable, Moving, Record, SWEEP_EVERY, Spacing};
use crate::engine::capture::{CallContext, Candidate, Capture};
use crate::engine::history::History;
use crate::engine::memory::arena::Arena;
use crate::engine::session::{
    Alarm, Flag, LostBlocks, NotStarted, Session, Settings, Shared, Switch,
};
use crate::engine::thread::guard::Guard;
use crate::engine::thread::samples::Samples;
use crate::engine::thread::slot::ThreadSlot;
use crate::engine::thread::slots::{OwnSlot, ThreadSlots};
use crate::engine::unwind::Caller;

/// The tracer's state.
pub(crate) struct Tracker {
    switch: Switch,
    pub(crate) samples: Samples,
    arena: Arena,
    capture: Capture,
    live: LiveTable,
    threads: ThreadSlots,
    history: History,
    /// Bytes that belong to no thread's slot.
    shared: Shared,
    lost: LostBlocks,
    pub(crate) alarm: Alarm,
    /// The system is not to be asked which memory is resident. Relaxed: it guards nothing.
    counts_mapped: AtomicBool,
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
            history: History::new(),
            shared: Shared::new(),
            lost: LostBlocks::new(),
            alarm: Alarm::new(),
            counts_mapped: AtomicBool::new(false),
        }
    }

    /// The session, if tracing is on.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn session(&self) -> Option<Session> {
        self.switch.session()
    }

    /// The session in which blocks are recorded, by `start` or by a scope.
    pub(crate) fn recording(&self) -> Option<Session> {
        self.switch.recording()
    }

    /// What an event has to do. `None`: nothing.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn event(&self) -> Option<Session> {
        self.switch.event()
    }

    pub(crate) fn never_started(&self) -> bool {
        self.switch.never_started()
    }

    /// Turns tracing on. `Ok(None)` if it is on already: the session then continues unchanged.
    pub(crate) fn start(
        &self,
        settings: Settings,
        memory_limit: usize,
    ) -> Result<Option<Session>, NotStarted> {
        if self.session().is_some() {
            return Ok(None);
        }
        self.prepare(settings, memory_limit)?;
        let session = self.switch.start(settings);
        self.sweep_if_due(session);
        Ok(session)
    }

    /// Makes the session that is on, or one for scopes alone if none is. `None` without memory.
    pub(crate) fn recording_for_scopes(&self, settings: Settings) -> Option<Session> {
        loop {
            if let Some(session) = self.recording() {
                return Some(session);
            }
            self.prepare(settings, usize::MAX).ok()?;
            let session = self.switch.start_for_scopes(settings);
            self.sweep_if_due(session);
        }
    }

    /// Ends a session that scopes have started, if it is still on.
    pub(crate) fn end_recording(&self, session: Session) {
        self.abandon(session);
    }

    /// Makes the tables that a session with these settings needs.
    fn prepare(&self, settings: Settings, memory_limit: usize) -> Result<(), NotStarted> {
        if self.arena.is_unmapped() {
            return Err(NotStarted::NoMemory);
        }
        self.arena.set_limit(memory_limit);
        if !settings.only_scopes {
            self.counts_mapped
                .store(settings.counts_mapped, Ordering::Relaxed);
        }
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
        Ok(())
    }

    /// Turns tracing on, and off again if `is_installed` finds that no allocation arrives.
    ///
    /// `is_installed` makes an allocation. Another thread may stop the session meanwhile, and then
    /// nothing arrives although the tracer is installed. So its answer counts only if the session was
    /// on throughout; otherwise the start is repeated.
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

    /// Turns tracing off. Every record is dead from then on.
    pub(crate) fn stop(&self) {
        self.sweep_if_due(self.switch.stop());
    }

    /// Turns tracing off if `session` is still the one that is on. False if it is not.
    fn abandon(&self, session: Session) -> bool {
        let ended = self.switch.abandon(session);
        self.sweep_if_due(ended);
        ended.is_some()
    }

    /// Turns tracing off for ever and gives the tables back to the system.
    ///
    /// # Safety
    /// No other thread is inside this tracker, and from now on it is only asked to forward
    /// allocations, and to start, which fails.
    #[expect(unsafe_code, reason = "a promise of the caller's")]
    pub(crate) unsafe fn unload(&self) {
        self.switch.stop();
        // SAFETY: with tracing off an event reads the switch and no table; the caller promises that
        // no thread is still in an event of the session that has ended.
        unsafe { self.arena.unmap_all() };
    }

    /// Begins a new session with unchanged settings. Every record of the old one is dead.
    pub(crate) fn clear(&self) {
        self.sweep_if_due(self.switch.clear());
    }

    /// Has every event from now on ask whether its thread is in a scope.
    pub(crate) fn open_scopes(&self) {
        self.switch.set(Flag::ScopesOpen, true);
    }

    /// Sets or clears `flag` for the events that begin from now on.
    #[cfg(test)]
    pub(crate) fn set_flag(&self, flag: Flag, value: bool) {
        self.switch.set(flag, value);
    }

    /// Clears what old sessions have left in the tables, every [`SWEEP_EVERY`] sessions: a table keeps
    /// only the low bits of a session's number.
    fn sweep_if_due(&self, begun: Option<Session>) {
        if let Some(number) = begun.map(Session::number)
            && number.0.is_multiple_of(SWEEP_EVERY)
        {
            self.live.sweep(number);
            self.samples.sweep(number);
            self.shared.refresh(number);
            self.capture.refresh(number);
            self.lost.refresh(number);
            self.history.refresh(number);
        }
    }

    /// Must come before the first record: see [`LiveTable::settle_spacing`].
    #[inline]
    pub(crate) fn settle_spacing(&self, find_out: impl FnOnce() -> Spacing) {
        self.live.settle_spacing(find_out);
    }

    /// The call context of an allocation that the function at `caller` makes. `candidate`: what
    /// [`Tracker::call_context_fast`] has found out for the same `caller`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
        candidate: Candidate,
    ) -> CallContext<'g> {
        let slot = self.threads.own_slot(&self.arena, guard);
        self.capture
            .call_context(&self.arena, slot, session, caller, candidate)
    }

    /// Fast path of [`Tracker::call_context`]: makes no call. Fails if that takes more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn call_context_fast<'g>(
        &self,
        session: Session,
        guard: &'g mut Guard,
        caller: Caller,
    ) -> Result<CallContext<'g>, Candidate> {
        let slot = self.threads.known_slot(guard).ok_or(Candidate::NONE)?;
        self.capture.call_context_fast(slot, session, caller)
    }

    /// Records the block of `size` bytes that this thread has just received at `address`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn record(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        size: usize,
    ) {
        if !session.has_history() || !self.record_noting(session, context, address, size) {
            self.record_change(session, context, address, None, size);
        }
    }

    /// Fast path of [`Tracker::record`]: writes one word and adds. False if nothing was done: the record
    /// needs a second word or a new table, the entry is in use, the counter has to look at others, or
    /// the session samples.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn record_fast(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        size: usize,
    ) -> bool {
        if !session.is_plain() {
            return false;
        }
        let size = size as u64;
        let record = Record {
            size,
            stack: context.stack,
        };
        let free = self.live.free_entry(address, record, session.number());
        let (Some(slot), Some(free)) = (&context.slot, free) else {
            return false;
        };
        let counted = slot.thread.counter.change_within(session, 0, size);
        if counted {
            free.write();
        }
        counted
    }

    /// Writes a block's record, and counts its bytes in place of those of the `old` block that
    /// `realloc` has made it from, as one step.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn record_change(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        old: Option<&Moving>,
        size: usize,
    ) {
        let number = session.number();
        let size = size as u64;
        let record = Record {
            size,
            stack: context.stack,
        };
        self.samples.add(session, address);
        let inserted = self.live.insert(&self.arena, address, record, number);
        if session.has_history() {
            let slot = context.slot.as_ref();
            self.note_change(session, slot, address, old, record, inserted);
        }
        let mut freed = old.map_or(0, |old| self.samples.bytes_for(session, old.size));
        let allocated = match inserted {
            Ok(stale) => {
                if let Some(stale) = stale {
                    self.lost.replaced.add(number, 1);
                    let stale = self.samples.bytes_for(session, stale.size);
                    freed = freed.saturating_add(stale);
                }
                self.samples.bytes_for(session, size)
            }
            Err(_) => {
                self.samples.remove(session, address);
                self.lost.blocks.add(number, 1);
                0
            }
        };
        self.change(session, context.slot.as_ref(), freed, allocated);
        if session.has_history()
            && let Some(slot) = &context.slot
        {
            self.note_total(session, Some(slot));
        }
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
        let fold = |part| {
            if session.has_history() {
                self.history.folded(thread);
            }
            let total = self.shared.fold(session.number(), part);
            self.alarm.check(total);
            total
        };
        thread.counter.change(session, old, new, fold);
    }

    /// Counts that `old` bytes became `new` that belong to no thread's slot: those of a thread without
    /// one, and memory that is not the allocator's.
    #[inline(never)]
    pub(crate) fn change_shared(&self, session: Session, old: u64, new: u64) {
        self.shared.change(session.number(), old, new);
        if new > old {
            self.alarm.check(self.shared.total(session.number()));
        }
        if session.has_history() {
            self.note_total(session, None);
        }
    }

    /// Removes the record of the block at `address`, which this thread owns and is about to free.
    /// `guard`: `None` if the thread was inside the tracer already.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove(
        &self,
        session: Session,
        mut guard: Option<&mut Guard>,
        address: usize,
        size: usize,
    ) {
        if session.has_history()
            && let Some(guard) = &mut guard
            && self.remove_noting(session, guard, address, size)
        {
            return;
        }
        if let Some(record) = self.live.remove(address, size, session.number()) {
            self.samples.remove(session, address);
            let slot = guard.and_then(|guard| self.threads.own_slot(&self.arena, guard));
            if session.has_history() {
                self.note_free(session, slot.as_ref(), address, record);
            }
            let bytes = self.samples.bytes_for(session, record.size);
            self.change(session, slot.as_ref(), bytes, 0);
        }
    }

    /// Fast path of [`Tracker::remove`]: clears one word and subtracts. False if nothing was done: the
    /// thread has no slot, the record has a second word or does not exist, the counter has to look at
    /// others, or the session samples.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove_fast(
        &self,
        session: Session,
        guard: &mut Guard,
        address: usize,
        size: usize,
    ) -> bool {
        if !session.is_plain() {
            return false;
        }
        let Some(slot) = self.threads.known_slot(guard) else {
            return false;
        };
        let Some(entry) = self.live.own_entry(address, size, session.number()) else {
            return false;
        };
        let removed = slot.thread.counter.change_within(session, entry.size(), 0);
        if removed {
            entry.remove();
        }
        removed
    }
}

/// The tracker of the program's global allocator.
pub(crate) static TRACKER: Tracker = Tracker::new();

/// Takes back, in the child of a fork, what belonged to threads that are not there. `before`: who this
/// thread was in the parent.
#[cfg(all(unix, not(miri)))]
fn in_child(before: Option<crate::engine::thread::owner::Owner>) {
    if !TRACKER.arena.is_unmapped() {
        TRACKER.threads.forked(before);
        TRACKER.capture.forked();
    }
}
