//! A bound for memory that many threads grow, each its own.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are reserved. The memory itself is mapped already: what is bounded is how much of it is
/// touched.
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Reserves `bytes` if no more than `limit` are reserved then.
    pub(crate) fn reserve(&self, bytes: usize, limit: usize) -> bool {
        // Relaxed, as below: a count alone, no other memory is read on the strength of it.
        let reserve = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        let mut used = self.0.load(Ordering::Relaxed);
        while let Some(next) = reserve(used) {
            match self
                .0
                .compare_exchange_weak(used, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(other) => used = other,
            }
        }
        false
    }

    /// Gives back what was reserved.
    pub(crate) fn release(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn no_more_than_the_limit_is_reserved() {
        let budget = Budget::new();
        assert!(budget.reserve(60, 100) && budget.reserve(40, 100));
        assert!(!budget.reserve(1, 100));
        budget.release(40);
        assert!(!budget.reserve(41, 100) && budget.reserve(40, 100));
        assert!(!budget.reserve(usize::MAX, usize::MAX));
    }
}
