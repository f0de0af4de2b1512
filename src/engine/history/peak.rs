//! When the peak was.
//!
//! Each new peak is a *move*, which has a number. With one thread every rise above the peak is a move,
//! and so it is exact. A line of memory that every event reads must not be written at every
//! event of several threads. So a thread that is not the last one that folded its part moves the peak
//! only when it sees a total that is higher by a step, which is a fraction of the peak and no more than
//! a thread may leave unfolded.

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

    /// `writer`, 0 for a thread without a slot, sees `total` bytes.
    #[inline]
    pub(super) fn raise(&self, number: SessionNumber, total: i64, writer: u32) {
        let step = if self.folder.load(Ordering::Relaxed) == writer {
            0
        } else {
            (self.total(number) / STEP).min(SLACK as i64)
        };
        self.raise_beyond(number, total, step);
    }

    /// Moves the peak to `total` bytes if that is higher by more than `step`.
    #[inline]
    pub(super) fn raise_beyond(&self, number: SessionNumber, total: i64, step: i64) {
        if total > self.total(number).saturating_add(step) {
            let raised = self
                .total
                .update(number, |peak| signed(peak).max(total) as u64 & SUM);
            if raised.is_some() {
                self.moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn folded(&self, writer: u32) {
        // Not written if it is the same: others read the line at every event.
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
