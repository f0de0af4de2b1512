//! Functions with call-frame information that only a general step can follow: by registers that a
//! walk does not know, by expressions, and with registers that are saved in odd ways.

use std::arch::naked_asm;

use super::*;

/// A function that calls another one.
type Calls = extern "C" fn(extern "C" fn());

/// Its CFA is relative to `rbx`, as in functions that align their stack by hand.
#[unsafe(naked)]
extern "C" fn by_rbx(_: extern "C" fn()) {
    naked_asm!(
        ".cfi_startproc",
        "push rbx",
        "mov rbx, rsp",
        "sub rsp, 100",
        "and rsp, -64",
        ".cfi_def_cfa rbx, 16",
        ".cfi_offset rbx, -16",
        "call rdi",
        "mov rsp, rbx",
        "pop rbx",
        "ret",
        ".cfi_endproc",
    )
}

/// Its CFA is a word on its stack and a number of its own.
#[unsafe(naked)]
extern "C" fn by_expression(_: extern "C" fn()) {
    naked_asm!(
        ".cfi_startproc",
        "lea rax, [rsp + 1]",
        "sub rsp, 40",
        "mov [rsp + 16], rax",
        // `DW_CFA_def_cfa_expression`: `breg7 16`, `deref`, `lit7`, `plus`.
        ".cfi_escape 0x0f, 5, 0x77, 16, 0x06, 0x37, 0x22",
        "call rdi",
        "add rsp, 40",
        "ret",
        ".cfi_endproc",
    )
}

/// Saves `rbx` at an address that an expression computes, and uses the register for something else.
#[unsafe(naked)]
extern "C" fn saves_by_expression(_: extern "C" fn()) {
    naked_asm!(
        ".cfi_startproc",
        "sub rsp, 56",
        ".cfi_def_cfa_offset 64",
        "mov [rsp + 8], rbx",
        // `DW_CFA_expression`: the CFA is there; `lit24`, `minus`, `lit16`, `lit2`, `mul`, `minus`.
        ".cfi_escape 0x10, 3, 6, 0x48, 0x1c, 0x40, 0x32, 0x1e, 0x1c",
        "mov rbx, 4711",
        "call rdi",
        "mov rbx, [rsp + 8]",
        "add rsp, 56",
        "ret",
        ".cfi_endproc",
    )
}

/// Keeps `rbx` as a number that is one too large, and `rbp` in `rbx`.
#[unsafe(naked)]
extern "C" fn saves_by_value(_: extern "C" fn()) {
    naked_asm!(
        ".cfi_startproc",
        "sub rsp, 40",
        ".cfi_def_cfa_offset 48",
        "lea rax, [rbx + 1]",
        "mov [rsp], rax",
        // `DW_CFA_val_expression`: `breg7 0`, `deref`, `lit1`, `minus`.
        ".cfi_escape 0x16, 3, 5, 0x77, 0, 0x06, 0x31, 0x1c",
        "mov rbx, rbp",
        // `DW_CFA_register`: `rbp` is in `rbx`.
        ".cfi_register rbp, rbx",
        "mov rbp, 12",
        "call rdi",
        "mov rbp, rbx",
        "mov rbx, [rsp]",
        "sub rbx, 1",
        "add rsp, 40",
        "ret",
        ".cfi_endproc",
    )
}

/// The stack that is captured is the one that the system unwinder reads, and the thread need not
/// remember it.
extern "C" fn check() {
    let caller = caller();
    let (mut ours, mut theirs) = ([0; 200], [0; 200]);
    let walked = UNWINDER.walk(&ARENA, caller, caller.mark(), &mut reader(), &mut ours);
    assert!(walked.is_err(), "it takes a general step");
    let own = OwnStack::default();
    let captured = UNWINDER.capture(&ARENA, caller, caller.mark(), own, &mut ours);
    let unwound = system::Unwinder::new().capture(&ARENA, caller, caller.mark(), own, &mut theirs);
    if check_same(&ours[..captured.frames], &theirs[..unwound.frames]) {
        assert_ne!(captured.end, StackEnd::Truncated);
    } else {
        assert_eq!(captured.end, StackEnd::Oldest);
    }
    assert!(captured.frames > 8);
    assert_eq!(recalled(caller, 200), None);
}

/// Calls `then` by way of `first`, `second` and `third`.
fn by(first: Calls, second: Calls, third: Calls) {
    thread_local! {
        static WAY: std::cell::Cell<[Option<Calls>; 2]> = const { std::cell::Cell::new([None; 2]) };
    }
    extern "C" fn on() {
        match WAY.get() {
            [Some(next), last] => {
                WAY.set([last, None]);
                next(on);
            }
            _ => check(),
        }
        black_box(());
    }
    WAY.set([Some(second), Some(third)]);
    first(on);
}

#[test]
fn general_steps_agree_with_the_system_unwinder() {
    prepare();
    let all = [by_rbx, by_expression, saves_by_expression, saves_by_value];
    for first in all {
        for second in all {
            // Only these two do not end up in a rule of one word.
            for third in [by_rbx as Calls, by_expression] {
                by(first, second, third);
            }
        }
    }
}
