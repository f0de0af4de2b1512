//! The frames on x86_64.

use std::arch::naked_asm;

use super::{APART, PLACES, Work, innermost};

/// Calls `work(argument)` with `bytes` more of stack in its own frame, a multiple of 16. What is
/// there is left as it was.
#[unsafe(naked)]
pub(super) extern "C" fn with_room(bytes: usize, work: Work, argument: usize) {
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
pub(super) extern "C" fn with_register_saved(work: Work, argument: usize) {
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

/// The frame between two with room: they differ in nothing but where they return to.
macro_rules! between {
    ($($name:ident)*) => {
        $(
            #[unsafe(naked)]
            pub(super) extern "C" fn $name(argument: usize) {
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
