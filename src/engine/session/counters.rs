//! Sums that belong to one session, and that any thread may change.
//!
//! A counter has the low bits of its session's number beside the sum, in one word. An addition for a
//! later session restarts the sum at zero. An addition for an ended session is dropped. So nobody has
//! to reset a counter, and a thread that was overtaken by `clear_traces` cannot spoil the new sums.
//!
//! Almost all bytes are counted elsewhere, by each thread for itself: see `thread/counter.rs`.

use std::cmp::Ordering as Compare;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::session::SessionNumber;

const SUM_BITS: u32 = 48;
const SUM: u64 = (1 << SUM_BITS) - 1;

/// A sum of up to 2^48 - 1, then saturating, that is 0 in every session but the one that it was
/// last added in.
#[repr(align(64))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The sum in session `number`.
    pub(crate) fn get(&self, number: SessionNumber) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        if age(word, number) == Compare::Equal {
            word & SUM
        } else {
            0
        }
    }

    /// Replaces the sum by `change` of it and returns the new one; `None` if the session has ended.
    #[inline]
    pub(crate) fn update(&self, number: SessionNumber, change: impl Fn(u64) -> u64) -> Option<u64> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let sum = match age(word, number) {
                Compare::Equal => word & SUM,
                Compare::Less => 0,
                Compare::Greater => return None,
            };
            let next = change(sum).min(SUM);
            let tagged = number.0 << SUM_BITS | next;
            match self
                .0
                .compare_exchange_weak(word, tagged, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(next),
                Err(other) => word = other,
            }
        }
    }

    /// Brings the counter into session `number` without changing its sum there.
    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.update(number, |sum| sum);
    }

    #[inline]
    pub(crate) fn add(&self, number: SessionNumber, amount: u64) {
        self.update(number, |sum| sum.saturating_add(amount));
    }
}

/// Compares the session that `word` was written in with session `number`: `Less` if it was earlier.
///
/// A word has 16 bits of the number. A difference of more than half their range would count the other
/// way; [`Counter::refresh`] keeps the difference small.
fn age(word: u64, number: SessionNumber) -> Compare {
    let written = (word >> SUM_BITS) as u16;
    (written.wrapping_sub(number.0 as u16) as i16).cmp(&0)
}

/// What threads share of the sums of a session.
pub(crate) struct Shared {
    /// Bytes that came and went, of blocks that no thread's counter counts: negative when more of those
    /// went than came. In two's complement.
    current: Counter,
    /// The most that this and the folded parts were after a change of `current`.
    peak: Counter,
    /// What threads have folded of the bytes that they count themselves. In two's complement.
    folded: Counter,
}

impl Shared {
    pub(crate) const fn new() -> Self {
        Self {
            current: Counter::new(),
            peak: Counter::new(),
            folded: Counter::new(),
        }
    }

    /// One step from `old` to `new` bytes that no thread's counter counts, so that a moved block is never
    /// counted twice in the peak.
    pub(crate) fn change(&self, number: SessionNumber, old: u64, new: u64) {
        let step = |sum: u64| sum.wrapping_add(new).wrapping_sub(old) & SUM;
        if let Some(current) = self.current.update(number, step)
            && new > old
        {
            let folded = signed(self.folded.get(number));
            let total = signed(current).saturating_add(folded).max(0) as u64;
            self.peak.update(number, |peak| peak.max(total));
        }
    }

    /// Folds `part` of what a thread has counted; negative if more went than came. Returns all that threads
    /// have folded and all that none of them counts. One addition to one word, whatever the number of
    /// threads.
    pub(crate) fn fold(&self, number: SessionNumber, part: i64) -> i64 {
        let step = |sum: u64| sum.wrapping_add_signed(part) & SUM;
        let folded = self.folded.update(number, step).map_or(0, signed);
        folded.saturating_add(self.current(number))
    }

    pub(crate) fn current(&self, number: SessionNumber) -> i64 {
        signed(self.current.get(number))
    }

    /// The most that the sum, with what was counted elsewhere, ever was after a change here.
    pub(crate) fn peak(&self, number: SessionNumber) -> i64 {
        signed(self.peak.get(number))
    }

    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.current.refresh(number);
        self.peak.refresh(number);
        self.folded.refresh(number);
    }

    pub(crate) fn set_peak(&self, number: SessionNumber, bytes: u64) {
        self.peak.update(number, |_| bytes);
    }
}

fn signed(sum: u64) -> i64 {
    (sum << (64 - SUM_BITS)) as i64 >> (64 - SUM_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(shared: &Shared, number: u64) -> (i64, i64) {
        (
            shared.current(SessionNumber(number)),
            shared.peak(SessionNumber(number)),
        )
    }

    #[test]
    fn sums_of_one_session_do_not_reach_another() {
        let shared = Shared::new();
        let change = |number, old, new| shared.change(SessionNumber(number), old, new);
        change(1, 0, 100);
        change(1, 100, 30);
        assert_eq!(get(&shared, 1), (30, 100));
        assert_eq!(get(&shared, 2), (0, 0));
        change(2, 0, 5);
        change(1, 0, 1000);
        change(1, 30, 0);
        assert_eq!(get(&shared, 2), (5, 5));
    }

    #[test]
    fn session_numbers_wrap() {
        let counter = Counter::new();
        counter.refresh(SessionNumber(32_000));
        counter.refresh(SessionNumber(64_000));
        for number in [65_534, 65_535, 65_536, 65_537, 90_000] {
            counter.add(SessionNumber(number), 7);
            counter.add(SessionNumber(number - 1), 1);
            assert_eq!(counter.get(SessionNumber(number)), 7);
        }
    }

    #[test]
    fn a_counter_long_unused_counts_again_if_it_was_refreshed() {
        let counter = Counter::new();
        counter.add(SessionNumber(1), 7);
        counter.refresh(SessionNumber(20_000));
        counter.refresh(SessionNumber(40_000));
        counter.add(SessionNumber(40_001), 3);
        assert_eq!(counter.get(SessionNumber(40_001)), 3);
    }

    #[test]
    fn peak_follows_only_rises_and_can_be_set() {
        let shared = Shared::new();
        assert_eq!(shared.fold(SessionNumber(9), 1500), 1500);
        assert_eq!(shared.fold(SessionNumber(9), -500), 1000);
        let change = |old, new| shared.change(SessionNumber(9), old, new);
        change(0, 50);
        change(50, 80);
        change(80, 10);
        assert_eq!(get(&shared, 9), (10, 1080));
        shared.set_peak(SessionNumber(9), 10);
        assert_eq!(get(&shared, 9), (10, 10));
        change(0, 5);
        assert_eq!(get(&shared, 9), (15, 1015));
    }

    #[test]
    fn the_sum_may_be_negative() {
        let shared = Shared::new();
        shared.change(SessionNumber(1), 10, 0);
        assert_eq!(get(&shared, 1), (-10, 0));
        shared.change(SessionNumber(1), 0, 3);
        assert_eq!(get(&shared, 1), (-7, 0));
        shared.change(SessionNumber(1), 0, 8);
        assert_eq!(get(&shared, 1), (1, 1));
        assert_eq!(shared.fold(SessionNumber(1), -5), -4);
        // Of an ended session nothing is folded.
        assert_eq!(shared.fold(SessionNumber(2), 3), 3);
        shared.fold(SessionNumber(1), 100);
        assert_eq!(shared.fold(SessionNumber(2), 0), 3);
    }
}
