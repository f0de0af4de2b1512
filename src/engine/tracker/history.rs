//! What an event notes in the history of its stack, in sessions that have one. Before the bytes are
//! counted: until then the peak is that of the moment before.

use super::Tracker;
use crate::engine::blocks::{Moving, NoRoom, Record};
use crate::engine::history::{Amount, Event, StackHistory, milliseconds};
use crate::engine::session::Session;
use crate::engine::stacks::StackId;
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

    /// Moves the peak on if the bytes that this thread sees, after it has counted an allocation, are a
    /// new one.
    #[inline(never)]
    pub(super) fn note_total(&self, session: Session, slot: Option<&OwnSlot>) {
        let total = match slot {
            Some(slot) => slot.thread.counter.seen(),
            None => self.shared.total(session.number()),
        };
        let slot = slot.map(|slot| slot.thread);
        self.history.raise_peak(session, slot, total);
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
        self.history.raise_peak_exactly(session, current);
        let parts = self.samples.block(session);
        self.history.for_each(session, parts, visit);
    }
}
