//! Blocks that are freed in another order than they were made in.

use std::thread;

use super::Piece;
use crate::Size;
use crate::numbers::Numbers;

/// What one thread has.
struct Blocks {
    numbers: Numbers,
    blocks: Vec<Vec<u8>>,
}

struct Random {
    threads: Vec<Blocks>,
    pairs: u64,
}

/// `live` blocks for each thread.
pub(super) fn prepare(live: usize, threads: usize, size: Size) -> Box<dyn Piece> {
    let live = size.of(live, 100);
    let blocks = |thread| {
        let mut numbers = Numbers::new(thread as u64);
        let blocks = (0..live).map(|_| block(&mut numbers)).collect();
        Blocks { numbers, blocks }
    };
    let mut random = Random {
        threads: (0..threads).map(blocks).collect(),
        pairs: size.of(200_000, 100) as u64,
    };
    // The first blocks lie in order; now they do not.
    for _ in 0..live.div_ceil(random.pairs as usize) {
        random.run();
    }
    Box::new(random)
}

impl Piece for Random {
    fn run(&mut self) -> u64 {
        let pairs = self.pairs;
        match self.threads.as_mut_slice() {
            [one] => one.replace(pairs),
            several => thread::scope(|scope| {
                for blocks in several {
                    scope.spawn(move || blocks.replace(pairs));
                }
            }),
        }
        pairs
    }
}

impl Blocks {
    #[inline(never)]
    fn replace(&mut self, pairs: u64) {
        for _ in 0..pairs {
            let at = self.numbers.below(self.blocks.len());
            // The old one goes first, as in a program that has freed something before.
            self.blocks[at] = Vec::new();
            self.blocks[at] = block(&mut self.numbers);
        }
    }
}

/// 16 to 127 bytes.
fn block(numbers: &mut Numbers) -> Vec<u8> {
    Vec::with_capacity(16 + numbers.below(112))
}
