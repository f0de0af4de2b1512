//! Rows by return address: compiled when first needed, then found without a lock.
//!
//! Open addressing in a table of fixed size, which only fills: code stays, so rows do too. A program
//! with more return addresses than fit has the rest compiled every time, which costs as much as the
//! platform's unwinder does.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::row::Row;
use crate::engine::arena::{Arena, zeroed_struct};

struct Slot {
    return_address: AtomicU64,
    /// 0 until the row is there: for a moment after the address, or for ever if its thread died.
    row: AtomicU64,
}

zeroed_struct!(Slot {
    return_address,
    row
});

const BITS: u32 = 17;
const SLOTS: usize = 1 << BITS;
/// More are not inserted, so that searches stay short.
const MOST: u32 = SLOTS as u32 / 4 * 3;

/// Return addresses of one stretch of code share pages of the table: log2 of its bytes.
const STRETCH_BITS: u32 = 11;

/// The table.
pub(super) struct Rows {
    slots: OnceRef<'static, [Slot; SLOTS]>,
    used: AtomicU32,
}

impl Rows {
    pub(super) const fn new() -> Self {
        Self {
            slots: OnceRef::new(),
            used: AtomicU32::new(0),
        }
    }

    pub(super) fn prepare(&self, arena: &Arena) {
        // Without memory for it every row is compiled anew.
        let _ = arena.first_use(&self.slots);
    }

    /// The row for the code that `return_address` returns to; `compile` works it out if it is not
    /// there yet.
    #[inline]
    pub(super) fn get(&self, return_address: usize, compile: impl FnOnce() -> Option<Row>) -> Row {
        let Some(slots) = self.slots.get() else {
            return compile().unwrap_or(Row::OTHER);
        };
        let mut at = first_slot(return_address);
        loop {
            let Some(slot) = slots.get(at) else {
                return Row::OTHER;
            };
            let found = slot.return_address.load(Ordering::Acquire);
            if found == return_address as u64 {
                let row = slot.row.load(Ordering::Acquire);
                if row != 0 {
                    return Row::from_bits(row);
                }
                return compile().unwrap_or(Row::OTHER);
            }
            if found == 0 {
                // Without room to work it out in, it is not known this time only.
                return match compile() {
                    Some(row) => self.add(slots, return_address, row, at),
                    None => Row::OTHER,
                };
            }
            at = (at + 1) % SLOTS;
        }
    }

    #[cold]
    fn add(
        &self,
        slots: &'static [Slot; SLOTS],
        return_address: usize,
        row: Row,
        first_free: usize,
    ) -> Row {
        if self.used.load(Ordering::Relaxed) >= MOST {
            return row;
        }
        let mut at = first_free;
        while let Some(slot) = slots.get(at) {
            let wanted = return_address as u64;
            match slot.return_address.compare_exchange(
                0,
                wanted,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    self.used.fetch_add(1, Ordering::Relaxed);
                    slot.row.store(row.bits(), Ordering::Release);
                    break;
                }
                Err(taken) if taken == wanted => break,
                Err(_) => at = (at + 1) % SLOTS,
            }
        }
        row
    }
}

/// Where the search for an address begins: stretches are scattered, addresses within one are not.
#[inline]
fn first_slot(return_address: usize) -> usize {
    let stretch = (return_address >> STRETCH_BITS) as u64;
    let scattered = stretch.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BITS);
    let within = return_address >> 2 & 127;
    (scattered as usize & !127) | within
}
