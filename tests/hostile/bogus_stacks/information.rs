//! Call-frame information that is wrong or missing.

use std::arch::naked_asm;
use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::thread;

use super::{
    BACK, NEXT, PAGE, ROOM, addresses, end, enter, fenced, leave, map, unmap, work, work_and_leave,
};
use crate::cases;

cases![
    frame_registers_that_hold_data fails with LosesRecords,
    words_that_call_frame_information_does_not_know_of fails with LosesRecords,
    expressions_that_lead_nowhere fails with LosesRecords,
    code_at_the_end_of_its_page,
];

/// Says that its CFA is found by the frame register, which holds `data`.
#[unsafe(naked)]
extern "C" fn with_data_as_frame(function: extern "C" fn(), data: usize) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsi",
        ".cfi_def_cfa_register rbp",
        "call rdi",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Does not say that it has pushed `data`.
#[unsafe(naked)]
extern "C" fn with_data_pushed(function: extern "C" fn(), data: usize) {
    naked_asm!(
        ".cfi_startproc",
        "push rsi",
        "push rsi",
        "push rsi",
        "call rdi",
        "add rsp, 24",
        "ret",
        ".cfi_endproc",
    )
}

/// Its CFA is the word at `data`, plus nothing, which takes a general step.
#[unsafe(naked)]
extern "C" fn with_an_expression(function: extern "C" fn(), data: usize) {
    naked_asm!(
        ".cfi_startproc",
        "push rbx",
        "mov rbx, rsi",
        // `DW_CFA_def_cfa_expression`: `breg3 0`, `deref`, `lit0`, `plus`.
        ".cfi_escape 0x0f, 5, 0x73, 0, 0x06, 0x30, 0x22",
        "call rdi",
        "pop rbx",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

extern "C" fn work_on() {
    work(0);
    work(5);
}

type WithData = extern "C" fn(extern "C" fn(), usize);

/// Calls `function` with data of every kind, on the main stack, on a thread's, and on a mapped one.
fn with_data(function: WithData) {
    thread_local! {
        static CALL: Cell<Option<(WithData, usize)>> = const { Cell::new(None) };
    }
    extern "C" fn call() -> ! {
        let (function, data) = CALL.get().expect("set below");
        function(work_on, data);
        function(work_on, data);
        // SAFETY: `enter` has put it there and waits.
        unsafe { leave(BACK.get()) }
    }
    let check = move || {
        let here = [0_usize; 8];
        let here = black_box(&here).as_ptr().addr();
        let stack = fenced();
        let words = map(PAGE, libc::PROT_READ | libc::PROT_WRITE);
        let mut all = addresses(here);
        all.extend([
            here + 8,
            here + 3,
            stack,
            stack + ROOM - 16,
            stack + ROOM - 8,
            words + PAGE - 8,
        ]);
        for data in all {
            function(work_on, data);
            function(work_on, data);
            // A word that leads on to each.
            ptr::with_exposed_provenance_mut::<usize>(words).write_to(data);
            function(work_on, words);
            CALL.set(Some((function, data)));
            // SAFETY: the stack is this function's, and `call` leaves.
            unsafe { enter(BACK.with(Cell::as_ptr), stack + ROOM, call, 0, 0) };
        }
    };
    tracemalloc::start(25).unwrap();
    check();
    thread::spawn(check).join().unwrap();
    end();
}

/// Writes a word of memory that is the case's own.
trait WriteTo {
    fn write_to(self, value: usize);
}

impl WriteTo for *mut usize {
    fn write_to(self, value: usize) {
        // SAFETY: the callers pass a mapping of their own.
        unsafe { self.write(value) };
    }
}

fn frame_registers_that_hold_data() {
    with_data(with_data_as_frame);
}

fn words_that_call_frame_information_does_not_know_of() {
    with_data(with_data_pushed);
}

fn expressions_that_lead_nowhere() {
    with_data(with_an_expression);
}

/// Code made at run time that ends in a call, with nothing behind its page. The page is readable and
/// executable, then executable alone.
fn code_at_the_end_of_its_page() {
    // `push rbx`, `call rdi`, and nothing: what it calls never returns.
    const CODE: [u8; 3] = [0x53, 0xff, 0xd7];
    tracemalloc::start(25).unwrap();
    let stack = fenced();
    for protection in [libc::PROT_READ | libc::PROT_EXEC, libc::PROT_EXEC] {
        let page = map(2 * PAGE, libc::PROT_READ | libc::PROT_WRITE);
        let code = page + PAGE - CODE.len();
        // SAFETY: the end of a page of our own.
        unsafe {
            ptr::copy_nonoverlapping(
                CODE.as_ptr(),
                ptr::with_exposed_provenance_mut(code),
                CODE.len(),
            );
        }
        unmap(page + PAGE, PAGE);
        let page = ptr::with_exposed_provenance_mut::<libc::c_void>(page);
        // SAFETY: a mapping of our own.
        assert_eq!(unsafe { libc::mprotect(page, PAGE, protection) }, 0);
        for _ in 0..3 {
            extern "C" fn call() -> ! {
                let code = ptr::with_exposed_provenance::<()>(NEXT.get().0);
                // SAFETY: the bytes are a function that calls the one it is given.
                let code: extern "C" fn(extern "C" fn() -> !) -> ! =
                    unsafe { std::mem::transmute(code) };
                code(work_and_leave)
            }
            NEXT.set((code, 0));
            // SAFETY: the stack is this function's, and what is called leaves.
            unsafe { enter(BACK.with(Cell::as_ptr), stack + ROOM, call, 0, 0) };
        }
    }
    end();
}
