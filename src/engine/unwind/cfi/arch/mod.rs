//! What differs between processors: registers, where a call leaves its return address, and what the
//! kernel leaves on the stack for a signal handler.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod registers;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
pub(crate) use registers::Registers;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

use gimli::Register;

/// What call-frame information says of this processor.
pub(crate) struct Processor {
    pub(crate) stack_pointer: Register,
    pub(crate) frame_pointer: Register,
    pub(crate) return_address: Register,
    /// Where every function finds its return address, in bytes from the CFA; `None` if each says so
    /// itself.
    pub(crate) return_slot: Option<isize>,
    pub(crate) vendor: gimli::Vendor,
    /// The instructions that a signal handler returns to: the system call that ends it.
    pub(crate) signal_return: &'static [u8],
    /// What the kernel saved before it called a signal handler, in bytes from the stack pointer
    /// with which the handler returns. Part of the kernel's interface.
    pub(crate) interrupted: Interrupted,
}

/// Places of the interrupted function's registers.
pub(crate) struct Interrupted {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
}
