//! Sessions that sample: which allocations they record, what a recorded block stands for, and which
//! blocks may have a record.

use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::blocks::Filter;
use crate::engine::memory::arena::Arena;
use crate::engine::session::{Session, SessionNumber};
use crate::engine::thread::guard;
use crate::sampling::Sampling;

/// Parts of a block in estimates of numbers of blocks.
const PARTS: u64 = 256;

/// The state of sessions that sample.
pub(crate) struct Samples {
    /// Bytes per record of the session, if it samples; 0 if none ever did. Has no room in the
    /// switch: of two concurrent starts the one that loses may still set it.
    every: AtomicU64,
    filter: Filter,
}

impl Samples {
    pub(crate) const fn new() -> Self {
        Self {
            every: AtomicU64::new(0),
            filter: Filter::new(),
        }
    }

    /// Makes ready for a session with one record per `every` bytes. `None` without memory.
    pub(crate) fn prepare(&self, arena: &Arena, every: NonZeroU64) -> Option<()> {
        self.filter.prepare(arena)?;
        self.every.store(every.get(), Ordering::Relaxed);
        Some(())
    }

    /// Bytes per record of a session that samples.
    pub(crate) fn every(&self, session: Session) -> Option<NonZeroU64> {
        let bytes = NonZeroU64::new(self.every.load(Ordering::Relaxed));
        bytes.filter(|_| session.is_sampled())
    }

    /// True if an allocation of `size` bytes is not to be recorded. Always false in a session that
    /// does not sample.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_unsampled(&self, session: Session, size: usize) -> bool {
        session.is_sampled() && guard::is_unsampled(self.key(session), size, || self.every(session))
    }

    /// Fast path of [`Samples::is_unsampled`]: a comparison and a subtraction. False if it takes
    /// more to tell.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_unsampled_fast(&self, session: Session, size: usize) -> bool {
        // No need to ask whether the session samples: a thread has points for such a session only. With
        // a flag the word is nobody's key, and the event takes the slow path, where flags are asked for.
        guard::is_unsampled_fast(self.in_tests_apart(session.word()), size)
    }

    /// Which session a thread's points belong to. Never 0. A reset of the peak makes another key, which
    /// does no harm: points are independent of what was before, so new ones are as good.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn key(&self, session: Session) -> u64 {
        self.in_tests_apart(session.bits())
    }

    /// Tests have several trackers, whose sessions have the same numbers.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn in_tests_apart(&self, word: u64) -> u64 {
        let tracker = if cfg!(test) {
            ptr::from_ref(self).addr() as u64
        } else {
            0
        };
        word ^ tracker.rotate_left(16)
    }

    /// What `size` bytes of a recorded block stand for.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bytes_for(&self, session: Session, size: u64) -> u64 {
        if session.is_sampled() {
            self.estimate(session, size)
        } else {
            size
        }
    }

    #[cold]
    #[inline(never)]
    fn estimate(&self, session: Session, size: u64) -> u64 {
        self.every(session).map_or(size, |every| {
            Sampling { every }.weight(size).times(size).rounded()
        })
    }

    /// How many blocks a recorded block of `size` bytes stands for, times [`Samples::block`].
    pub(crate) fn blocks_for(&self, session: Session, size: u64) -> u64 {
        if session.is_sampled() {
            self.estimate_blocks(session, size)
        } else {
            1
        }
    }

    /// What one block counts for in [`Samples::blocks_for`]: estimates have parts of blocks.
    pub(crate) fn block(&self, session: Session) -> u64 {
        if session.is_sampled() { PARTS } else { 1 }
    }

    #[cold]
    #[inline(never)]
    fn estimate_blocks(&self, session: Session, size: u64) -> u64 {
        self.every(session).map_or(PARTS, |every| {
            Sampling { every }.weight(size).times(PARTS).rounded()
        })
    }

    /// True if the free of the block at `address` is nobody's affair: `session` does nothing but to
    /// sample, and the block is known to have no record in it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn has_no_record(&self, session: Session, address: usize) -> bool {
        session.only_samples() && !self.filter.may_have_record(address, session.number())
    }

    /// True if `session` samples, whatever else it does, and the block at `address` is known to have no
    /// record in it.
    pub(crate) fn is_unrecorded(&self, session: Session, address: usize) -> bool {
        session.is_sampled() && !self.filter.may_have_record(address, session.number())
    }

    /// Comes before the record of the block at `address` is written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn add(&self, session: Session, address: usize) {
        if session.is_sampled() {
            self.filter.add(address, session.number());
        }
    }

    /// Comes after the record of the block at `address` is gone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove(&self, session: Session, address: usize) {
        if session.is_sampled() {
            self.filter.remove(address, session.number());
        }
    }

    /// Wipes out what sessions that ended before `number` have left behind.
    pub(crate) fn sweep(&self, number: SessionNumber) {
        self.filter.sweep(number);
    }
}
