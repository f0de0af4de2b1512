//! A large number of small live blocks.

use std::mem;

use crate::numbers::{Checksum, Numbers};
use crate::{Size, Work};

pub(crate) fn prepare(size: Size) -> Work {
    let held = size.of(2_000_000, 2000);
    Box::new(move || {
        let mut numbers = Numbers::new(3);
        let mut boxes: Vec<Box<[u64; 4]>> = Vec::with_capacity(held);
        boxes.extend((0..held as u64).map(|number| Box::new([number; 4])));
        for _ in 0..held / 2 {
            let at = numbers.below(held);
            let next = Box::new([boxes[at][0] + 1; 4]);
            drop(mem::replace(&mut boxes[at], next));
        }
        let mut sum = Checksum::default();
        boxes.iter().for_each(|kept| sum.add(kept[0]));
        sum.value()
    })
}
