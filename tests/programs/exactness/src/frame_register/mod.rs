//! Frames that are found by the frame register alone, at places that change while the stack pointer
//! and the words at the old places stay as they were.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::hint::black_box;

use crate::{block, deep};
#[cfg(target_arch = "aarch64")]
use aarch64::{first, second, third, with_register_saved, with_room};
#[cfg(target_arch = "x86_64")]
use x86_64::{first, second, third, with_register_saved, with_room};

type Work = extern "C" fn(usize);

/// How many places there are, and the bytes between them.
const PLACES: usize = 8;
const APART: usize = 96;

extern "C" fn innermost(argument: usize) {
    let rest = argument / PLACES;
    if rest.is_multiple_of(2) {
        with_register_saved(allocate, rest / 2);
    } else {
        allocate(rest / 2);
    }
    black_box(());
}

extern "C" fn allocate(depth: usize) {
    deep::below(depth % 16, &mut || block(88));
    black_box(());
}

/// The innermost frames are always at the same place; how far out the frame register points, and
/// through which of the functions the way leads, changes.
#[inline(never)]
pub(crate) fn moving(round: usize) {
    let mut state = round as u64 + 1;
    let mut below = |end: u64| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        ((state >> 33) % end) as usize
    };
    for _ in 0..400 {
        let place = below(PLACES as u64);
        let between = [first, second, third][below(3)];
        // Few ways further in, so that each is met again soon.
        let further = below(2) + 2 * [0, 0, 1, 3, 9, 13][below(6)];
        let room = (PLACES - 1 - place) * APART;
        with_room(room, between, place + PLACES * further);
    }
}
