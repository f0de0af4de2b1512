//! The record of one stack: sums of what happened to its blocks.
//!
//! It takes two cache lines of 64 bytes. One does not do: fourteen sums of 48 bits are 84 bytes, even if
//! they shared the number of their session.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Event, StackHistory};
use crate::engine::memory::arena::zeroed_struct;
use crate::engine::session::SessionNumber;
use crate::engine::session::sum::{SUM, Sum, Writer, signed};
use crate::engine::stacks::StackId;

/// Bytes and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
}

impl Amount {
    pub(crate) fn saturating_add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            blocks: self.blocks.saturating_add(other.blocks),
        }
    }

    pub(crate) fn saturating_sub(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            blocks: self.blocks.saturating_sub(other.blocks),
        }
    }

    /// With blocks that were counted in `parts` of one. Bytes and blocks are read one after the other:
    /// where a thread is between them, bytes without a block are one.
    pub(super) fn of_parts(self, parts: u64) -> Self {
        let blocks = self.blocks.saturating_add(parts / 2) / parts;
        Self {
            blocks: blocks.max(u64::from(self.bytes > 0)),
            ..self
        }
    }

    /// Sums of a record's words, in two's complement.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_add(other.bytes) & SUM,
            blocks: self.blocks.wrapping_add(other.blocks) & SUM,
        }
    }

    /// What a sum in two's complement says, and nothing where it is negative.
    pub(super) fn signed(self) -> Self {
        Self {
            bytes: signed(self.bytes).max(0) as u64,
            blocks: signed(self.blocks).max(0) as u64,
        }
    }
}

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

/// When an event happens, and how it may write.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) number: SessionNumber,
    pub(super) writer: Writer,
    /// How often the peak has moved on.
    pub(super) peak: u32,
    pub(super) now: u64,
}

/// Bytes and blocks, as two sums.
struct Sums {
    bytes: Sum,
    blocks: Sum,
}

zeroed_struct!(Sums { bytes, blocks });

impl Sums {
    fn get(&self, number: SessionNumber) -> Amount {
        Amount {
            bytes: self.bytes.get(number),
            blocks: self.blocks.get(number),
        }
    }

    /// Adds to sums that stop at their end.
    fn add(&self, at: At, amount: Amount) {
        let Amount { bytes, blocks } = amount;
        let sum = |more: u64| move |sum: u64| sum.saturating_add(more);
        self.bytes.update_as(at.writer, at.number, sum(bytes));
        self.blocks.update_as(at.writer, at.number, sum(blocks));
    }

    /// Adds to sums in two's complement, or takes off; the new ones.
    fn change(&self, at: At, amount: Amount, is_more: bool) -> Amount {
        let sum = |by: u64| {
            let by = if is_more { by } else { by.wrapping_neg() };
            move |sum: u64| sum.wrapping_add(by) & SUM
        };
        let bytes = self
            .bytes
            .update_as(at.writer, at.number, sum(amount.bytes));
        let blocks = self
            .blocks
            .update_as(at.writer, at.number, sum(amount.blocks));
        Amount {
            bytes: bytes.unwrap_or(0),
            blocks: blocks.unwrap_or(0),
        }
    }

    /// False if the session has ended.
    fn set(&self, at: At, amount: Amount) -> bool {
        let bytes = self.bytes.update_as(at.writer, at.number, |_| amount.bytes);
        let blocks = self
            .blocks
            .update_as(at.writer, at.number, |_| amount.blocks);
        bytes.is_some() && blocks.is_some()
    }

    fn refresh(&self, number: SessionNumber) {
        self.bytes.refresh(number);
        self.blocks.refresh(number);
    }
}

/// Milliseconds of many blocks: a sum of more than a word's 48 bits, as two that never carry.
struct Time {
    low: Sum,
    high: Sum,
}

zeroed_struct!(Time { low, high });

impl Time {
    const LOW_BITS: u32 = 20;

    /// The parts of a time, which is negative if it is taken off.
    #[inline(always)]
    fn parts(time: u64) -> (u64, u64) {
        let low = time & ((1 << Self::LOW_BITS) - 1);
        (low, ((time as i64) >> Self::LOW_BITS) as u64)
    }

    /// Adds the time of blocks, or subtracts it.
    fn change(&self, at: At, blocks: u64, is_more: bool) {
        let time = blocks.wrapping_mul(at.now);
        let (low, high) = Self::parts(if is_more { time } else { time.wrapping_neg() });
        let sum = |by: u64| move |sum: u64| sum.wrapping_add(by) & SUM;
        self.low.update_as(at.writer, at.number, sum(low));
        self.high.update_as(at.writer, at.number, sum(high));
    }

    /// Adds a time to sums of session `number` that nobody else writes.
    #[inline(always)]
    fn change_alone(&self, number: SessionNumber, time: u64) {
        let (low, high) = Self::parts(time);
        self.low.add_alone(number, low);
        self.high.add_alone(number, high);
    }

    fn get(&self, number: SessionNumber) -> i64 {
        let high = signed(self.high.get(number)).wrapping_shl(Self::LOW_BITS);
        signed(self.low.get(number)).wrapping_add(high)
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
        // An allocation changes all sums that those change.
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
        if live.bytes > self.highest.bytes.get(number) {
            self.highest.set(at, live);
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
            self.temporary.add(at, Amount { bytes, blocks: 1 });
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

    pub(super) fn refresh(&self, number: SessionNumber) {
        let sums = [
            &self.live,
            &self.at_peak,
            &self.allocated,
            &self.highest,
            &self.temporary,
        ];
        sums.into_iter().for_each(|sums| sums.refresh(number));
        let single = [&self.time.low, &self.time.high, &self.resizes, &self.copied];
        single.into_iter().for_each(|sum| sum.refresh(number));
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
