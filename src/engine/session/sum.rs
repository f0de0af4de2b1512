//! A sum that belongs to one session, in one word.
//!
//! The word has the low bits of its session's number beside the sum. An addition for a later session
//! restarts the sum at zero. An addition for an ended session is dropped. So nobody has to reset a
//! sum, and a thread that was overtaken by `clear_traces` cannot spoil the new sums.

use std::cmp::Ordering as Compare;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SessionNumber;
use crate::engine::memory::arena::zeroed_struct;

const SUM_BITS: u32 = 48;
/// The largest sum.
pub(crate) const SUM: u64 = (1 << SUM_BITS) - 1;

/// Who else may write a [`Sum`] concurrently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Nobody: a change is a load and a store.
    Alone,
    /// Any thread: a change is a compare-and-swap.
    Shared,
}

/// A sum of up to 2^48 - 1, then saturating, that is 0 in every session but the one that it was
/// last changed in.
pub(crate) struct Sum {
    word: AtomicU64,
}

zeroed_struct!(Sum { word });

impl Sum {
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
        }
    }

    /// The sum in session `number`.
    #[inline]
    pub(crate) fn get(&self, number: SessionNumber) -> u64 {
        let word = self.word.load(Ordering::Relaxed);
        if age(word, number) == Compare::Equal {
            word & SUM
        } else {
            0
        }
    }

    /// Replaces the sum by `change` of it and returns the new one; `None` if the session has ended.
    #[inline]
    pub(crate) fn update(&self, number: SessionNumber, change: impl Fn(u64) -> u64) -> Option<u64> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (tagged, next) = changed(word, number, &change)?;
            match self.word.compare_exchange_weak(
                word,
                tagged,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(next),
                Err(other) => word = other,
            }
        }
    }

    /// [`Sum::update`], for a `writer` that may be the only one.
    #[inline]
    pub(crate) fn update_as(
        &self,
        writer: Writer,
        number: SessionNumber,
        change: impl Fn(u64) -> u64,
    ) -> Option<u64> {
        match writer {
            Writer::Shared => self.update(number, change),
            Writer::Alone => {
                let word = self.word.load(Ordering::Relaxed);
                let (tagged, next) = changed(word, number, &change)?;
                self.word.store(tagged, Ordering::Relaxed);
                Some(next)
            }
        }
    }

    /// The word, for [`Sum::replace`].
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        // Acquired: what is read next is not older than the word.
        self.word.load(Ordering::Acquire)
    }

    /// Replaces the sum if the word is still `word`. False if it is not, or if the session has ended.
    #[inline]
    pub(crate) fn replace(&self, word: u64, number: SessionNumber, sum: u64) -> bool {
        changed(word, number, &|_| sum).is_some_and(|(tagged, _)| {
            let replaced =
                self.word
                    .compare_exchange(word, tagged, Ordering::Relaxed, Ordering::Relaxed);
            replaced.is_ok()
        })
    }

    /// True if the sum was last changed in session `number`.
    #[inline(always)]
    pub(crate) fn is_of(&self, number: SessionNumber) -> bool {
        self.word.load(Ordering::Relaxed) >> SUM_BITS == number.0 & (u64::MAX >> SUM_BITS)
    }

    /// A sum that nobody else writes, of the session that it was last changed in.
    #[inline(always)]
    pub(crate) fn get_alone(&self) -> u64 {
        self.word.load(Ordering::Relaxed) & SUM
    }

    /// Adds to a sum of session `number` that nobody else writes, in two's complement; the new sum.
    #[inline(always)]
    pub(crate) fn add_alone(&self, number: SessionNumber, by: u64) -> u64 {
        let sum = self.word.load(Ordering::Relaxed).wrapping_add(by) & SUM;
        self.set_alone(number, sum);
        sum
    }

    /// As [`Sum::add_alone`], up to the largest sum.
    #[inline(always)]
    pub(crate) fn add_alone_saturating(&self, number: SessionNumber, by: u64) {
        let sum = self.word.load(Ordering::Relaxed) & SUM;
        self.set_alone(number, sum.saturating_add(by).min(SUM));
    }

    /// Replaces a sum that nobody else writes.
    #[inline(always)]
    pub(crate) fn set_alone(&self, number: SessionNumber, sum: u64) {
        let word = number.0 << SUM_BITS | sum;
        self.word.store(word, Ordering::Relaxed);
    }

    /// Brings the sum into session `number` without changing it there. Needed every 2^14 sessions: a
    /// word has 16 bits of the number, and a difference of more than half their range would count the
    /// other way.
    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.update(number, |sum| sum);
    }
}

/// The word after a `change` of the sum in `word`, and the new sum. `None` if session `number` has
/// ended.
#[inline]
fn changed(word: u64, number: SessionNumber, change: &impl Fn(u64) -> u64) -> Option<(u64, u64)> {
    let sum = match age(word, number) {
        Compare::Equal => word & SUM,
        Compare::Less => 0,
        Compare::Greater => return None,
    };
    let next = change(sum).min(SUM);
    Some((number.0 << SUM_BITS | next, next))
}

/// Compares the session that `word` was written in with session `number`: `Less` if it was earlier.
#[inline]
fn age(word: u64, number: SessionNumber) -> Compare {
    let written = (word >> SUM_BITS) as u16;
    (written.wrapping_sub(number.0 as u16) as i16).cmp(&0)
}

/// A sum in two's complement.
#[inline]
pub(crate) fn signed(sum: u64) -> i64 {
    (sum << (64 - SUM_BITS)) as i64 >> (64 - SUM_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(sum: &Sum, number: SessionNumber, amount: u64) {
        sum.update(number, |sum| sum + amount);
    }

    #[test]
    fn session_numbers_wrap() {
        let sum = Sum::new();
        sum.refresh(SessionNumber(32_000));
        sum.refresh(SessionNumber(64_000));
        for number in [65_534, 65_535, 65_536, 65_537, 90_000] {
            add(&sum, SessionNumber(number), 7);
            add(&sum, SessionNumber(number - 1), 1);
            assert_eq!(sum.get(SessionNumber(number)), 7);
        }
    }

    #[test]
    fn a_counter_long_unused_counts_again_if_it_was_refreshed() {
        let sum = Sum::new();
        add(&sum, SessionNumber(1), 7);
        sum.refresh(SessionNumber(20_000));
        sum.refresh(SessionNumber(40_000));
        add(&sum, SessionNumber(40_001), 3);
        assert_eq!(sum.get(SessionNumber(40_001)), 3);
    }

    #[test]
    fn alone_or_not_a_change_comes_to_the_same() {
        let (alone, shared) = (Sum::new(), Sum::new());
        for (number, amount) in [(1, 5), (1, 7), (3, 2), (2, 9), (3, SUM), (3, 1)] {
            let number = SessionNumber(number);
            let change = |sum: u64| sum + amount;
            let changed = alone.update_as(Writer::Alone, number, change);
            assert_eq!(changed, shared.update_as(Writer::Shared, number, change));
            assert_eq!(alone.get(number), shared.get(number));
        }
        assert_eq!(alone.get(SessionNumber(3)), SUM);
    }

    #[test]
    fn additions_of_one_writer_come_to_the_same() {
        let (one, other) = (Sum::new(), Sum::new());
        let number = SessionNumber(0x3_0007);
        assert!(!one.is_of(number));
        one.refresh(number);
        assert!(one.is_of(number));
        for by in [5, SUM, 7, 9_u64.wrapping_neg()] {
            let sum = other.update(number, |sum| sum.wrapping_add(by) & SUM);
            assert_eq!(Some(one.add_alone(number, by)), sum);
        }
        one.set_alone(number, SUM - 1);
        one.add_alone_saturating(number, 9);
        assert_eq!((one.get(number), one.is_of(SessionNumber(7))), (SUM, true));
        assert!(!one.is_of(SessionNumber(8)));
    }

    #[test]
    fn a_sum_may_be_negative() {
        assert_eq!((signed(SUM), signed(SUM - 9), signed(7)), (-1, -10, 7));
    }
}
