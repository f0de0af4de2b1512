//! A block that is allocated and dropped immediately, below a number of calls.

use std::hint::black_box;

use super::Piece;
use crate::Size;

struct Loop {
    depth: usize,
    pairs: u64,
}

pub(super) fn prepare(depth: usize, size: Size) -> Box<dyn Piece> {
    let pairs = size.of(200_000, 100) as u64;
    Box::new(Loop { depth, pairs })
}

impl Piece for Loop {
    fn run(&mut self) -> u64 {
        let pairs = self.pairs;
        below(self.depth, &mut || {
            for number in 0..pairs {
                drop(black_box(Box::new([number; 8])));
            }
        });
        pairs
    }
}

/// Calls `work` below `depth` calls of this function.
#[inline(never)]
pub(super) fn below(depth: usize, work: &mut dyn FnMut()) {
    match depth {
        0 => work(),
        _ => below(depth - 1, work),
    }
    // So that no call is the last thing that this function does.
    black_box(());
}
