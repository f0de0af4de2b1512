//! Sums of bytes, blocks and time, of which records are made.

use crate::engine::memory::arena::zeroed_struct;
use crate::engine::session::SessionNumber;
use crate::engine::session::sum::{SUM, Sum, Writer, signed};

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
pub(super) struct Sums {
    pub(super) bytes: Sum,
    pub(super) blocks: Sum,
}

zeroed_struct!(Sums { bytes, blocks });

impl Sums {
    pub(super) fn get(&self, number: SessionNumber) -> Amount {
        Amount {
            bytes: self.bytes.get(number),
            blocks: self.blocks.get(number),
        }
    }

    /// Adds to sums that stop at their end.
    pub(super) fn add(&self, at: At, amount: Amount) {
        let Amount { bytes, blocks } = amount;
        let sum = |more: u64| move |sum: u64| sum.saturating_add(more);
        self.bytes.update_as(at.writer, at.number, sum(bytes));
        self.blocks.update_as(at.writer, at.number, sum(blocks));
    }

    /// Adds to sums in two's complement, or takes off; the new ones.
    pub(super) fn change(&self, at: At, amount: Amount, is_more: bool) -> Amount {
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
    pub(super) fn set(&self, at: At, amount: Amount) -> bool {
        let bytes = self.bytes.update_as(at.writer, at.number, |_| amount.bytes);
        let blocks = self
            .blocks
            .update_as(at.writer, at.number, |_| amount.blocks);
        bytes.is_some() && blocks.is_some()
    }

    pub(super) fn refresh(&self, number: SessionNumber) {
        self.blocks.refresh(number);
        self.bytes.refresh(number);
    }
}

/// Milliseconds of many blocks: a sum of more than a word's 48 bits, as two that never carry.
pub(super) struct Time {
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
    pub(super) fn change(&self, at: At, blocks: u64, is_more: bool) {
        let time = blocks.wrapping_mul(at.now);
        let (low, high) = Self::parts(if is_more { time } else { time.wrapping_neg() });
        let sum = |by: u64| move |sum: u64| sum.wrapping_add(by) & SUM;
        self.low.update_as(at.writer, at.number, sum(low));
        self.high.update_as(at.writer, at.number, sum(high));
    }

    /// Adds a time to sums of session `number` that nobody else writes.
    #[inline(always)]
    pub(super) fn change_alone(&self, number: SessionNumber, time: u64) {
        let (low, high) = Self::parts(time);
        self.low.add_alone(number, low);
        self.high.add_alone(number, high);
    }

    pub(super) fn get(&self, number: SessionNumber) -> i64 {
        let high = signed(self.high.get(number)).wrapping_shl(Self::LOW_BITS);
        signed(self.low.get(number)).wrapping_add(high)
    }

    pub(super) fn refresh(&self, number: SessionNumber) {
        self.low.refresh(number);
        self.high.refresh(number);
    }
}
