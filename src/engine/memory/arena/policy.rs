//! Which pages a dense table is put on: those that have cost less until now.
//!
//! A large page (2 MiB) takes one fault where small ones (4 KiB) take 512, but all of it is
//! zeroed in that fault, and on a virtual machine the host may have to find it first. Which is cheaper
//! depends on the machine and on what its memory was used for before: a large page has been
//! measured at a fifth of the small ones' time and at five times of it. So the tables that are
//! written all over have their memory populated when they are made, with a clock, and the times
//! decide:
//!
//! ```text
//! small pages first; their time for a page is known then
//! try one large page
//!     not dearer than 512 small ones:      the next one is large too
//!     dearer:                              small ones for a while, then try again;
//!                                          each time in a row, for twice as long
//! ```
//!
//! So the time lost to large pages is at most that of one bad try for each wait, and the waits
//! grow.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Small pages in a large one.
pub(super) const LARGE: u32 = 512;
/// Small pages before large ones are tried once more, after the first bad try and after many.
const SHORTEST_WAIT: u32 = 8 * LARGE;
const LONGEST_WAIT: u32 = 256 * LARGE;

/// What populating pages has cost, and what follows from it.
///
/// All orderings are relaxed: threads that meet here at worst guess from older times.
pub(super) struct PagePolicy {
    /// Nanoseconds for a small page; 0 until it is known.
    small: AtomicU64,
    /// Small pages to go until large ones are tried.
    wait: AtomicU32,
    /// The last wait; 0 if the last large page was cheap.
    last_wait: AtomicU32,
}

impl PagePolicy {
    pub(super) const fn new() -> Self {
        Self {
            small: AtomicU64::new(0),
            wait: AtomicU32::new(0),
            last_wait: AtomicU32::new(0),
        }
    }

    /// True if the next dense table is to be put on a large page.
    pub(super) fn prefers_large(&self) -> bool {
        self.small.load(Ordering::Relaxed) > 0 && self.wait.load(Ordering::Relaxed) == 0
    }

    /// Records that populating `pages` small pages took `nanoseconds`.
    ///
    /// The known time falls in one step and rises slowly: an interruption makes one measurement too
    /// long, and nothing makes one too short.
    pub(super) fn record_small(&self, pages: u32, nanoseconds: u64) {
        let now = (nanoseconds / u64::from(pages.max(1))).max(1);
        let known = self.small.load(Ordering::Relaxed);
        let known = if known == 0 {
            now
        } else {
            now.min(known.saturating_add(known.div_ceil(8)))
        };
        self.small.store(known, Ordering::Relaxed);
        let wait = self.wait.load(Ordering::Relaxed);
        self.wait
            .store(wait.saturating_sub(pages), Ordering::Relaxed);
    }

    /// Records that populating one large page took `nanoseconds`.
    pub(super) fn record_large(&self, nanoseconds: u64) {
        let small = self.small.load(Ordering::Relaxed);
        let is_cheap = nanoseconds <= small.saturating_mul(u64::from(LARGE));
        let wait = match self.last_wait.load(Ordering::Relaxed) {
            _ if is_cheap => 0,
            0 => SHORTEST_WAIT,
            last => (2 * last).min(LONGEST_WAIT),
        };
        self.last_wait.store(wait, Ordering::Relaxed);
        self.wait.store(wait, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES_OF_TABLE: u32 = 64;

    /// Nanoseconds to populate `total` small pages' worth of tables, of which a small page takes
    /// `small` and a large one `large`.
    fn cost(policy: &PagePolicy, total: u32, small: u64, large: u64) -> u64 {
        let (mut pages, mut sum) = (0, 0);
        while pages < total {
            if policy.prefers_large() {
                policy.record_large(large);
                (pages, sum) = (pages + LARGE, sum + large);
            } else {
                let table = u64::from(PAGES_OF_TABLE) * small;
                policy.record_small(PAGES_OF_TABLE, table);
                (pages, sum) = (pages + PAGES_OF_TABLE, sum + table);
            }
        }
        sum
    }

    #[test]
    fn large_pages_wait_until_small_ones_are_known() {
        let policy = PagePolicy::new();
        assert!(!policy.prefers_large());
        policy.record_small(PAGES_OF_TABLE, 64_000);
        assert!(policy.prefers_large());
    }

    #[test]
    fn cheap_large_pages_are_used_from_the_second_table_on() {
        let total = 100 * LARGE;
        let cost = cost(&PagePolicy::new(), total, 1600, 150_000);
        assert!(cost <= 100 * 150_000 + 64 * 1600, "{cost}");
    }

    #[test]
    fn dear_large_pages_cost_little_more_than_small_ones() {
        for dearer in [2, 5, 10] {
            for total in [10 * LARGE, 100 * LARGE, 10_000 * LARGE] {
                let small = u64::from(total) * 1000;
                let large = dearer * u64::from(LARGE) * 1000;
                let cost = cost(&PagePolicy::new(), total, 1000, large);
                // A try in the beginning, one after eight large pages' worth, one after sixteen
                // more ...
                let tries = (f64::from(total / LARGE) / 8.0 + 1.0).log2().ceil() as u64 + 1;
                let tries = tries.min(6) + u64::from(total / LONGEST_WAIT);
                let bound = small + tries * large;
                assert!(
                    cost <= bound,
                    "{dearer} times, {total} pages: {cost} > {bound}"
                );
            }
        }
    }

    #[test]
    fn a_machine_that_changes_is_followed() {
        let policy = PagePolicy::new();
        cost(&policy, 1000 * LARGE, 1000, 5 * 512_000);
        assert!(!policy.prefers_large());
        let used = cost(&policy, 1000 * LARGE, 1000, 100_000);
        assert!(used < 400 * 512_000, "{used}");
        let dear = cost(&policy, 1000 * LARGE, 1000, 5 * 512_000);
        assert!(dear < 1060 * 512_000, "{dear}");
    }

    #[test]
    fn an_interruption_does_not_make_small_pages_look_dear() {
        let policy = PagePolicy::new();
        policy.record_small(PAGES_OF_TABLE, 64_000);
        policy.record_small(PAGES_OF_TABLE, 6_400_000);
        policy.record_large(600_000);
        assert!(!policy.prefers_large());
    }
}
