//! Reads the call stack of the thread that allocates.
//!
//! One type, [`Unwinder`], with a back-end chosen here and nowhere else. A back-end reads nothing
//! but the running thread's own stack and tables that need no lock, and leaves out its own frames
//! and the tracer's: everything below the [`Mark`] on the stack.
//!
//! - `cfi`, on Linux: call-frame information, compiled once per return address, and what is known of
//!   the last stacks of each thread; what has no such form is left to `system`, the whole stack
//!   at a time
//! - `frame_pointers`, on macOS with aarch64: the chain of frame records
//! - `system`: the system unwinder
//! - `noop`: reads nothing

// The modules are declared here and not behind a macro, which would hide their files from rustfmt.
#[cfg(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
))]
#[expect(unsafe_code, reason = "reads registers, the stack and loaded modules")]
pub(in crate::engine) mod cfi;
#[cfg(fuzzing)]
pub(crate) use cfi::fuzzing;
#[cfg(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
))]
pub(crate) use cfi::{StackCache, Unwinder, entry, here};

#[cfg(not(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
)))]
#[expect(unsafe_code, reason = "promises that nothing is valid when zero")]
mod uncached;
#[cfg(not(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
)))]
pub(crate) use self::{
    backend::Unwinder,
    uncached::{StackCache, entry, here},
};

// Miri cannot unwind, and 32-bit Windows unwinds only through a library that needs a process-wide
// lock.
#[cfg(any(miri, all(windows, target_arch = "x86")))]
#[path = "noop.rs"]
mod backend;

#[cfg(all(target_os = "macos", target_arch = "aarch64", not(miri)))]
use frame_pointers as backend;

#[cfg(not(any(
    all(
        target_os = "linux",
        any(target_env = "gnu", target_env = "musl"),
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        target_endian = "little",
        not(miri)
    ),
    miri,
    all(windows, target_arch = "x86"),
    all(target_os = "macos", target_arch = "aarch64")
)))]
use system as backend;

#[cfg(not(any(miri, all(windows, target_arch = "x86"))))]
#[expect(unsafe_code, reason = "calls the platform's unwinder")]
mod system;
#[cfg(any(miri, all(windows, target_arch = "x86")))]
pub(crate) use backend::is_known_code;
/// What stacks are compared with, whatever back-end has captured them.
#[cfg(tracemalloc_check)]
pub(crate) use system::Unwinder as SystemUnwinder;
#[cfg(not(any(miri, all(windows, target_arch = "x86"))))]
pub(crate) use system::is_known_code;

// Its walk is a function of the words read, which is tested everywhere.
#[cfg(any(test, all(target_os = "macos", target_arch = "aarch64", not(miri))))]
#[cfg_attr(
    all(target_os = "macos", target_arch = "aarch64", not(miri)),
    expect(unsafe_code, reason = "reads the frame register and the stack")
)]
mod frame_pointers;

/// Frames of the deepest stack that can be asked for, and room for those that are left out later.
pub(crate) const DEEPEST: usize = u16::MAX as usize + 1 + 64;

/// The registers of a function that has made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The address that the call returns to.
    pub(crate) pc: usize,
    /// The stack pointer that it returns with.
    pub(crate) sp: usize,
    /// The frame register.
    pub(crate) fp: usize,
}

/// Return addresses of a stack, from the most recent to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// How many were written.
    pub(crate) frames: usize,
    /// True if there are older frames beyond the end of the buffer.
    pub(crate) truncated: bool,
}

/// A place on the stack: frames with their stack pointer below it are the tracer's own.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Mark {
    /// Above the function that has the variable `local` and was not inlined into its caller.
    pub(crate) fn above<T>(local: &T) -> Self {
        Self(std::ptr::from_ref(local).addr() + 1)
    }
}

impl Caller {
    /// Above the function that it has called.
    pub(crate) fn mark(self) -> Mark {
        Mark(self.sp)
    }
}
