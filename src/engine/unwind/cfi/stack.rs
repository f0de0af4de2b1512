//! Which memory is stack for certain: the main thread's and the running thread's.
//!
//! A thread may run on memory that the program has made a stack of, next to anything, so an address
//! near a known stack proves nothing. A stack counts as known from an address up to its end once
//! every page between them was found readable: the pages around such a stack are not, so memory
//! that is something else has a gap on the way. A thread's own stack stays as long as the thread,
//! the main stack as long as the process, and neither shrinks. So each page is asked for once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::arch::thread_pointer;
use super::probe::{PAGE, is_readable, page_of};

/// Largest stack that is believed to be one, in bytes.
const LARGEST_STACK: usize = 1 << 30;

/// The main thread's stack.
pub(in crate::engine) struct MainStack {
    /// All pages from here to the end are readable; 0 before one was found to be.
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

    /// Finds the end of the main stack.
    pub(in crate::engine) fn prepare(&self) {
        // SAFETY: reads what the kernel gave the process at its start. The bytes that this entry
        // points at lie above the first frame, on the main stack.
        let end = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
        // Relaxed, here and below: all are plain numbers, and a page that was found readable stays
        // so.
        let _ = self
            .start
            .compare_exchange(0, end, Ordering::Relaxed, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
    }

    /// The end of the main stack, if the part of it that is known to be readable holds `address`.
    #[inline]
    pub(in crate::engine) fn end_of(&self, address: usize) -> Option<usize> {
        let end = self.end.load(Ordering::Relaxed);
        let start = self.start.load(Ordering::Relaxed);
        (start <= address && address < end).then_some(end)
    }

    /// The end of the main stack, if `stack_pointer` is found to be on it; else the next address
    /// that may be.
    fn reach(&self, stack_pointer: usize) -> Result<usize, usize> {
        let end = self.end.load(Ordering::Relaxed);
        prove(stack_pointer, self.start.load(Ordering::Relaxed), end)?;
        self.start
            .fetch_min(page_of(stack_pointer), Ordering::Relaxed);
        Ok(end)
    }
}

/// What a thread knows of its own stack. All zeros: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnStack {
    /// All pages from here to the end are readable.
    start: usize,
    /// The thread pointer, below which the C library puts a thread's stack; [`NO_STACK`] for the
    /// main thread, whose stack is elsewhere; 0 before it was asked for.
    end: usize,
    /// Addresses that were found to be on neither this stack nor the main one.
    foreign: (usize, usize),
}

/// The end of a stack that nothing is on.
const NO_STACK: usize = 1;

impl OwnStack {
    /// The end of the thread's own stack, if the part of it that is known to be readable holds
    /// `address`.
    #[inline]
    pub(in crate::engine) fn end_of(&self, address: usize) -> Option<usize> {
        (self.start <= address && address < self.end).then_some(self.end)
    }

    /// The end of the known stack that the thread runs on, with its stack pointer at
    /// `stack_pointer`. `None` if it runs on another one.
    #[inline]
    pub(in crate::engine) fn end_of_running(
        &mut self,
        main: &MainStack,
        stack_pointer: usize,
    ) -> Option<usize> {
        let known = self
            .end_of(stack_pointer)
            .or_else(|| main.end_of(stack_pointer));
        known.or_else(|| self.reach(main, stack_pointer))
    }

    #[cold]
    #[inline(never)]
    fn reach(&mut self, main: &MainStack, stack_pointer: usize) -> Option<usize> {
        let (from, to) = self.foreign;
        if (from..to).contains(&stack_pointer) {
            return None;
        }
        if self.end == 0 {
            self.end = if is_main_thread() {
                NO_STACK
            } else {
                thread_pointer()
            };
            self.start = self.end;
        }
        let own_gap = match prove(stack_pointer, self.start, self.end) {
            Ok(()) => {
                self.start = page_of(stack_pointer);
                return Some(self.end);
            }
            Err(gap) => gap,
        };
        match main.reach(stack_pointer) {
            Ok(end) => Some(end),
            Err(gap) => {
                self.foreign = (stack_pointer, gap.min(own_gap));
                None
            }
        }
    }
}

/// Finds every page from `stack_pointer` to `start` readable, from where on a stack is known that
/// ends at `end`. Otherwise the next address that may be on that stack.
fn prove(stack_pointer: usize, start: usize, end: usize) -> Result<(), usize> {
    if stack_pointer >= end {
        return Err(usize::MAX);
    }
    if end - stack_pointer > LARGEST_STACK {
        return Err(end - LARGEST_STACK);
    }
    let mut pages = (page_of(stack_pointer)..start).step_by(PAGE);
    match pages.find(|page| !is_readable(*page)) {
        Some(gap) => Err(gap),
        None => Ok(()),
    }
}

fn is_main_thread() -> bool {
    // SAFETY: takes nothing and returns a number.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    // SAFETY: no conditions.
    thread == libc::c_long::from(unsafe { libc::getpid() })
}
