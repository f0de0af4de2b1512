//! Numbers that are used again.
//!
//! ```text
//! take ──▶ in use ──end──▶ ended ──nothing bears it──▶ free ──take──▶ in use
//! ```
//!
//! Blocks bear the number of their scope, and may live on when it has ended. So a number is free only when a
//! look at all blocks finds none that bears it. There is such a look whenever the ended numbers have become
//! twice as many as the last one left, so numbers are about as many as scopes that are open or hold blocks.

use std::collections::BTreeSet;

/// Ended numbers that are not worth a look.
const FEW: usize = 64;

/// Numbers from 1 on, and what is known of each free one.
pub(crate) struct Numbers<T> {
    /// How many there are.
    count: u32,
    free: Vec<(u32, T)>,
    ended: BTreeSet<u32>,
    /// So many ended ones are looked at.
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
    /// A number that nothing bears. `look` takes those out of a set that something bears, and says what there
    /// is to know of the others; `new` is what there is to know of a number that was never used.
    pub(crate) fn take(&mut self, look: impl FnOnce(&mut BTreeSet<u32>) -> T, new: &T) -> (u32, T) {
        if self.free.is_empty() && self.ended.len() >= self.look_at {
            let mut unborne = self.ended.clone();
            let known = look(&mut unborne);
            self.ended.retain(|number| !unborne.contains(number));
            self.free
                .extend(unborne.into_iter().map(|number| (number, known.clone())));
            self.look_at = FEW.max(2 * self.ended.len());
        }
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            (self.count, new.clone())
        })
    }

    /// Nothing more will bear `number` than does now.
    pub(crate) fn end(&mut self, number: u32) {
        self.ended.insert(number);
    }

    /// Nothing bears any number but those in use.
    pub(crate) fn forget(&mut self) {
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

    /// Takes a number while those in `borne` are borne.
    fn take(numbers: &mut Numbers<usize>, borne: &BTreeSet<u32>, looks: &mut usize) -> u32 {
        let look = |ended: &mut BTreeSet<u32>| {
            *looks += 1;
            ended.retain(|number| !borne.contains(number));
            *looks
        };
        let (number, _) = numbers.take(look, &0);
        assert!(!borne.contains(&number), "{number} is borne");
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
    fn a_number_that_is_borne_or_in_use_is_not_taken() {
        let (mut numbers, mut looks) = (Numbers::new(), 0);
        let (mut borne, mut open) = (BTreeSet::new(), BTreeSet::new());
        for round in 0..10_000_u32 {
            let number = take(&mut numbers, &borne, &mut looks);
            assert!(open.insert(number), "{number} is in use");
            // Every third scope holds a block for as long as there are scopes, up to a thousand.
            if round % 3 == 0 && borne.len() < 1000 {
                borne.insert(number);
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
        numbers.forget();
        assert_eq!(numbers.take(|_| 2, &7).1, 0);
    }
}
