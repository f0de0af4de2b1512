//! aarch64: a call leaves its return address in the link register, and every function saves it
//! where it likes; it may carry an authentication code in its upper bits.

use std::arch::{asm, naked_asm};
use std::ffi::c_void;

use gimli::{AArch64, Vendor};

use super::{Interrupted, Processor, Registers};
use crate::engine::unwind::Caller;

pub(crate) const PROCESSOR: Processor = Processor {
    stack_pointer: AArch64::SP,
    frame_pointer: AArch64::X29,
    return_address: AArch64::X30,
    return_slot: None,
    vendor: Vendor::AArch64,
    // `mov x8, 139` and `svc 0`.
    signal_return: &[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4],
    // `siginfo` of 128 bytes where `sp` points, then `ucontext`, in which the machine's registers
    // begin at 176 with the fault's address: 31 general ones, `sp`, `pc`.
    interrupted: Interrupted {
        pc: 128 + 176 + 8 + 32 * 8,
        sp: 128 + 176 + 8 + 31 * 8,
        fp: 128 + 176 + 8 + 29 * 8,
    },
};

/// User addresses have 48 bits; what lies above in a return address authenticates it.
const ADDRESS: usize = (1 << 48) - 1;

/// The address that a return address in memory stands for.
#[inline(always)]
pub(crate) fn plain(return_address: usize) -> usize {
    return_address & ADDRESS
}

/// The registers of the function that calls this one, right here.
#[inline(always)]
pub(crate) fn here() -> Caller {
    let (pc, sp, fp);
    // SAFETY: copies registers. The stack pointer belongs to this place in the code, since the
    // instructions follow each other and leave the stack alone.
    unsafe {
        asm!(
            "adr {pc}, .",
            "mov {sp}, sp",
            "mov {fp}, x29",
            pc = out(reg) pc,
            sp = out(reg) sp,
            fp = out(reg) fp,
            options(nomem, nostack, preserves_flags)
        );
    }
    Caller { pc, sp, fp }
}

/// Registers that call-frame information may speak of: `x0` to `x30` and the stack pointer.
pub(super) const GENERAL_REGISTERS: usize = 32;
/// Those that a function keeps for its caller: `x19` to `x29` and the stack pointer. A call
/// replaces the return address in `x30`.
pub(super) const KEPT: u64 = 0xBFF8_0000;

/// Where the kernel has saved a register of the interrupted function, as [`Interrupted`] counts.
pub(crate) fn saved_at(register: u16) -> Option<usize> {
    (register < 32).then_some(128 + 176 + 8 + 8 * usize::from(register))
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
            "adr {pc}, .",
            "str x19, [{values}, #8 * 19]",
            "stp x20, x21, [{values}, #8 * 20]",
            "stp x22, x23, [{values}, #8 * 22]",
            "stp x24, x25, [{values}, #8 * 24]",
            "stp x26, x27, [{values}, #8 * 26]",
            "stp x28, x29, [{values}, #8 * 28]",
            "mov {sp}, sp",
            "str {sp}, [{values}, #8 * 31]",
            values = in(reg) values.as_mut_ptr(),
            pc = out(reg) pc,
            sp = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
    Registers::kept(values, pc)
}

/// The address of the running thread's own data, which the C library keeps above its stack.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the register that Linux gives to the thread pointer.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags, pure))
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
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        ".cfi_def_cfa x29, 16",
        "mov sp, x2",
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
        unsafe extern "C" fn $enter<A: GlobalAlloc>(
            wrapper: &TraceAlloc<A>,
            session: Session,
            first: usize,
            second: usize,
        ) -> *mut u8 {
            /// # Safety
            /// As above, with the registers of the caller.
            unsafe extern "C" fn landing<A: GlobalAlloc>(
                wrapper: &TraceAlloc<A>,
                session: Session,
                first: usize,
                second: usize,
                sp: usize,
                fp: usize,
                pc: usize,
            ) -> *mut u8 {
                // SAFETY: passed on from the caller.
                unsafe { ($record)(wrapper, session, first, second, $crate::engine::unwind::Caller { pc, sp, fp }) }
            }
            std::arch::naked_asm!(
                ".cfi_startproc",
                "mov x4, sp",
                "mov x5, x29",
                "mov x6, x30",
                "b {landing}",
                ".cfi_endproc",
                landing = sym landing::<A>,
            )
        }
    };
}
pub(crate) use entry;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_codes_are_taken_off() {
        for address in [0x1000, 0x55_5555_1234, (1 << 48) - 4] {
            for code in [0, 1, 0x7f, 0x8000, 0xffff] {
                assert_eq!(plain(address | code << 48), address);
            }
        }
    }
}
