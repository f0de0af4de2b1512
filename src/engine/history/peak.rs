//! When the peak was.
//!
//! Each new peak is a *move*, which has a number. A line of memory that every event reads must not be
//! written at every event. So a thread moves the peak only when it sees a total that is higher by a
//! step, which is a fraction of the peak and no more than a thread may leave unfolded.
//!
//! A thread that has seen a smaller rise moves the peak as soon as it is about to free something: the
//! last rise before that was the highest. It does so only while it is the last one that folded its
//! part: meanwhile no other thread has freed more than it may leave unfolded. So with one thread the
//! peak is exact.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::engine::session::SessionNumber;
use crate::engine::session::sum::{SUM, Sum, signed};
use crate::engine::thread::counter::SLACK;

/// The part of the peak that is a step for a thread beside others.
const STEP: i64 = 256;

/// The peak, in a cache line of its own.
#[repr(align(64))]
pub(super) struct Peak {
    /// Goes round, and is never set back: a record compares it with the one that it has seen.
    moves: AtomicU32,
    /// The writer that was the last to fold; 0 for none.
    folder: AtomicU32,
    /// Bytes live at the peak, in two's complement.
    total: Sum,
}

impl Peak {
    pub(super) const fn new() -> Self {
        Self {
            moves: AtomicU32::new(0),
            folder: AtomicU32::new(0),
            total: Sum::new(),
        }
    }

    #[inline]
    pub(super) fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    pub(super) fn total(&self, number: SessionNumber) -> i64 {
        signed(self.total.get(number))
    }

    /// A thread sees `total` bytes: moves the peak if that is higher by a step. True if it is higher by less.
    ///
    /// `current`: the bytes as others have folded them by now. A thread that has stopped since its own last
    /// fold may see bytes that others have long freed: the peak then was earlier, and must not move.
    #[inline]
    pub(super) fn raise_by_steps(
        &self,
        number: SessionNumber,
        total: i64,
        current: impl FnOnce() -> i64,
    ) -> bool {
        let peak = self.total(number);
        if total <= peak {
            return false;
        }
        let step = (peak / STEP).min(SLACK as i64);
        if total - peak < step {
            return true;
        }
        let total = total.min(current());
        if total > peak && total - peak >= step {
            self.raise(number, total);
            return false;
        }
        total > peak
    }

    /// True if `writer` was the last one that folded its part.
    #[inline]
    pub(super) fn was_folded_last_by(&self, writer: u32) -> bool {
        self.folder.load(Ordering::Relaxed) == writer
    }

    /// Moves the peak to `total` bytes if that is higher.
    #[inline(never)]
    pub(super) fn raise(&self, number: SessionNumber, total: i64) {
        if total > self.total(number) {
            let raised = self
                .total
                .update(number, |peak| signed(peak).max(total) as u64 & SUM);
            if raised.is_some() {
                self.moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn folded(&self, writer: u32) {
        // Not written if it is unchanged: others read the line at every event.
        if self.folder.load(Ordering::Relaxed) != writer {
            self.folder.store(writer, Ordering::Relaxed);
        }
    }

    pub(super) fn reset(&self, number: SessionNumber, total: u64) {
        if self.total.update(number, |_| total).is_some() {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refresh(&self, number: SessionNumber) {
        self.total.refresh(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thread saw a total before others freed.
    #[test]
    fn a_total_that_is_no_longer_live_moves_nothing() {
        let (peak, number) = (Peak::new(), SessionNumber(1));
        assert!(!peak.raise_by_steps(number, 1000, || 1000));
        assert_eq!((peak.total(number), peak.moves()), (1000, 1));
        assert!(!peak.raise_by_steps(number, 2000, || 600));
        assert_eq!((peak.total(number), peak.moves()), (1000, 1));
        // What is left of it may be a peak, by a step or by less.
        assert!(peak.raise_by_steps(number, 2000, || 1001));
        assert_eq!(peak.moves(), 1);
        assert!(!peak.raise_by_steps(number, 2000, || 1500));
        assert_eq!((peak.total(number), peak.moves()), (1500, 2));
    }
}
