//! What an event notes in the history of its stack, in sessions that have one: always before the peak
//! can move on to the moment after the event.

use super::Tracker;
use crate::engine::blocks::{Moving, NoRoom, Record};
use crate::engine::capture::CallContext;
use crate::engine::history::{Amount, Event, StackHistory, milliseconds};
use crate::engine::session::Session;
use crate::engine::stacks::StackId;
use crate::engine::thread::guard::Guard;
use crate::engine::thread::slot::ThreadSlot;
use crate::engine::thread::slots::OwnSlot;

impl Tracker {
    /// Notes the block of `record` at `address`, which `realloc` may have made from an `old` one.
    #[inline(never)]
    pub(super) fn note_change(
        &self,
        session: Session,
        slot: Option<&OwnSlot>,
        address: usize,
        old: Option<&Moving>,
        record: Record,
        inserted: Result<Option<Record>, NoRoom>,
    ) {
        let stale = inserted.ok().flatten();
        if stale.is_some() || old.is_some() {
            self.note_peak_before(session, slot);
        }
        // A block that `realloc` has moved did not live short: it lives on.
        for freed in [stale, old.map(Moving::record)].into_iter().flatten() {
            self.note(session, slot, freed, Event::Freed);
        }
        if let (Some(slot), Some(old)) = (slot, old) {
            slot.thread.recent.remove(session, old.address);
        }
        if inserted.is_err() {
            return;
        }
        if let Some(slot) = slot {
            slot.thread.recent.add(session, address);
        }
        let event = match old {
            None => Event::Allocated,
            Some(old) if old.address == address => Event::Resized { copied: 0 },
            Some(old) => Event::Resized {
                copied: old.size.min(record.size),
            },
        };
        self.note(session, slot, record, event);
    }

    /// Notes that the block of `record` at `address` is about to be freed.
    #[inline(never)]
    pub(super) fn note_free(
        &self,
        session: Session,
        slot: Option<&OwnSlot>,
        address: usize,
        record: Record,
    ) {
        self.note_peak_before(session, slot);
        let recent = |slot: &OwnSlot| slot.thread.recent.remove(session, address);
        // Where most allocations are not seen, nobody knows which ones came next.
        let event = if !session.is_sampled() && slot.is_some_and(recent) {
            Event::FreedSoon
        } else {
            Event::Freed
        };
        self.note(session, slot, record, event);
    }

    #[inline]
    fn note(&self, session: Session, slot: Option<&OwnSlot>, record: Record, event: Event) {
        let amount = Amount {
            bytes: self.samples.bytes_for(session, record.size),
            blocks: self.samples.blocks_for(session, record.size),
        };
        let slot = slot.map(|slot| slot.thread);
        self.history
            .count(&self.arena, session, slot, record.stack, amount, event);
    }

    /// Before a block is freed or made another one: notes the peak if this moment is a new one.
    #[inline]
    pub(super) fn note_peak_before(&self, session: Session, slot: Option<&OwnSlot>) {
        if let Some(OwnSlot { thread, .. }) = slot {
            let total = thread.counter.seen();
            self.history.before_free(session, thread, total);
        }
    }

    /// After an allocation is counted: notes the peak if the bytes that this thread sees are a new one.
    #[inline(never)]
    pub(super) fn note_total(&self, session: Session, slot: Option<&OwnSlot>) {
        match slot {
            Some(OwnSlot { thread, .. }) => self.note_own_total(session, thread),
            None => {
                let total = self.shared.total(session.number());
                self.history.raise_peak(session, total);
            }
        }
    }

    #[inline(always)]
    fn note_own_total(&self, session: Session, thread: &ThreadSlot) {
        let counter = &thread.counter;
        let current = || {
            let folded = self.shared.total(session.number());
            folded.saturating_add(counter.unfolded())
        };
        self.history
            .after_allocation(session, thread, counter.seen(), current);
    }

    /// [`Tracker::record`] in a session with a history, if it takes one word and counting needs no look at
    /// other threads. False if nothing was done.
    #[inline(never)]
    pub(super) fn record_noting(
        &self,
        session: Session,
        context: &CallContext,
        address: usize,
        size: usize,
    ) -> bool {
        let size = size as u64;
        let (stack, number) = (context.stack, session.number());
        let free = self
            .live
            .free_entry(address, Record { size, stack }, number);
        let (Some(OwnSlot { thread, .. }), Some(free)) = (&context.slot, free) else {
            return false;
        };
        if session.is_sampled() || !thread.counter.change_within(session, 0, size) {
            return false;
        }
        free.write();
        // After the bytes are counted, and before the peak can move on.
        thread.recent.add(session, address);
        let history = &self.history;
        if !history.count_allocated_fast(session, thread, stack, size) {
            let amount = Amount {
                bytes: size,
                blocks: 1,
            };
            let event = Event::Allocated;
            history.count(&self.arena, session, Some(thread), stack, amount, event);
        }
        self.note_own_total(session, thread);
        true
    }

    /// [`Tracker::remove`] in a session with a history, as [`Tracker::record_noting`] is for
    /// [`Tracker::record`].
    #[inline(never)]
    pub(super) fn remove_noting(
        &self,
        session: Session,
        guard: &mut Guard,
        address: usize,
        size: usize,
    ) -> bool {
        let Some(OwnSlot { thread, .. }) = self.threads.known_slot(guard) else {
            return false;
        };
        let Some(entry) = self.live.own_entry(address, size, session.number()) else {
            return false;
        };
        if session.is_sampled() {
            return false;
        }
        let history = &self.history;
        history.before_free(session, thread, thread.counter.seen());
        let Record { size, stack } = entry.record();
        if !thread.counter.change_within(session, size, 0) {
            return false;
        }
        entry.remove();
        let is_soon = thread.recent.remove(session, address);
        if !history.count_freed_fast(session, thread, stack, size, is_soon) {
            let amount = Amount {
                bytes: size,
                blocks: 1,
            };
            let event = if is_soon {
                Event::FreedSoon
            } else {
                Event::Freed
            };
            history.count(&self.arena, session, Some(thread), stack, amount, event);
        }
        true
    }

    /// How often the peak of sessions with a history has moved on: see
    /// [`History::peak_moves`](crate::engine::history::History::peak_moves).
    pub(crate) fn peak_moves(&self) -> u32 {
        self.history.peak_moves()
    }

    /// Bytes that were live when the peak was noted.
    #[cfg(test)]
    pub(crate) fn noted_peak(&self, session: Session) -> u64 {
        self.history.peak_total(session)
    }

    /// Events that the history of `session` lacks for want of memory.
    pub(crate) fn lost_history(&self, session: Session) -> u64 {
        self.history.lost(session)
    }

    /// The clock of the history.
    pub(crate) fn milliseconds(&self) -> u64 {
        milliseconds()
    }

    /// Calls `visit` with every stack that has a history, of the allocator's blocks. All of them are
    /// estimates in a session that samples.
    pub(crate) fn for_each_history(
        &self,
        session: Session,
        visit: impl FnMut(StackId, StackHistory),
    ) {
        // Threads may not have seen that this moment is the peak.
        let (current, _) = self.traced_memory(session);
        self.history.raise_peak(session, current as i64);
        let parts = self.samples.block(session);
        self.history.for_each(session, parts, visit);
    }
}
