//! Which blocks may have a record, in a session that samples.
//!
//! Nearly all blocks have none there, and a free has to tell so in a few instructions. So the
//! addresses that records were made for are counted, by the page-like ranges of 1 KiB that they are
//! in; a block in a range that counts none has no record, and the live table is not looked at.
//!
//! # Why a record is never missed
//!
//! *While a block has a record of the session that is on, its cell has the number of that session and
//! counts the block.*
//!
//! - A block is [added](Filter::add) before its record is written, by the thread that has received
//!   it, and so before any other thread can free it. It is [removed](Filter::remove) after its
//!   record is gone, once, by the thread that has removed the record.
//! - A cell is changed by compare-and-swap alone, so no count is lost to another thread.
//! - Nothing is cleared when a session begins: the first block of a session takes the cell over. A
//!   thread that is still busy with an event of an earlier session leaves it alone.
//! - A count that has reached its maximum stays there for the rest of the session.
//!
//! A range may count a block too many: one whose free the tracer did not see, or whose thread a fork
//! has ended on the way. That costs a look at the live table.

use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::race::OnceRef;

use crate::engine::memory::arena::{Arena, zeroed_struct};
use crate::engine::session::SessionNumber;

/// log2 of the bytes whose blocks share a cell. Blocks that are used together lie together, so a
/// program that is busy with a megabyte reads 4 KiB of cells.
const RANGE_BITS: u32 = 10;
/// Number of cells. Addresses that are this many ranges apart share one. A heap of 2 GiB sampled every
/// 512 KiB fills a quarter of them.
const CELLS: usize = 1 << 14;
const COUNT_BITS: u32 = 4;
const MAX_COUNT: u32 = (1 << COUNT_BITS) - 1;

/// The cells: each 0, or a session's number above a count.
struct Cells {
    all: [AtomicU32; CELLS],
}

zeroed_struct!(Cells { all });

/// The addresses of blocks that may have a record.
pub(crate) struct Filter {
    cells: OnceRef<'static, Cells>,
}

/// A session's number as a cell bears it: above the count, at the upper end, so that differences of
/// numbers wrap where the numbers do.
#[cfg_attr(not(debug_assertions), inline(always))]
fn owner_of(number: SessionNumber) -> u32 {
    (number.0 << (u32::BITS - SessionNumber::BITS)) as u32
}

const _: () = assert!(SessionNumber::BITS + COUNT_BITS <= u32::BITS);

/// True if `owner`, that of a cell, is a session after that of `base`: one of the next half of the
/// numbers.
fn is_later(owner: u32, base: u32) -> bool {
    owner.wrapping_sub(base) <= i32::MAX as u32
}

/// What a cell holds after a step of a thread in the session of `base`. `None` if the step changes
/// nothing.
fn counted(cell: u32, base: u32, step: Step) -> Option<u32> {
    let (owner, count) = (cell & !MAX_COUNT, cell & MAX_COUNT);
    let is_own = count > 0 && owner == base;
    match step {
        _ if is_own && count == MAX_COUNT => None,
        Step::Add if is_own => Some(cell + 1),
        Step::Add => (count == 0 || !is_later(owner, base)).then_some(base | 1),
        Step::Remove if is_own && count == 1 => Some(0),
        Step::Remove => is_own.then(|| cell - 1),
    }
}

#[derive(Clone, Copy)]
enum Step {
    Add,
    Remove,
}

impl Filter {
    pub(crate) const fn new() -> Self {
        Self {
            cells: OnceRef::new(),
        }
    }

    /// Makes the cells, ahead of the first session that samples.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        arena.first_use(&self.cells).map(drop)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn cell(&self, address: usize) -> Option<&'static AtomicU32> {
        let cells = &self.cells.get()?.all;
        cells.get((address >> RANGE_BITS) % CELLS)
    }

    /// False if no block at `address` has a record of session `number`. Always true in the
    /// session whose number is 0, as an empty cell's is.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn may_have_record(&self, address: usize, number: SessionNumber) -> bool {
        let Some(cell) = self.cell(address) else {
            return true;
        };
        // Relaxed: handing the block to this thread has made the count visible too.
        (cell.load(Ordering::Relaxed) ^ owner_of(number)) <= MAX_COUNT
    }

    /// Counts a block at `address`, of which a record of session `number` is about to be written.
    pub(crate) fn add(&self, address: usize, number: SessionNumber) {
        self.step(address, number, Step::Add);
    }

    /// Takes back one [`Filter::add`]: the record is gone, or was not written.
    pub(crate) fn remove(&self, address: usize, number: SessionNumber) {
        self.step(address, number, Step::Remove);
    }

    fn step(&self, address: usize, number: SessionNumber, step: Step) {
        let Some(cell) = self.cell(address) else {
            return;
        };
        let mut now = cell.load(Ordering::Relaxed);
        while let Some(then) = counted(now, owner_of(number), step) {
            // Relaxed: nothing is read on the strength of a count.
            match cell.compare_exchange_weak(now, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }

    /// Empties the cells of sessions that ended before `number`, long before their numbers come round
    /// again. Those of the sessions just begun are left alone: other threads may be ahead.
    pub(crate) fn sweep(&self, number: SessionNumber) {
        let base = owner_of(number);
        let cells = self.cells.get().map_or(&[][..], |cells| &cells.all);
        for cell in cells {
            let now = cell.load(Ordering::Relaxed);
            if now != 0 && !is_later(now & !MAX_COUNT, base) {
                // If it has changed meanwhile a thread has taken it over.
                let _ = cell.compare_exchange(now, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 0x7f00_0000_1010;

    fn filter() -> Filter {
        let filter = Filter::new();
        filter.prepare(&Arena::new()).expect("memory");
        filter
    }

    fn has(filter: &Filter, number: u64) -> bool {
        filter.may_have_record(AT, SessionNumber(number))
    }

    #[test]
    fn a_block_is_told_from_when_it_is_added_until_it_is_removed() {
        let filter = filter();
        assert!(!has(&filter, 5));
        filter.add(AT, SessionNumber(5));
        filter.add(AT + 16, SessionNumber(5));
        filter.remove(AT, SessionNumber(5));
        assert!(has(&filter, 5) && !has(&filter, 4) && !has(&filter, 6));
        assert!(!filter.may_have_record(AT + (1 << RANGE_BITS), SessionNumber(5)));
        filter.remove(AT + 16, SessionNumber(5));
        assert!(!has(&filter, 5));
        // One too many takes nothing from the blocks that come later.
        filter.remove(AT, SessionNumber(5));
        filter.add(AT, SessionNumber(5));
        assert!(has(&filter, 5));
    }

    /// Seen to fail while the count went on from its maximum.
    #[test]
    fn more_blocks_than_can_be_counted_are_told_to_the_end_of_the_session() {
        let filter = filter();
        for added in 1..=2 * MAX_COUNT {
            filter.add(AT, SessionNumber(5));
            assert!(has(&filter, 5), "{added}");
        }
        for removed in 1..2 * MAX_COUNT {
            filter.remove(AT, SessionNumber(5));
            assert!(has(&filter, 5), "{removed}");
        }
        assert!(!has(&filter, 6));
        filter.add(AT, SessionNumber(6));
        filter.remove(AT, SessionNumber(6));
        assert!(!has(&filter, 6));
    }

    /// Seen to fail while a thread of the earlier session took the cell over.
    #[test]
    fn who_is_late_changes_nothing_of_the_next_session() {
        let filter = filter();
        filter.add(AT, SessionNumber(5));
        filter.add(AT, SessionNumber(6));
        filter.add(AT, SessionNumber(5));
        assert!(has(&filter, 6) && !has(&filter, 5));
        filter.remove(AT, SessionNumber(5));
        filter.remove(AT, SessionNumber(5));
        assert!(has(&filter, 6));
        filter.remove(AT, SessionNumber(6));
        assert!(!has(&filter, 6));
    }

    /// Seen to fail without the sweep.
    #[test]
    fn session_numbers_come_round_again() {
        const ROUND: u64 = 1 << SessionNumber::BITS;
        for later in [1, ROUND / 2 - 1, ROUND / 2, ROUND / 2 + 1, ROUND - 1, ROUND] {
            for first in [0, 1, ROUND - 1, ROUND, 2 * ROUND - 1] {
                let filter = filter();
                filter.add(AT, SessionNumber(first));
                filter.sweep(SessionNumber(first));
                assert!(has(&filter, first));
                filter.sweep(SessionNumber(first + 1));
                let number = first + later;
                assert!(!has(&filter, number) || number % ROUND == 0);
                filter.add(AT, SessionNumber(number));
                assert!(has(&filter, number), "{later} after {first}");
            }
        }
    }
}
