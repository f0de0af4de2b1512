//! The frames on aarch64. One of those between two with room has its return address authenticated,
//! where the processor can.

use std::arch::naked_asm;

use super::{APART, PLACES, Work, innermost};

/// Calls `work(argument)` with `bytes` more of stack in its own frame, a multiple of 16. What is
/// there is left as it was.
#[unsafe(naked)]
pub(super) extern "C" fn with_room(bytes: usize, work: Work, argument: usize) {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        ".cfi_def_cfa x29, 16",
        "sub sp, sp, x0",
        "mov x0, x2",
        "blr x1",
        "mov sp, x29",
        ".cfi_def_cfa sp, 16",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}

/// Calls `work(argument)` with something else in the frame register.
#[unsafe(naked)]
pub(super) extern "C" fn with_register_saved(work: Work, argument: usize) {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, #1",
        "mov x9, x0",
        "mov x0, x1",
        "blr x9",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}

/// The frame between two with room: they differ in nothing but where they return to, and in what
/// they do to their return address before it is saved and after it was.
macro_rules! between {
    ($($name:ident: $sign:literal $authenticate:literal $signed:literal)*) => {
        $(
            #[unsafe(naked)]
            pub(super) extern "C" fn $name(argument: usize) {
                naked_asm!(
                    ".cfi_startproc",
                    $sign,
                    $signed,
                    "str x30, [sp, #-16]!",
                    ".cfi_def_cfa_offset 16",
                    ".cfi_offset x30, -16",
                    "mov x2, x0",
                    "and x0, x0, {mask}",
                    "mov x9, {apart}",
                    "mul x0, x0, x9",
                    "adrp x1, {work}",
                    "add x1, x1, :lo12:{work}",
                    "bl {with_room}",
                    "ldr x30, [sp], #16",
                    ".cfi_def_cfa_offset 0",
                    ".cfi_restore x30",
                    $authenticate,
                    $signed,
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

// `paciasp` and `autiasp`, which older processors take for `nop`.
between! {
    first: "nop" "nop" ""
    second: "nop" "nop" ""
    third: "hint #25" "hint #29" ".cfi_negate_ra_state"
}
