//! Unwind rules by return address: compiled when first needed, then found without a lock.
//!
//! A hash table with open addressing that only fills: code stays, so rules do too. A full table is
//! followed by another one. A rule is looked for in each table in turn, and those that were needed
//! first are in the first.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::rule::UnwindRule;
use crate::engine::memory::arena::{Arena, zeroed_struct};

struct Slot {
    return_address: AtomicU64,
    /// 0 until the rule is there: for a moment after the address, or for ever if its thread died.
    rule: AtomicU64,
}

zeroed_struct!(Slot {
    return_address,
    rule
});

const BITS: u32 = 17;
const SLOTS: usize = 1 << BITS;
/// More are not inserted, so that searches stay short and come to an end.
const MAX_USED: u32 = SLOTS as u32 / 4 * 3;
/// Tables: rules for three million return addresses. More are compiled every time.
const TABLES: usize = 32;

/// Return addresses of one stretch of code share pages of the table: log2 of its bytes.
const STRETCH_BITS: u32 = 11;

struct Table {
    slots: OnceRef<'static, [Slot; SLOTS]>,
    used: AtomicU32,
}

/// The tables.
pub(super) struct UnwindRules([Table; TABLES]);

/// What one table says of an address.
enum Found {
    UnwindRule(UnwindRule),
    /// Not here, where the search ended.
    Free(usize),
}

impl UnwindRules {
    pub(super) const fn new() -> Self {
        Self(
            [const {
                Table {
                    slots: OnceRef::new(),
                    used: AtomicU32::new(0),
                }
            }; TABLES],
        )
    }

    pub(super) fn prepare(&self, arena: &Arena) {
        if let Some(first) = self.0.first() {
            // Without memory for it a rule is compiled each time it is needed.
            let _ = arena.first_use(&first.slots);
        }
    }

    /// The rule for the code that `return_address` returns to, if the first table has it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn find(&self, return_address: usize) -> Option<UnwindRule> {
        match find(self.0.first()?.slots.get()?, return_address) {
            Found::UnwindRule(rule) => Some(rule),
            Found::Free(_) => None,
        }
    }

    /// The rule for the code that `return_address` returns to; `compile` works it out if it is not
    /// there yet.
    pub(super) fn get(
        &self,
        arena: &Arena,
        return_address: usize,
        compile: impl FnOnce() -> Option<UnwindRule>,
    ) -> UnwindRule {
        for table in &self.0 {
            let Some(slots) = arena.first_use(&table.slots) else {
                break;
            };
            let free = match find(slots, return_address) {
                Found::UnwindRule(rule) => return rule,
                Found::Free(at) => at,
            };
            if table.used.load(Ordering::Relaxed) < MAX_USED {
                // Without room to work it out in, it is not known this time only.
                let rule = compile();
                if let Some(rule) = rule {
                    table.add(slots, return_address, rule, free);
                }
                return rule.unwrap_or(UnwindRule::OTHER);
            }
        }
        compile().unwrap_or(UnwindRule::OTHER)
    }
}

#[inline]
fn find(slots: &[Slot; SLOTS], return_address: usize) -> Found {
    let mut at = first_slot(return_address);
    while let Some(slot) = slots.get(at) {
        let found = slot.return_address.load(Ordering::Acquire);
        if found == return_address as u64 {
            let rule = slot.rule.load(Ordering::Acquire);
            if rule != 0 {
                return Found::UnwindRule(UnwindRule::from_bits(rule));
            }
            break;
        }
        if found == 0 {
            break;
        }
        at = (at + 1) % SLOTS;
    }
    Found::Free(at)
}

impl Table {
    fn add(
        &self,
        slots: &'static [Slot; SLOTS],
        return_address: usize,
        rule: UnwindRule,
        first_free: usize,
    ) {
        let wanted = return_address as u64;
        let mut at = first_free;
        while let Some(slot) = slots.get(at) {
            let before = slot.return_address.compare_exchange(
                0,
                wanted,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match before {
                Ok(_) => {
                    self.used.fetch_add(1, Ordering::Relaxed);
                    return slot.rule.store(rule.bits(), Ordering::Release);
                }
                // The thread that took the slot has found an equal rule.
                Err(taken) if taken == wanted => {
                    return slot.rule.store(rule.bits(), Ordering::Release);
                }
                Err(_) => at = (at + 1) % SLOTS,
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(n: usize) -> UnwindRule {
        UnwindRule::from_bits(n as u64 + 1)
    }

    #[test]
    fn rules_are_compiled_once_however_many_there_are() {
        let (arena, rules) = (Arena::new(), UnwindRules::new());
        // One table is full after 98,304.
        let addresses = || (1..=250_000).map(|n| n * 20);
        for address in addresses() {
            let got = rules.get(&arena, address, || Some(rule(address)));
            assert_eq!(got, rule(address));
        }
        for address in addresses() {
            let got = rules.get(&arena, address, || panic!("compiled twice"));
            assert_eq!(got, rule(address));
        }
        assert!(rules.0[2].slots.get().is_some() && rules.0[3].slots.get().is_none());
    }

    #[test]
    fn without_memory_rules_are_compiled_every_time() {
        let (arena, rules) = (Arena::new(), UnwindRules::new());
        arena.set_limit(0);
        rules.prepare(&arena);
        for _ in 0..2 {
            assert_eq!(rules.get(&arena, 4711, || Some(rule(1))), rule(1));
        }
        assert_eq!(rules.get(&arena, 4711, || None), UnwindRule::OTHER);
    }
}
