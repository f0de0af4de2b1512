//! Sums that belong to one session, and that any thread may change.
//!
//! Almost all bytes are counted elsewhere, by each thread for itself: see `thread/counter.rs`.

use super::sum::{SUM, Sum, signed};
use crate::engine::session::SessionNumber;

/// A [`Sum`] with a cache line of its own.
#[repr(align(64))]
pub(crate) struct Counter(Sum);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(Sum::new())
    }

    /// The sum in session `number`.
    pub(crate) fn get(&self, number: SessionNumber) -> u64 {
        self.0.get(number)
    }

    /// See [`Sum::update`].
    #[inline]
    pub(crate) fn update(&self, number: SessionNumber, change: impl Fn(u64) -> u64) -> Option<u64> {
        self.0.update(number, change)
    }

    /// See [`Sum::refresh`].
    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.0.refresh(number);
    }

    #[inline]
    pub(crate) fn add(&self, number: SessionNumber, amount: u64) {
        self.update(number, |sum| sum.saturating_add(amount));
    }
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

    /// All that threads have folded and all that none of them counts.
    pub(crate) fn total(&self, number: SessionNumber) -> i64 {
        signed(self.folded.get(number)).saturating_add(self.current(number))
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
