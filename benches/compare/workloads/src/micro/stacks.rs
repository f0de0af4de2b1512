//! Blocks that are made on stacks of the program's own.

use std::hint::black_box;

use corosensei::{Coroutine, Yielder};

use super::Piece;
use super::loops::below;
use crate::Size;

/// Calls on the thread's own stack, and as many on each coroutine's.
const DEPTH: usize = 16;

struct Stacks {
    coroutines: u64,
    pairs: u64,
}

/// That many coroutines in turn: each makes a block and pauses.
pub(super) fn in_turn(coroutines: u64, size: Size) -> Box<dyn Piece> {
    Box::new(Stacks {
        coroutines,
        pairs: size.of(100_000, 100) as u64,
    })
}

impl Piece for Stacks {
    fn run(&mut self) -> u64 {
        let turns = self.pairs / self.coroutines;
        below(DEPTH, &mut || {
            let mut all: Vec<_> = (0..self.coroutines).map(|_| pausing(turns)).collect();
            for _ in 0..turns + 1 {
                for coroutine in &mut all {
                    coroutine.resume(());
                }
            }
        });
        turns * self.coroutines
    }
}

fn pausing(turns: u64) -> Coroutine<(), (), ()> {
    Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
        below(DEPTH, &mut || {
            for turn in 0..turns {
                drop(black_box(Box::new([turn; 8])));
                yielder.suspend(());
            }
        });
    })
}
