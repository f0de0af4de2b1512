//! Blocks that are made by one stack after another.

use std::hint::black_box;

use super::Piece;
use super::loops::below;
use crate::Size;
use crate::numbers::Numbers;

/// Calls around the paths and in them, all together.
const DEPTH: usize = 32;

struct Paths {
    frames: usize,
    pairs: u64,
    numbers: Numbers,
    next: fn(&mut Numbers, u64) -> u64,
}

/// The `frames` innermost frames are in turn all left and all right.
pub(super) fn in_turn(frames: usize, size: Size) -> Box<dyn Piece> {
    prepare(frames, size, |_, number| match number % 2 {
        0 => 0,
        _ => u64::MAX,
    })
}

/// Each of the `frames` innermost frames is left or right.
pub(super) fn by_chance(frames: usize, size: Size) -> Box<dyn Piece> {
    prepare(frames, size, |numbers, _| numbers.next())
}

fn prepare(frames: usize, size: Size, next: fn(&mut Numbers, u64) -> u64) -> Box<dyn Piece> {
    Box::new(Paths {
        frames,
        pairs: size.of(100_000, 100) as u64,
        numbers: Numbers::new(4),
        next,
    })
}

impl Piece for Paths {
    fn run(&mut self) -> u64 {
        below(DEPTH - self.frames, &mut || {
            for number in 0..self.pairs {
                let turns = (self.next)(&mut self.numbers, number);
                step(self.frames, turns);
            }
        });
        self.pairs
    }
}

/// Takes one call more, left or right as the lowest bit of `turns` says, until none is left.
#[inline(always)]
fn step(frames: usize, turns: u64) {
    const WAYS: [fn(usize, u64); 2] = [left, right];
    // One place that calls both: what differs is where they call from.
    black_box(WAYS)[(turns & 1) as usize](frames - 1, turns >> 1);
}

#[inline(never)]
fn left(frames: usize, turns: u64) {
    match frames {
        0 => drop(black_box(Box::new([turns; 8]))),
        _ => step(frames, turns),
    }
    black_box(());
}

#[inline(never)]
fn right(frames: usize, turns: u64) {
    match frames {
        0 => drop(black_box(Box::new([turns; 7]))),
        _ => step(frames, turns),
    }
    black_box(());
}

/// Makes one block by each of the paths of `frames` frames: 2 to the power of `frames` stacks.
pub(crate) fn all(frames: usize) {
    for turns in 0..1_u64 << frames {
        below(DEPTH - frames, &mut || step(frames, turns));
    }
}
