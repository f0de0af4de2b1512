//! Reads the call stack of the thread that allocates.
//!
//! One type, [`Unwinder`], with a back-end chosen here and nowhere else. A back-end reads nothing
//! but the running thread's own stack and tables that need no lock, and leaves out its own frames
//! and the tracer's: everything below the [`Mark`] on the stack.
//!
//! - `cfi`, on Linux: call-frame information, compiled once per return address
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
pub(crate) use cfi::{OwnStack, Unwinder, entry, here};

#[cfg(not(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
)))]
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
    uncached::{OwnStack, entry, here},
};

// Miri cannot unwind, and 32-bit Windows unwinds only through a library that needs a process-wide
// lock.
#[cfg(any(miri, all(windows, target_arch = "x86")))]
#[path = "noop.rs"]
mod backend;

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
    all(windows, target_arch = "x86")
)))]
use system as backend;

// Where the tracer walks by itself, only comparisons call the system unwinder.
#[cfg(any(
    test,
    tracemalloc_check,
    not(all(
        target_os = "linux",
        any(target_env = "gnu", target_env = "musl"),
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        target_endian = "little"
    ))
))]
#[cfg(not(any(miri, all(windows, target_arch = "x86"))))]
#[expect(unsafe_code, reason = "calls the platform's unwinder")]
mod system;
/// What stacks are compared with, whatever back-end has captured them: the system unwinder.
#[cfg(tracemalloc_check)]
pub(crate) use system::Unwinder as SystemUnwinder;

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
    /// What is beyond the oldest of them.
    pub(crate) end: StackEnd,
}

/// Why a stack has no older frames than those that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackEnd {
    /// There are none.
    Oldest,
    /// The buffer is full.
    Truncated,
    /// The oldest is in code of which nothing is known, or its caller cannot be read.
    UnknownCode,
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
