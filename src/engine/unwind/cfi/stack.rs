//! Where the running thread's stack ends, so that nothing beyond it is read.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::arch::thread_pointer;

/// Largest stack that a thread is believed to have, in bytes.
const LARGEST_THREAD_STACK: usize = 1 << 30;
/// Largest main stack where the system sets no limit.
const LARGEST_MAIN_STACK: usize = 64 << 20;

/// The end of a stack that is not known. Beyond all others.
pub(in crate::engine) const UNKNOWN: usize = usize::MAX;

/// The main thread's stack, found once.
pub(in crate::engine) struct MainStack {
    /// Lowest address that it may grow to.
    pub(in crate::engine) start: AtomicUsize,
    /// An address above all frames; 0 until it is known.
    pub(in crate::engine) end: AtomicUsize,
}

impl MainStack {
    pub(in crate::engine) const fn new() -> Self {
        Self {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    pub(in crate::engine) fn prepare(&self) {
        // SAFETY: reads what the kernel gave the process at its start. The bytes that this entry
        // points at lie above the first frame, on the main stack.
        let end = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the call fills the structure.
        let asked = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
        let size = match usize::try_from(limit.rlim_cur) {
            Ok(size) if asked == 0 && limit.rlim_cur != libc::RLIM_INFINITY => size,
            _ => LARGEST_MAIN_STACK,
        };
        self.start.store(
            end.saturating_sub(size.min(LARGEST_THREAD_STACK)),
            Ordering::Relaxed,
        );
        self.end.store(end, Ordering::Release);
    }

    /// An address that no frame of the stack that `stack_pointer` is on lies beyond. `None` if it
    /// is neither on the main stack nor below the running thread's own data.
    ///
    /// On the main stack and on a thread's own everything up to that address is mapped. A stack
    /// that the program mapped itself, for a coroutine or for signals, counts as the thread's if it
    /// lies less than [`LARGEST_THREAD_STACK`] below: its real end is not known, and what keeps a
    /// walk on it is that the call-frame information is right, as with any unwinder.
    #[inline]
    pub(in crate::engine) fn end_of(&self, stack_pointer: usize) -> Option<usize> {
        // The C library keeps a thread's own data at the upper end of its stack.
        let thread = thread_pointer();
        if stack_pointer < thread && thread - stack_pointer < LARGEST_THREAD_STACK {
            return Some(thread);
        }
        let end = self.end.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        (start..end).contains(&stack_pointer).then_some(end)
    }

    /// The same for the stack that the thread runs on or that a coroutine's leads to, which may be
    /// anywhere: if its end is not known, nothing ends the walk but what the call-frame information
    /// says.
    #[inline]
    pub(in crate::engine) fn end_of_running(&self, stack_pointer: usize) -> usize {
        self.end_of_any(stack_pointer).unwrap_or(UNKNOWN)
    }

    /// The same, on the stack too that the thread has set aside for signal handlers: asks the
    /// system.
    #[inline]
    pub(in crate::engine) fn end_of_any(&self, stack_pointer: usize) -> Option<usize> {
        self.end_of(stack_pointer)
            .or_else(|| end_of_signal_stack(stack_pointer))
    }
}

/// The end of the stack that the thread has set aside for signal handlers, if it is on it.
#[cold]
#[inline(never)]
fn end_of_signal_stack(stack_pointer: usize) -> Option<usize> {
    let mut stack = libc::stack_t {
        ss_sp: std::ptr::null_mut(),
        ss_flags: 0,
        ss_size: 0,
    };
    // SAFETY: the call changes nothing and fills the structure.
    let asked = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    let start = stack.ss_sp.addr();
    let end = start.checked_add(stack.ss_size)?;
    (asked == 0 && (start..end).contains(&stack_pointer)).then_some(end)
}
