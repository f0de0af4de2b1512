//! Code that no compiler has described: made while the program runs, written by hand, or with its
//! frame register used for something else.

use std::arch::naked_asm;
use std::ptr;

use crate::audit::{Block, audit, churn};
use crate::{cases, pool};

cases![
    code_made_at_run_time_may_allocate fails with LosesRecords,
    code_without_call_frame_information_may_allocate fails with LosesRecords,
];

extern "C" fn allocate(count: usize) -> usize {
    let mut traced = 0;
    for n in 0..count {
        let mut block = Block::new(77);
        assert!(block.try_resize(141 + 64 * (n % 3)));
        traced += usize::from(n > 0 || block.is_traced());
        block.free();
    }
    traced
}

/// A function that calls [`allocate`], in memory of its own.
fn make_code() -> extern "C" fn(usize) -> usize {
    let mut bytes = vec![0x48, 0x83, 0xec, 0x08, 0x48, 0xb8];
    let target = allocate as extern "C" fn(usize) -> usize as usize;
    bytes.extend(target.to_le_bytes());
    // Calls by a register, takes its eight bytes of stack away and returns.
    bytes.extend([0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0xc3]);
    let code = pool::map(4096);
    // SAFETY: the mapping is larger than that.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), code, bytes.len()) };
    // SAFETY: a mapping of our own.
    let set = unsafe { libc::mprotect(code.cast(), 4096, libc::PROT_READ | libc::PROT_EXEC) };
    assert_eq!(set, 0);
    // SAFETY: the bytes are a function of this type.
    unsafe { std::mem::transmute(code) }
}

fn code_made_at_run_time_may_allocate() {
    let mut held = Vec::with_capacity(300);
    let code = make_code();
    tracemalloc::start(25).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let thread = scope.spawn(move || assert_eq!(code(100), 100));
            thread.join().unwrap();
        }
    });
    // The place of code that is gone, with other code in it.
    // SAFETY: nobody runs there.
    unsafe { libc::munmap(code as usize as *mut libc::c_void, 4096) };
    assert_eq!(make_code()(100), 100);
    churn(1, 300, &mut held);
    audit(&held);
}

/// Calls [`allocate`] without saying how its own frame is left. With `FRAME` in the frame register.
macro_rules! undescribed {
    ($name:ident, $frame:literal) => {
        #[unsafe(naked)]
        extern "C" fn $name(count: usize) -> usize {
            naked_asm!(
                "push rbp",
                concat!("mov rbp, ", $frame),
                "sub rsp, 64",
                "mov qword ptr [rsp], -1",
                "mov qword ptr [rsp + 8], 16",
                "call {allocate}",
                "add rsp, 64",
                "pop rbp",
                "ret",
                allocate = sym allocate,
            )
        }
    };
}

undescribed!(with_no_frame, "0");
undescribed!(with_a_wrong_frame, "-1");
undescribed!(with_its_own_stack_as_frame, "rsp");
undescribed!(with_a_frame_below, "8");

fn code_without_call_frame_information_may_allocate() {
    let mut held = Vec::with_capacity(300);
    tracemalloc::start(25).unwrap();
    for function in [
        with_no_frame,
        with_a_wrong_frame,
        with_its_own_stack_as_frame,
        with_a_frame_below,
    ] {
        assert_eq!(function(50), 50);
        let thread = std::thread::spawn(move || function(50));
        assert_eq!(thread.join().unwrap(), 50);
    }
    churn(1, 300, &mut held);
    audit(&held);
}
