//! Wakes a waiting thread when the live bytes reach a threshold.
//!
//! The threshold is compared when a thread folds its counters, not at every event. So it costs an allocation
//! nothing, and is late by what threads have not folded.

use std::sync::atomic::{AtomicI64, Ordering};

use once_cell::race::OnceRef;

use crate::engine::memory::errno::KeepErrno;

/// Wakes the waiting thread. It runs inside an allocation: it must not allocate, wait or panic.
pub(crate) type Wake = fn();

/// No threshold.
const NONE: i64 = i64::MAX;

/// A threshold, and what has reached it.
pub(crate) struct Alarm {
    threshold: AtomicI64,
    /// The bytes that have reached it; 0: none have.
    reached: AtomicI64,
    wake: OnceRef<'static, Wake>,
}

impl Alarm {
    pub(crate) const fn new() -> Self {
        Self {
            threshold: AtomicI64::new(NONE),
            reached: AtomicI64::new(0),
            wake: OnceRef::new(),
        }
    }

    /// Calls `wake` once when `bytes` are live; replaces the threshold before. The first `wake` stays.
    #[cfg_attr(
        not(any(feature = "file", test)),
        expect(dead_code, reason = "for snapshots that are saved")
    )]
    pub(crate) fn set(&self, bytes: u64, wake: &'static Wake) {
        let _ = self.wake.set(wake);
        self.reached.store(0, Ordering::Relaxed);
        let bytes = i64::try_from(bytes).unwrap_or(NONE);
        // Released: a thread that sees the threshold sees that nothing has reached it.
        self.threshold.store(bytes, Ordering::Release);
    }

    /// Removes the threshold.
    #[cfg_attr(
        not(any(feature = "file", test)),
        expect(dead_code, reason = "for snapshots that are saved")
    )]
    pub(crate) fn clear(&self) {
        self.threshold.store(NONE, Ordering::Relaxed);
    }

    #[cfg_attr(
        not(any(feature = "file", test)),
        expect(dead_code, reason = "for snapshots that are saved")
    )]
    /// The bytes that have reached the threshold, once.
    pub(crate) fn take_reached(&self) -> Option<u64> {
        let reached = self.reached.swap(0, Ordering::Acquire);
        u64::try_from(reached).ok().filter(|bytes| *bytes > 0)
    }

    /// `total` bytes are live.
    #[inline]
    pub(crate) fn check(&self, total: i64) {
        if total >= self.threshold.load(Ordering::Relaxed) {
            self.ring(total);
        }
    }

    #[cold]
    fn ring(&self, total: i64) {
        // Acquired, see `set`. Of several threads one rings.
        if self.threshold.swap(NONE, Ordering::Acquire) == NONE {
            return;
        }
        self.reached.store(total, Ordering::Release);
        if let Some(wake) = self.wake.get() {
            let _errno = KeepErrno::new();
            wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_threshold_rings_once() {
        static RUNG: AtomicU32 = AtomicU32::new(0);
        static WAKE: Wake = || {
            RUNG.fetch_add(1, Ordering::Relaxed);
        };
        let alarm = Alarm::new();
        alarm.check(i64::MAX - 1);
        alarm.set(100, &WAKE);
        alarm.check(99);
        assert_eq!(
            (alarm.take_reached(), RUNG.load(Ordering::Relaxed)),
            (None, 0)
        );
        alarm.check(105);
        alarm.check(200);
        assert_eq!(
            (alarm.take_reached(), RUNG.load(Ordering::Relaxed)),
            (Some(105), 1)
        );
        assert_eq!(alarm.take_reached(), None);
        alarm.set(300, &WAKE);
        alarm.clear();
        alarm.check(400);
        assert_eq!(
            (alarm.take_reached(), RUNG.load(Ordering::Relaxed)),
            (None, 1)
        );
    }
}
