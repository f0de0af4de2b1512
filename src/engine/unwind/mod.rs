//! Reads the call stack of the thread that allocates.
//!
//! One function, [`capture`], with a back-end chosen here and nowhere else. A back-end reads
//! nothing but the running thread's own stack and tables that need no lock, stops as soon as the
//! buffer is full, and leaves out its own frames and the tracer's: everything at or below the
//! address `mark` on the stack.

#[cfg(not(any(miri, all(windows, target_arch = "x86"))))]
#[path = "portable.rs"]
#[expect(unsafe_code, reason = "calls the platform's unwinder")]
mod backend;

// Miri cannot unwind, and 32-bit Windows unwinds only through a library that needs a process-wide
// lock.
#[cfg(any(miri, all(windows, target_arch = "x86")))]
#[path = "noop.rs"]
mod backend;

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

/// Fills `buffer` with the return addresses of this thread's stack beyond `mark`.
pub(crate) fn capture(mark: Mark, buffer: &mut [usize]) -> Captured {
    backend::capture(mark, buffer)
}

/// Makes the platform's unwinder do what it does only once, such as loading a library, before an
/// allocation needs it.
pub(crate) fn warm_up() {
    let mut buffer = [0; 4];
    capture(Mark(0), &mut buffer);
}
