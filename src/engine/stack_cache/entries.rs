//! The entries of a stack cache: a set-associative table that grows on misses.
//!
//! A thread with few stacks touches few pages. One that evicts entries all the time gets twice as many
//! sets, up to a maximum for each thread and a budget for the process.

use super::Entry;
use crate::engine::memory::budget::Budget;
use crate::engine::unwind::Caller;

/// Entries whose starts have the same hash: one place is often reached in more than one way.
pub(super) const WAYS: usize = 4;
/// Sets of a new thread: 2 KiB, on one page with its counter.
const MIN_SETS: usize = 2;
/// Sets of a busy thread: 512 KiB.
const MAX_SETS: usize = 512;
/// Bytes of sets beyond [`MIN_SETS`] that all threads may have together.
const MAX_GROWN: usize = 64 << 20;
const SET_BYTES: usize = size_of::<[Entry; WAYS]>();

/// What every thread touches comes first, on one page with the thread's counter.
#[repr(C)]
pub(super) struct Entries {
    /// Entries evicted since the table grew last.
    evicted: u32,
    /// How often the number of sets has doubled. So that all zeros are the empty table.
    doublings: u8,
    /// Which way of each set is the next to be evicted.
    turns: [u8; MAX_SETS],
    /// The first `sets()` of them are in use, the others are empty.
    sets: [[Entry; WAYS]; MAX_SETS],
}

/// The upper bits tell the set: the more sets, the more of them.
#[cfg_attr(not(debug_assertions), inline(always))]
fn hash_of(start: Caller) -> u64 {
    let key = (start.sp as u64) ^ (start.pc as u64).rotate_left(23);
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Entries {
    /// How many are in use: a power of two.
    fn sets(&self) -> usize {
        MIN_SETS << self.doublings
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn set_of(&self, start: Caller) -> usize {
        let bits = MIN_SETS.ilog2() + u32::from(self.doublings);
        // The remainder changes nothing and spares a check of bounds.
        (hash_of(start) >> (u64::BITS - bits)) as usize % MAX_SETS
    }

    /// The ways from `start`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn ways(&self, start: Caller) -> Option<&[Entry; WAYS]> {
        self.sets.get(self.set_of(start))
    }

    /// The ways from `start`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn ways_mut(&mut self, start: Caller) -> Option<&mut [Entry; WAYS]> {
        let set = self.set_of(start);
        self.sets.get_mut(set)
    }

    /// The entry that a new one from `start` takes the place of. It starts nowhere until it is filled.
    pub(super) fn replace(&mut self, start: Caller, budget: &Budget) -> Option<&mut Entry> {
        if self.evicted as usize >= 2 * WAYS * self.sets() {
            self.grow(budget);
        }
        let set = self.set_of(start);
        let turn = self.turns.get_mut(set)?;
        *turn = (*turn + 1) % WAYS as u8;
        let entry = self.sets.get_mut(set)?.get_mut(*turn as usize)?;
        self.evicted += u32::from(entry.is_in_use());
        entry.start.sp = 0;
        Some(entry)
    }

    /// Doubles the sets in use, if the budget allows it, and moves the entries that now belong to one of
    /// the new sets.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, budget: &Budget) {
        self.evicted = 0;
        let sets = self.sets();
        if sets >= MAX_SETS || !budget.reserve(sets * SET_BYTES, MAX_GROWN) {
            return;
        }
        self.doublings += 1;
        // Set n becomes sets 2n and 2n + 1. From the last one on, so that none is overwritten; one entry at a
        // time, for which a small stack has room.
        for at in (0..sets * WAYS).rev() {
            let entries = self.sets.as_flattened();
            let Some(entry) = entries.get(at).copied().filter(Entry::is_in_use) else {
                continue;
            };
            let to = self.set_of(entry.start) * WAYS + at % WAYS;
            let entries = self.sets.as_flattened_mut();
            if let Some(old) = entries.get_mut(at) {
                old.start.sp = 0;
            }
            if let Some(new) = entries.get_mut(to) {
                *new = entry;
            }
        }
    }

    /// Empties the table and makes it as small as that of a new thread.
    pub(super) fn clear(&mut self, budget: &Budget) {
        let sets = self.sets();
        for entry in self.sets.iter_mut().take(sets).flatten() {
            entry.start.sp = 0;
        }
        self.evicted = 0;
        self.doublings = 0;
        budget.release((sets - MIN_SETS) * SET_BYTES);
    }

    /// True if the table has more than a new thread's.
    pub(super) fn has_grown(&self) -> bool {
        self.doublings > 0
    }
}

impl Entry {
    /// No stack begins at address 0.
    fn is_in_use(&self) -> bool {
        self.start.sp != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::arena::Arena;
    use crate::engine::stack_cache::StackCache;
    use once_cell::race::OnceRef;

    fn start(n: usize) -> Caller {
        Caller {
            pc: 0x40_0000 + 16 * n,
            sp: 0x7000_0000,
            fp: 0,
        }
    }

    /// Runs `task` with an empty table.
    fn with_entries(task: impl FnOnce(&mut Entries)) {
        let (arena, cell) = (Arena::new(), OnceRef::new());
        let slot: &ThreadSlotLike = arena.first_use(&cell).expect("memory");
        // SAFETY: made here, for this test alone.
        task(unsafe { &mut (*slot.0.get()).entries });
    }

    /// Something that the arena can make.
    struct ThreadSlotLike(std::cell::UnsafeCell<StackCache>);
    // SAFETY: the test has one thread.
    unsafe impl Sync for ThreadSlotLike {}
    // SAFETY: a stack cache is empty when it is zero.
    unsafe impl crate::engine::memory::arena::Zeroed for ThreadSlotLike {}

    fn insert(entries: &mut Entries, n: usize, budget: &Budget) {
        entries.replace(start(n), budget).expect("a way").start = start(n);
    }

    fn holds(entries: &Entries, n: usize) -> bool {
        let ways = entries.ways(start(n)).expect("a set");
        ways.iter().any(|entry| entry.start == start(n))
    }

    #[test]
    fn a_thread_with_few_stacks_stays_small_and_a_busy_one_grows_to_the_maximum() {
        let budget = Budget::new();
        with_entries(|entries| {
            for _ in 0..100 {
                for n in 0..4 {
                    if !holds(entries, n) {
                        insert(entries, n, &budget);
                    }
                }
            }
            assert_eq!(entries.sets(), MIN_SETS);
            for n in 0..100_000 {
                insert(entries, n, &budget);
            }
            assert_eq!(entries.sets(), MAX_SETS);
            entries.clear(&budget);
            assert_eq!(entries.sets(), MIN_SETS);
            assert!((0..100_000).all(|n| !holds(entries, n)));
            assert!(budget.reserve(MAX_GROWN, MAX_GROWN), "all was released");
        });
    }

    #[test]
    fn a_table_that_grows_keeps_its_entries() {
        let budget = Budget::new();
        with_entries(|entries| {
            for n in 0..12 {
                insert(entries, n, &budget);
            }
            let held: Vec<usize> = (0..12).filter(|n| holds(entries, *n)).collect();
            assert!(held.len() >= 4);
            entries.grow(&budget);
            assert_eq!(entries.sets(), 2 * MIN_SETS);
            assert!(held.iter().all(|n| holds(entries, *n)));
            // Each entry is in one set.
            let in_use = entries
                .sets
                .iter()
                .flatten()
                .filter(|entry| entry.is_in_use());
            assert_eq!(in_use.count(), held.len());
        });
    }

    #[test]
    fn without_budget_a_table_stays_as_it_is_and_works() {
        let budget = Budget::new();
        assert!(budget.reserve(MAX_GROWN, MAX_GROWN));
        with_entries(|entries| {
            for n in 0..10_000 {
                insert(entries, n, &budget);
                assert!(holds(entries, n));
            }
            assert_eq!(entries.sets(), MIN_SETS);
        });
    }
}
