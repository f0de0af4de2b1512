//! History: what a live snapshot cannot say. For every stack, what was live at the peak, what it has
//! allocated in all, what lived short, and for how long.
//!
//! ```text
//! block allocated at a stack:
//!     record of the stack                      made at the first allocation
//!     has the peak moved on since the record was changed last?
//!         yes: what is live now was live at the peak: copy it
//!     live, allocated += block
//! all bytes are counted; if this is a new peak, the peak moves on
//! ```
//!
//! A record is read as it is written: if the peak has moved on since its last change, what is live was
//! live at the peak. So a new peak costs one addition, however many stacks there are.
//!
//! # Who writes a record
//!
//! The thread that makes a stack's record is its only writer: it loads and stores. What other threads
//! do with blocks of the stack goes into a second record, which they share and change by
//! compare-and-swap. The sum of both is the stack's: a thread may have freed more than it has allocated.
//!
//! # What the atomic orderings are for
//!
//! The number of a record is published with release and loaded with acquire, so that its stack is seen.
//! All else is relaxed: each sum carries its session in its own word, and no read depends on another.
//! A thread that sees a new peak late may change its record before it copies it. So with several threads
//! an event in progress at the peak may or may not count.

mod clock;
mod peak;
mod record;
mod sums;
mod table;

use std::sync::atomic::Ordering;

use crate::engine::memory::arena::Arena;
use crate::engine::session::counters::Counter;
use crate::engine::session::sum::Writer;
use crate::engine::session::{Session, SessionNumber};
use crate::engine::stacks::StackId;
use crate::engine::thread::slot::ThreadSlot;

pub(crate) use clock::milliseconds;
use peak::Peak;
use record::Record;
pub(crate) use record::Resized;
pub(crate) use sums::Amount;
use sums::At;
use table::Table;

/// What is known of each stack beside its live blocks.
pub(crate) struct History {
    table: Table,
    peak: Peak,
    /// Blocks that were allocated without a record for their stack.
    lost: Counter,
}

/// The history of one stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StackHistory {
    pub(crate) live: Amount,
    pub(crate) at_peak: Amount,
    /// Since the session began; reallocations too.
    pub(crate) allocated: Amount,
    /// Freed by the thread that had allocated them, within its next few allocations.
    pub(crate) temporary: Amount,
    /// The highest number of bytes live at one time, and the blocks of that time.
    pub(crate) highest: Amount,
    pub(crate) resized: Resized,
    /// How long all blocks together lived, in milliseconds; up to now those that still live.
    pub(crate) lifetime: u64,
}

impl StackHistory {
    /// What happened after a moment at which the history was `earlier` and nothing was live. If no more was
    /// live at one time since, the highest of that time is an upper bound.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let allocated = self.allocated.saturating_sub(earlier.allocated);
        let is_bound = self.highest == earlier.highest && allocated.bytes < self.highest.bytes;
        Self {
            live: self.live,
            at_peak: self.at_peak,
            allocated,
            temporary: self.temporary.saturating_sub(earlier.temporary),
            highest: if is_bound { allocated } else { self.highest },
            resized: Resized {
                times: self.resized.times.saturating_sub(earlier.resized.times),
                copied: self.resized.copied.saturating_sub(earlier.resized.copied),
            },
            lifetime: self.lifetime.saturating_sub(earlier.lifetime),
        }
    }

    /// With blocks that were counted in `parts` of one.
    fn of_parts(self, parts: u64) -> Self {
        Self {
            live: self.live.of_parts(parts),
            at_peak: self.at_peak.of_parts(parts),
            allocated: self.allocated.of_parts(parts),
            temporary: self.temporary.of_parts(parts),
            highest: self.highest.of_parts(parts),
            resized: Resized {
                times: (self.resized.times + parts / 2) / parts,
                ..self.resized
            },
            lifetime: self.lifetime / parts,
        }
    }
}

/// What one event does to a block of a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Allocated,
    /// By a reallocation. If the block has moved, `copied` bytes went with it.
    Resized {
        copied: u64,
    },
    Freed,
    /// Within a few allocations of its thread.
    FreedSoon,
}

impl History {
    pub(crate) const fn new() -> Self {
        Self {
            table: Table::new(),
            peak: Peak::new(),
            lost: Counter::new(),
        }
    }

    /// Counts an event of `amount` at `stack`. `slot`: the running thread's; without one it shares
    /// records with other threads.
    pub(crate) fn count(
        &self,
        arena: &Arena,
        session: Session,
        slot: Option<&ThreadSlot>,
        stack: StackId,
        amount: Amount,
        event: Event,
    ) {
        let number = session.number();
        let me = self.table.writer_of(slot);
        let main = match event {
            Event::Allocated | Event::Resized { .. } => {
                self.table.find_or_add(arena, number, stack, me)
            }
            Event::Freed | Event::FreedSoon => self.table.find(stack),
        };
        let Some(main) = main else {
            if matches!(event, Event::Allocated | Event::Resized { .. }) {
                self.lost.add(number, 1);
            }
            return;
        };
        let others = self.table.others(main);
        let (record, writer, beside) = if main.is_shared() {
            (main, Writer::Shared, None)
        } else if main.is_of(me) {
            (main, Writer::Alone, others)
        } else {
            match others.or_else(|| self.table.add_others(arena, number, main)) {
                Some(others) => (others, Writer::Shared, Some(main)),
                None => {
                    self.lost.add(number, 1);
                    return;
                }
            }
        };
        let at = At {
            number,
            writer,
            peak: self.peak.moves(),
            now: slot.map_or_else(milliseconds, clock::of_slot),
        };
        record.count(at, amount, event, beside);
    }

    /// Fast path of [`History::count`], for one block that the thread of `slot` has allocated. False
    /// if nothing was done.
    #[inline(always)]
    pub(crate) fn count_allocated_fast(
        &self,
        session: Session,
        slot: &ThreadSlot,
        stack: StackId,
        bytes: u64,
    ) -> bool {
        let Some((record, at)) = self.own_record(session, slot, stack) else {
            return false;
        };
        record.allocated_alone(at, bytes, self.table.others(record));
        true
    }

    /// Fast path of [`History::count`], for one block that the thread of `slot` frees. False if
    /// nothing was done.
    #[inline(always)]
    pub(crate) fn count_freed_fast(
        &self,
        session: Session,
        slot: &ThreadSlot,
        stack: StackId,
        bytes: u64,
        is_soon: bool,
    ) -> bool {
        let Some((record, at)) = self.own_record(session, slot, stack) else {
            return false;
        };
        record.freed_alone(at, bytes, is_soon);
        true
    }

    #[inline(always)]
    fn own_record(
        &self,
        session: Session,
        slot: &ThreadSlot,
        stack: StackId,
    ) -> Option<(&'static Record, At)> {
        let (number, record) = (session.number(), self.table.find(stack)?);
        if !record.is_current_of(self.table.writer_of(Some(slot)), number) {
            return None;
        }
        let at = At {
            number,
            writer: Writer::Alone,
            peak: self.peak.moves(),
            now: clock::of_slot(slot),
        };
        Some((record, at))
    }

    /// The thread of `slot` has allocated, and sees that all bytes are `total` now: moves the peak on
    /// if that is a new one, or leaves it to [`History::before_free`]. `current`: all bytes as other threads
    /// have folded them by now.
    #[inline]
    pub(crate) fn after_allocation(
        &self,
        session: Session,
        slot: &ThreadSlot,
        total: i64,
        current: impl FnOnce() -> i64,
    ) {
        if self.peak.raise_by_steps(session.number(), total, current) {
            slot.rises.store(session.bits(), Ordering::Relaxed);
        }
    }

    /// The thread of `slot` is about to free something, and sees `total` bytes: if it has allocated to a
    /// new peak, that is now.
    #[inline]
    pub(crate) fn before_free(&self, session: Session, slot: &ThreadSlot, total: i64) {
        if slot.rises.load(Ordering::Relaxed) != session.bits() {
            return;
        }
        slot.rises.store(0, Ordering::Relaxed);
        if self
            .peak
            .was_folded_last_by(self.table.writer_of(Some(slot)))
        {
            self.peak.raise(session.number(), total);
        }
    }

    /// All bytes are `total` now, whatever threads have seen of it.
    pub(crate) fn raise_peak(&self, session: Session, total: i64) {
        self.peak.raise(session.number(), total);
    }

    /// The thread has folded its part: it sees the others' parts as they are.
    pub(crate) fn folded(&self, slot: &ThreadSlot) {
        self.peak.folded(self.table.writer_of(Some(slot)));
    }

    /// The present moment becomes the peak, at which `total` bytes are live.
    pub(crate) fn reset_peak(&self, session: Session, total: u64) {
        self.peak.reset(session.number(), total);
    }

    /// How often the peak has advanced. A thread copies its own sums when that number changes.
    pub(crate) fn peak_moves(&self) -> u32 {
        self.peak.moves()
    }

    /// Bytes that were live at the recorded peak.
    #[cfg(test)]
    pub(crate) fn peak_total(&self, session: Session) -> u64 {
        self.peak.total(session.number()).max(0) as u64
    }

    /// Blocks of the session that were allocated without a record for their stack.
    pub(crate) fn lost(&self, session: Session) -> u64 {
        self.lost.get(session.number())
    }

    /// Calls `visit` with every stack that has a history in `session`. `parts`: what one block was
    /// counted as.
    pub(crate) fn for_each(
        &self,
        session: Session,
        parts: u64,
        mut visit: impl FnMut(StackId, StackHistory),
    ) {
        let (number, moves, now) = (session.number(), self.peak.moves(), milliseconds());
        self.table.for_each_main(|main| {
            let mut sums = main.sums(number, moves);
            if let Some(others) = self.table.others(main) {
                sums = sums.plus(others.sums(number, moves));
            }
            if sums.history.allocated != Amount::default() {
                visit(main.stack(), sums.until(now).of_parts(parts));
            }
        });
    }

    /// Brings all sums into session `number`: see [`Sum::refresh`](crate::engine::session::sum::Sum).
    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.lost.refresh(number);
        self.peak.refresh(number);
        self.table.for_each(|record| record.refresh(number));
    }
}
