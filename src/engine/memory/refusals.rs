//! Refuses mappings to an arena on request: in tests, and in builds with failpoints.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which mappings of an arena are refused, as if the system had no memory.
pub(crate) struct Refusals {
    /// Mappings that were asked for.
    mappings: AtomicU64,
    from: AtomicU64,
    count: AtomicU64,
    refused: AtomicU64,
}

impl Refusals {
    pub(crate) const fn new() -> Self {
        Self {
            mappings: AtomicU64::new(0),
            from: AtomicU64::new(0),
            count: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Refuses `count` mappings from the one with number `from` on, counted from 0.
    pub(crate) fn set(&self, from: u64, count: u64) {
        self.from.store(from, Ordering::SeqCst);
        self.count.store(count, Ordering::SeqCst);
    }

    pub(crate) fn mappings(&self) -> u64 {
        self.mappings.load(Ordering::SeqCst)
    }

    /// How many were refused.
    #[cfg(tracemalloc_failpoints)]
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// True if this mapping, the next one, is to be refused.
    pub(crate) fn refuses_next(&self) -> bool {
        let mapping = self.mappings.fetch_add(1, Ordering::SeqCst);
        let beyond = mapping.checked_sub(self.from.load(Ordering::SeqCst));
        let refuses = beyond.is_some_and(|beyond| beyond < self.count.load(Ordering::SeqCst));
        self.refused.fetch_add(u64::from(refuses), Ordering::SeqCst);
        refuses
    }
}
