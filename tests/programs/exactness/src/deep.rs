//! Recursion, plain and through closures.

use std::hint::black_box;

use crate::block;

/// `depth` frames; one in `every` allocates on the way down and on the way up.
#[inline(never)]
pub(crate) fn recursion(depth: usize, every: usize) {
    if depth.is_multiple_of(every) {
        block(32);
    }
    if black_box(depth) > 0 {
        recursion(depth - 1, every);
    }
    if depth.is_multiple_of(every) {
        block(48);
    }
    black_box(());
}

/// Runs `work` below `frames` more frames.
#[inline(never)]
pub(crate) fn below(frames: usize, work: &mut dyn FnMut()) {
    match frames {
        0 => work(),
        _ => below(frames - 1, work),
    }
    black_box(());
}
