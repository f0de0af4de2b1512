//! x86_64: a call pushes its return address, so it lies right below the CFA.

use std::arch::{asm, naked_asm};
use std::ffi::c_void;

use gimli::{Vendor, X86_64};

use super::{Interrupted, Processor, Registers};
use crate::engine::unwind::Caller;

pub(crate) const PROCESSOR: Processor = Processor {
    stack_pointer: X86_64::RSP,
    frame_pointer: X86_64::RBP,
    return_address: X86_64::RA,
    return_slot: Some(-8),
    vendor: Vendor::Default,
    // `mov rax, 15` and `syscall`.
    signal_return: &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05],
    // `ucontext`, where `rsp` points: `uc_mcontext` is at 40, and `rbp`, `rsp` and `rip` are its
    // 11th, 16th and 17th registers.
    interrupted: Interrupted {
        pc: 168,
        sp: 160,
        fp: 120,
    },
};

/// The address that a return address in memory stands for.
#[inline(always)]
pub(crate) fn plain(return_address: usize) -> usize {
    return_address
}

/// The registers of the function that calls this one, right here.
#[inline(always)]
pub(crate) fn here() -> Caller {
    let (pc, sp, fp);
    // SAFETY: copies registers. The stack pointer belongs to this place in the code, since the
    // instructions follow each other and leave the stack alone.
    unsafe {
        asm!(
            "lea {pc}, [rip]",
            "mov {sp}, rsp",
            "mov {fp}, rbp",
            pc = out(reg) pc,
            sp = out(reg) sp,
            fp = out(reg) fp,
            options(nomem, nostack, preserves_flags)
        );
    }
    Caller { pc, sp, fp }
}

/// Registers that call-frame information may speak of, the return address among them.
pub(super) const GENERAL_REGISTERS: usize = 17;
/// Those that a function keeps for its caller: `rbx`, `rbp`, `rsp`, `r12` to `r15`.
pub(super) const KEPT: u64 = 0xF0C8;

/// Where the kernel has saved a register of the interrupted function, as [`Interrupted`] counts.
pub(crate) fn saved_at(register: u16) -> Option<usize> {
    // `r8` to `r15`, `rdi`, `rsi`, `rbp`, `rbx`, `rdx`, `rax`, `rcx`, `rsp`.
    const ORDER: [u16; 16] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7];
    let at = ORDER.iter().position(|saved| *saved == register)?;
    Some(40 + 8 * at)
}

/// The registers of the function that calls this one, right here: those that it must keep.
#[inline(always)]
pub(crate) fn kept_registers() -> Registers {
    let mut values = [0_usize; GENERAL_REGISTERS];
    let pc;
    // SAFETY: writes registers to their places in the array. The stack pointer belongs to this
    // place in the code, since the instructions follow each other and leave the stack alone.
    unsafe {
        asm!(
            "lea {pc}, [rip]",
            "mov [{values} + 8 * 3], rbx",
            "mov [{values} + 8 * 6], rbp",
            "mov [{values} + 8 * 7], rsp",
            "mov [{values} + 8 * 12], r12",
            "mov [{values} + 8 * 13], r13",
            "mov [{values} + 8 * 14], r14",
            "mov [{values} + 8 * 15], r15",
            values = in(reg) values.as_mut_ptr(),
            pc = out(reg) pc,
            options(nostack, preserves_flags)
        );
    }
    Registers::kept(values, pc)
}

/// The address of the running thread's own data, which the C library keeps above its stack.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: on x86_64 Linux the first word at `fs` is the thread pointer itself.
    unsafe {
        asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly, pure))
    };
    pointer
}

/// Calls `function(data)` with the stack pointer at `top`.
///
/// The frame register leads back, and the call-frame information says so: debuggers and profilers
/// that interrupt the work see the whole stack.
///
/// # Safety
/// `top` is the upper end of enough unused memory, aligned to 16 bytes; `function` may be called
/// with `data` and does not unwind.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_on(
    data: *mut c_void,
    function: unsafe extern "C" fn(*mut c_void),
    top: *mut u8,
) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Defines `$enter`, which calls `$record` with its own arguments and the registers of the function
/// that called it.
///
/// Registers are read before the first instruction that a compiler could put in front, so the
/// caller's are known without call-frame information of the tracer's own functions. It leaves by a
/// jump: there is one frame of the tracer's, and none once that is gone.
macro_rules! entry {
    ($(#[$doc:meta])* $enter:ident => $record:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// That of the function that records.
        #[unsafe(naked)]
        unsafe extern "sysv64" fn $enter<A: GlobalAlloc>(
            wrapper: &TraceAlloc<A>,
            session: Session,
            first: usize,
            second: usize,
        ) -> *mut u8 {
            /// # Safety
            /// As above, with the registers of the caller.
            unsafe extern "sysv64" fn landing<A: GlobalAlloc>(
                wrapper: &TraceAlloc<A>,
                session: Session,
                first: usize,
                second: usize,
                sp: usize,
                fp: usize,
            ) -> *mut u8 {
                // SAFETY: the call has put its return address there.
                let pc = unsafe { *std::ptr::with_exposed_provenance::<usize>(sp - 8) };
                // SAFETY: passed on from the caller.
                unsafe { ($record)(wrapper, session, first, second, $crate::engine::unwind::Caller { pc, sp, fp }) }
            }
            std::arch::naked_asm!(
                ".cfi_startproc",
                "lea r8, [rsp + 8]",
                "mov r9, rbp",
                "jmp {landing}",
                ".cfi_endproc",
                landing = sym landing::<A>,
            )
        }
    };
}
pub(crate) use entry;
