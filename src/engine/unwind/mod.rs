//! Reads the call stack of the thread that allocates.
//!
//! One type, [`Unwinder`], with a back-end chosen here and nowhere else. A back-end reads nothing
//! but the running thread's own stack and tables that need no lock, stops as soon as the buffer is
//! full, and leaves out its own frames and the tracer's: everything at or below the address `mark`
//! on the stack.
//!
//! - `cfi`, on Linux x86_64 with glibc: call-frame information, compiled once per return address; what that
//!   form cannot express is left to `portable`, the whole stack at a time
//! - `portable`: the platform's own unwinder
//! - `noop`: reads nothing

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(miri)
))]
#[expect(unsafe_code, reason = "reads registers, the stack and loaded modules")]
#[path = "cfi/mod.rs"]
mod backend;

#[cfg(not(any(miri, all(windows, target_arch = "x86"))))]
#[expect(unsafe_code, reason = "calls the platform's unwinder")]
mod portable;

#[cfg(not(any(
    all(
        target_os = "linux",
        target_env = "gnu",
        target_arch = "x86_64",
        target_pointer_width = "64"
    ),
    miri,
    all(windows, target_arch = "x86")
)))]
use portable as backend;

// Miri cannot unwind, and 32-bit Windows unwinds only through a library that needs a process-wide
// lock.
#[cfg(any(miri, all(windows, target_arch = "x86")))]
#[path = "noop.rs"]
mod backend;

pub(crate) use backend::Unwinder;

/// Return addresses of a stack, from the most recent to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// How many were written.
    pub(crate) frames: usize,
    /// True if there are older frames beyond the end of the buffer.
    pub(crate) truncated: bool,
}

/// A place on the stack of the function that the program called: frames up to and including it are
/// the tracer's own.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Mark {
    /// `local` is a variable of the tracer's outermost function, which must not be inlined into its
    /// caller.
    pub(crate) fn at<T>(local: &T) -> Self {
        Self(std::ptr::from_ref(local).addr())
    }
}
