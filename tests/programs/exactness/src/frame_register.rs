//! Frames that are found by the frame register alone, at places that change while the stack pointer
//! and the words at the old places stay as they were.

use std::arch::naked_asm;
use std::hint::black_box;

use crate::{block, deep};

type Work = extern "C" fn(usize);

/// Calls `work(argument)` with `bytes` more of stack in its own frame, a multiple of 16. What is
/// there is left as it was.
#[unsafe(naked)]
extern "C" fn with_room(bytes: usize, work: Work, argument: usize) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "sub rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Calls `work(argument)` with something else in the frame register.
#[unsafe(naked)]
extern "C" fn with_register_saved(work: Work, argument: usize) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov ebp, 1",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "pop rbp",
        ".cfi_def_cfa_offset 8",
        "ret",
        ".cfi_endproc",
    )
}

/// How many places there are, and the bytes between them.
const PLACES: usize = 8;
const APART: usize = 96;

/// The frame between two with room: they differ in nothing but where they return to.
macro_rules! between {
    ($($name:ident)*) => {
        $(
            #[unsafe(naked)]
            extern "C" fn $name(argument: usize) {
                naked_asm!(
                    ".cfi_startproc",
                    "sub rsp, 8",
                    ".cfi_def_cfa_offset 16",
                    "mov rdx, rdi",
                    "and rdi, {mask}",
                    "imul rdi, rdi, {apart}",
                    "lea rsi, [rip + {work}]",
                    "call {with_room}",
                    "add rsp, 8",
                    ".cfi_def_cfa_offset 8",
                    "ret",
                    ".cfi_endproc",
                    mask = const PLACES - 1,
                    apart = const APART,
                    work = sym innermost,
                    with_room = sym with_room,
                )
            }
        )*
    };
}

between! { first second third }

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
