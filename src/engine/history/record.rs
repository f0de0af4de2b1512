//! The record of one stack: sums of what happened to its blocks.
//!
//! It takes two cache lines of 64 bytes. One does not do: fourteen sums of 48 bits are 84 bytes, even if
//! they shared the number of their session.

use std::sync::atomic::{AtomicU32, Ordering};

use super::sums::{Amount, At, Sums, Time};
use super::{Event, StackHistory};
use crate::engine::memory::arena::zeroed_struct;
use crate::engine::session::SessionNumber;
use crate::engine::session::sum::{Sum, Writer};
use crate::engine::stacks::StackId;

/// Reallocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resized {
    pub(crate) times: u64,
    /// Bytes of blocks that moved, as far as the old and the new size have them both.
    pub(crate) copied: u64,
}

impl Resized {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            times: self.times.saturating_add(other.times),
            copied: self.copied.saturating_add(other.copied),
        }
    }
}

/// What the records of one stack say.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// `live` and `at_peak` in two's complement, and without `lifetime`.
    pub(super) history: StackHistory,
    /// When blocks were freed, less when they were allocated, in milliseconds.
    time: i64,
}

impl Parts {
    pub(super) fn plus(self, other: Self) -> Self {
        let (one, two) = (self.history, other.history);
        let highest = if one.highest.bytes < two.highest.bytes {
            two.highest
        } else {
            one.highest
        };
        Self {
            time: self.time.wrapping_add(other.time),
            history: StackHistory {
                live: one.live.plus(two.live),
                at_peak: one.at_peak.plus(two.at_peak),
                allocated: one.allocated.saturating_add(two.allocated),
                temporary: one.temporary.saturating_add(two.temporary),
                highest,
                resized: one.resized.plus(two.resized),
                lifetime: 0,
            },
        }
    }

    /// The history, with the lifetimes up to `now` of blocks that still live.
    pub(super) fn until(self, now: u64) -> StackHistory {
        let live = self.history.live.signed();
        let until_now = (live.blocks as i64).wrapping_mul(now as i64);
        StackHistory {
            live,
            at_peak: self.history.at_peak.signed(),
            lifetime: self.time.wrapping_add(until_now).max(0) as u64,
            ..self.history
        }
    }
}

/// What happened to the blocks of one stack, as far as one thread did it, or all others.
#[repr(C, align(64))]
pub(super) struct Record {
    stack: AtomicU32,
    /// The only thread that writes here; 0: any.
    owner: AtomicU32,
    /// How often the peak had moved on when `at_peak` was copied.
    peak: AtomicU32,
    /// The number of the record that all threads but the owner write; 0 for none.
    others: AtomicU32,
    /// In two's complement, as `at_peak`.
    live: Sums,
    at_peak: Sums,
    allocated: Sums,
    /// When blocks were freed, less when they were allocated.
    time: Time,
    highest: Sums,
    temporary: Sums,
    resizes: Sum,
    copied: Sum,
}

zeroed_struct!(Record {
    stack,
    owner,
    peak,
    others,
    live,
    at_peak,
    allocated,
    time,
    highest,
    temporary,
    resizes,
    copied
});

impl Record {
    /// Makes a zeroed record that of `stack`, whose only writer is `owner`, or any if that is 0. Before
    /// anybody else sees it.
    pub(super) fn begin(&self, number: SessionNumber, stack: StackId, owner: u32) {
        self.stack.store(stack.bits() as u32, Ordering::Relaxed);
        self.owner.store(owner, Ordering::Relaxed);
        self.refresh(number);
    }

    pub(super) fn stack(&self) -> StackId {
        StackId::from_bits(u64::from(self.stack.load(Ordering::Relaxed)))
    }

    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub(super) fn is_of(&self, writer: u32) -> bool {
        self.owner.load(Ordering::Relaxed) == writer
    }

    pub(super) fn others(&self) -> &AtomicU32 {
        &self.others
    }

    /// Counts one event. `beside`: the other record of the stack.
    pub(super) fn count(&self, at: At, amount: Amount, event: Event, beside: Option<&Self>) {
        self.copy_at_peak(at);
        match event {
            Event::Allocated => self.count_allocated(at, amount, beside),
            Event::Resized { copied } => {
                self.count_allocated(at, amount, beside);
                let sum = |more: u64| move |sum: u64| sum.saturating_add(more);
                self.resizes
                    .update_as(at.writer, at.number, sum(amount.blocks));
                self.copied.update_as(at.writer, at.number, sum(copied));
            }
            Event::Freed => self.count_freed(at, amount),
            Event::FreedSoon => {
                self.count_freed(at, amount);
                self.temporary.add(at, amount);
            }
        }
    }

    /// True if `writer` is the only one and has written in session `number`: then
    /// [`Record::allocated_alone`] and [`Record::freed_alone`] will do.
    #[inline(always)]
    pub(super) fn is_current_of(&self, writer: u32, number: SessionNumber) -> bool {
        // The first allocation of a session brings all sums into it.
        self.is_of(writer) && self.allocated.bytes.is_of(number)
    }

    /// Fast path of [`Record::count`] for [`Event::Allocated`], of one block.
    #[inline(always)]
    pub(super) fn allocated_alone(&self, at: At, bytes: u64, beside: Option<&Self>) {
        let number = at.number;
        self.copy_at_peak_alone(at);
        let mut live = Amount {
            bytes: self.live.bytes.add_alone(number, bytes),
            blocks: self.live.blocks.add_alone(number, 1),
        };
        self.allocated.bytes.add_alone_saturating(number, bytes);
        self.allocated.blocks.add_alone_saturating(number, 1);
        self.time.change_alone(number, at.now.wrapping_neg());
        if let Some(beside) = beside {
            live = live.plus(beside.live.get(number)).signed();
        }
        if live.bytes > self.highest.bytes.get_alone() {
            self.highest.bytes.set_alone(number, live.bytes);
            self.highest.blocks.set_alone(number, live.blocks);
        }
    }

    /// Fast path of [`Record::count`] for [`Event::Freed`] and [`Event::FreedSoon`], of one block.
    #[inline(always)]
    pub(super) fn freed_alone(&self, at: At, bytes: u64, is_soon: bool) {
        self.copy_at_peak_alone(at);
        self.live.bytes.add_alone(at.number, bytes.wrapping_neg());
        self.live.blocks.add_alone(at.number, 1_u64.wrapping_neg());
        self.time.change_alone(at.number, at.now);
        if is_soon {
            self.temporary.bytes.add_alone_saturating(at.number, bytes);
            self.temporary.blocks.add_alone_saturating(at.number, 1);
        }
    }

    #[inline(always)]
    fn copy_at_peak_alone(&self, at: At) {
        if self.peak.load(Ordering::Relaxed) != at.peak {
            let live = self.live.get(at.number);
            self.at_peak.bytes.set_alone(at.number, live.bytes);
            self.at_peak.blocks.set_alone(at.number, live.blocks);
            self.peak.store(at.peak, Ordering::Relaxed);
        }
    }

    /// If the peak has moved on since the last change: what is live now was live then.
    #[inline]
    fn copy_at_peak(&self, at: At) {
        match at.writer {
            Writer::Shared => self.copy_at_peak_shared(at),
            Writer::Alone => {
                if self.peak.load(Ordering::Relaxed) != at.peak
                    && self.at_peak.set(at, self.live.get(at.number))
                {
                    self.peak.store(at.peak, Ordering::Relaxed);
                }
            }
        }
    }

    /// [`Record::copy_at_peak`] beside other threads. A thread may stop at any point for a long time, and
    /// continue with a number of the peak, or with sums, that are long outdated. So the number only
    /// advances, and a copy replaces only the one that it has found.
    #[inline]
    fn copy_at_peak_shared(&self, at: At) {
        let (bytes, blocks) = (self.at_peak.bytes.word(), self.at_peak.blocks.word());
        // Acquired: a thread that sees the number sees the copy that was made for it.
        let seen = self.peak.load(Ordering::Acquire);
        if at.peak.wrapping_sub(seen).cast_signed() <= 0 {
            return;
        }
        let live = self.live.get(at.number);
        if self.at_peak.bytes.replace(bytes, at.number, live.bytes)
            && self.at_peak.blocks.replace(blocks, at.number, live.blocks)
        {
            // Fails if another thread has copied too: its number is at least this one.
            let _ = self
                .peak
                .compare_exchange(seen, at.peak, Ordering::Release, Ordering::Relaxed);
        }
    }

    #[inline]
    fn count_allocated(&self, at: At, amount: Amount, beside: Option<&Self>) {
        if at.writer == Writer::Alone && !self.allocated.bytes.is_of(at.number) {
            self.refresh(at.number);
        }
        let mut live = self.live.change(at, amount, true);
        if let Some(beside) = beside {
            live = live.plus(beside.live.get(at.number));
        }
        self.allocated.add(at, amount);
        self.time.change(at, amount.blocks, false);
        let live = live.signed();
        if live.bytes > self.highest.bytes.get(at.number) {
            self.highest.set(at, live);
        }
    }

    #[inline]
    fn count_freed(&self, at: At, amount: Amount) {
        self.live.change(at, amount, false);
        self.time.change(at, amount.blocks, true);
    }

    /// What the record says. `peak`: how often the peak has moved on.
    pub(super) fn sums(&self, number: SessionNumber, peak: u32) -> Parts {
        let live = self.live.get(number);
        let at_peak = if self.peak.load(Ordering::Relaxed) == peak {
            self.at_peak.get(number)
        } else {
            live
        };
        Parts {
            time: self.time.get(number),
            history: StackHistory {
                live,
                at_peak,
                allocated: self.allocated.get(number),
                temporary: self.temporary.get(number),
                highest: self.highest.get(number),
                resized: Resized {
                    times: self.resizes.get(number),
                    copied: self.copied.get(number),
                },
                lifetime: 0,
            },
        }
    }

    /// Brings all sums into session `number`, `allocated` last: see [`Record::is_current_of`].
    pub(super) fn refresh(&self, number: SessionNumber) {
        self.time.refresh(number);
        self.resizes.refresh(number);
        self.copied.refresh(number);
        let sums = [
            &self.live,
            &self.at_peak,
            &self.highest,
            &self.temporary,
            &self.allocated,
        ];
        sums.into_iter().for_each(|sums| sums.refresh(number));
    }
}

#[cfg(test)]
const _: () = assert!(size_of::<Record>() == 128);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::arena::Arena;
    use once_cell::race::OnceRef;

    /// A thread that stopped before the peak moved on, and continues after another one has copied what was
    /// live at the peak: its number of the peak is outdated.
    #[test]
    fn an_outdated_thread_leaves_what_was_copied_for_a_later_peak() {
        let arena = Arena::new();
        let cell: OnceRef<'static, Record> = OnceRef::new();
        let record = arena.first_use(&cell).expect("memory");
        let number = SessionNumber(1);
        record.begin(number, StackId::COMPLETE, 0);
        let count = |peak, bytes, event| {
            let (writer, now) = (Writer::Shared, 0);
            let at = At {
                number,
                writer,
                peak,
                now,
            };
            record.count(at, Amount { bytes, blocks: 1 }, event, None);
        };
        count(1, 100, Event::Allocated);
        count(3, 10, Event::Allocated);
        count(2, 20, Event::Allocated);
        count(3, 100, Event::Freed);
        let at_peak = record.sums(number, 3).history.at_peak;
        assert_eq!((at_peak.bytes, at_peak.blocks), (100, 1));
    }

    #[test]
    fn bytes_that_are_read_before_their_block_have_one() {
        let read = |bytes, blocks, parts| Amount { bytes, blocks }.of_parts(parts).blocks;
        assert_eq!([read(0, 0, 1), read(64, 0, 1), read(64, 3, 1)], [0, 1, 3]);
        // A sample counts in parts.
        assert_eq!(
            [read(64, 0, 100), read(64, 149, 100), read(0, 150, 100)],
            [1, 1, 2]
        );
    }
}
