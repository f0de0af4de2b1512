//! Numbers of scopes, and their reuse.
//!
//! ```text
//! take ──▶ in use ──end──▶ ended ──no live block has it──▶ free ──take──▶ in use
//! ```
//!
//! Blocks have the number of their scope, and may outlive it. So a number is free only after a scan of all
//! blocks has found none that has it. A scan is made when the ended numbers are twice as many as the last scan
//! left. So there are about as many numbers as scopes that are open or hold blocks.

use std::collections::BTreeSet;

/// Ended numbers that are not worth a scan.
const FEW: usize = 64;

/// Numbers from 1 on, and what is known of each free one.
pub(crate) struct Numbers<T> {
    /// How many there are.
    count: u32,
    free: Vec<(u32, T)>,
    ended: BTreeSet<u32>,
    /// How many ended numbers start the next scan.
    look_at: usize,
}

impl<T> Numbers<T> {
    pub(crate) const fn new() -> Self {
        Self {
            count: 0,
            free: Vec::new(),
            ended: BTreeSet::new(),
            look_at: FEW,
        }
    }
}

impl<T: Clone + Default> Numbers<T> {
    /// A number that no live block has. `look` removes from a set the numbers that live blocks have, and
    /// returns what there is to know of the others; `new` is what there is to know of a number that was never used.
    pub(crate) fn take(&mut self, look: impl FnOnce(&mut BTreeSet<u32>) -> T, new: &T) -> (u32, T) {
        if self.free.is_empty() && self.ended.len() >= self.look_at {
            let mut unused = self.ended.clone();
            let known = look(&mut unused);
            self.ended.retain(|number| !unused.contains(number));
            self.free
                .extend(unused.into_iter().map(|number| (number, known.clone())));
            self.look_at = FEW.max(2 * self.ended.len());
        }
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            (self.count, new.clone())
        })
    }

    /// No further block will get `number`.
    pub(crate) fn end(&mut self, number: u32) {
        self.ended.insert(number);
    }

    /// Frees all ended numbers, because no block has one of them any more.
    pub(crate) fn free_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended).into_iter();
        let ended = ended.map(|number| (number, T::default()));
        self.free
            .iter_mut()
            .for_each(|(_, known)| *known = T::default());
        self.free.extend(ended);
        self.look_at = FEW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a number while live blocks have those in `live`.
    fn take(numbers: &mut Numbers<usize>, live: &BTreeSet<u32>, looks: &mut usize) -> u32 {
        let look = |ended: &mut BTreeSet<u32>| {
            *looks += 1;
            ended.retain(|number| !live.contains(number));
            *looks
        };
        let (number, _) = numbers.take(look, &0);
        assert!(!live.contains(&number), "{number} has live blocks");
        number
    }

    #[test]
    fn a_million_scopes_one_after_the_other_need_few_numbers_and_few_looks() {
        let (mut numbers, mut looks) = (Numbers::new(), 0);
        for _ in 0..1_000_000 {
            let number = take(&mut numbers, &BTreeSet::new(), &mut looks);
            numbers.end(number);
        }
        assert_eq!(numbers.count, FEW as u32);
        assert!(looks <= 1_000_000 / FEW, "{looks}");
    }

    #[test]
    fn a_number_with_live_blocks_or_in_use_is_not_taken() {
        let (mut numbers, mut looks) = (Numbers::new(), 0);
        let (mut live, mut open) = (BTreeSet::new(), BTreeSet::new());
        for round in 0..10_000_u32 {
            let number = take(&mut numbers, &live, &mut looks);
            assert!(open.insert(number), "{number} is in use");
            // Every third scope holds a block for as long as there are scopes, up to a thousand.
            if round % 3 == 0 && live.len() < 1000 {
                live.insert(number);
            }
            if open.len() > 5 {
                let ended = open.iter().min().copied().expect("there are some");
                open.remove(&ended);
                numbers.end(ended);
            }
        }
        assert!((1000..=2 * 1000 + 10 + FEW as u32).contains(&numbers.count));
        assert!(looks < 500, "{looks}");
    }

    #[test]
    fn what_is_known_of_a_number_is_that_of_the_last_look() {
        let mut numbers = Numbers::new();
        let first: Vec<u32> = (0..FEW).map(|_| numbers.take(|_| 1, &7).0).collect();
        first.iter().for_each(|number| numbers.end(*number));
        assert_eq!(numbers.take(|_| 1, &7).1, 1);
        numbers.free_ended();
        assert_eq!(numbers.take(|_| 2, &7).1, 0);
    }
}
