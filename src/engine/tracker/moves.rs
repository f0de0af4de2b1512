//! The steps of a reallocation: mark the record, let the inner allocator work, settle.

use super::Tracker;
use crate::engine::blocks::{Moving, Record};
use crate::engine::capture::CallContext;
use crate::engine::session::Session;
use crate::engine::thread::guard::Guard;

impl Tracker {
    /// Fast path of [`Tracker::begin_move`]: the record takes one word, and is there.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn begin_move_fast(
        &self,
        session: Session,
        address: usize,
        size: usize,
    ) -> Option<Moving> {
        let entry = self.live.own_entry(address, size, session.number())?;
        Some(entry.begin_move(address))
    }

    /// Marks the block at `address` before `realloc` may move it. `None` if it has no record.
    #[inline(never)]
    pub(crate) fn begin_move(
        &self,
        session: Session,
        address: usize,
        size: usize,
    ) -> Option<Moving> {
        self.live.begin_move(address, size, session.number())
    }

    /// Takes the mark of [`Tracker::begin_move`] back: `realloc` failed, and the block is as it was.
    pub(crate) fn cancel_move(&self, moving: Option<Moving>) {
        moving
            .iter()
            .for_each(|moving| self.live.cancel_move(moving));
    }

    /// Fast path of [`Tracker::finish_move`], in a session that does not sample: the new record
    /// takes one word, and counting needs no look at other threads. False if nothing was done.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn finish_move_fast(
        &self,
        session: Session,
        context: &CallContext,
        moving: &Moving,
        address: usize,
        size: usize,
    ) -> bool {
        let size = size as u64;
        let record = Record {
            size,
            stack: context.stack,
        };
        let free = self
            .live
            .entry_after_move(address, record, session.number());
        let (Some(slot), Some(free)) = (&context.slot, free) else {
            return false;
        };
        let counted = slot
            .thread
            .counter
            .change_within(session, moving.size, size);
        if counted {
            self.live.finish_move(moving, address);
            free.write();
        }
        counted
    }

    /// `realloc` has put the block at `address` with `size` bytes: a record of its own, from this
    /// call.
    // What it needs of the stack is not there yet while the caller's stack is walked.
    #[inline(never)]
    pub(crate) fn finish_move(
        &self,
        session: Session,
        context: &CallContext,
        moving: Option<Moving>,
        address: usize,
        size: usize,
    ) {
        if let Some(moving) = &moving {
            self.settle(session, moving, address);
        }
        self.record_change(session, context, address, moving.as_ref(), size);
    }

    /// `realloc` has put the block at `address` but the new one is not to be recorded.
    #[inline(never)]
    pub(crate) fn drop_move(
        &self,
        session: Session,
        guard: Option<&mut Guard>,
        moving: Option<Moving>,
        address: usize,
    ) {
        if let Some(moving) = moving {
            self.settle(session, &moving, address);
            let slot = guard.and_then(|guard| self.threads.own_slot(&self.arena, guard));
            if session.has_history() {
                self.note_free(session, slot.as_ref(), moving.address, moving.record());
            }
            let old = self.samples.bytes_for(session, moving.size);
            self.change(session, slot.as_ref(), old, 0);
        }
    }

    /// Clears the entry of a block that was moved to `address`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn settle(&self, session: Session, moving: &Moving, address: usize) {
        self.live.finish_move(moving, address);
        self.samples.remove(session, moving.address);
    }
}
