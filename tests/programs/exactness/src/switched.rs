//! Stacks that lead from one to another.

use std::hint::black_box;

use crate::{block, deep};

/// Goes on on a new stack, several times, allocating on each and back on the one before.
#[inline(never)]
pub(crate) fn grown(round: usize) {
    on_new_stacks(1 + round % 4);
}

#[inline(never)]
fn on_new_stacks(left: usize) {
    block(56);
    if left > 0 {
        stacker::grow(256 << 10, || {
            deep::below(left, &mut || block(24));
            deep::recursion(40, 4);
            on_new_stacks(left - 1);
        });
    }
    block(72);
    black_box(());
}
