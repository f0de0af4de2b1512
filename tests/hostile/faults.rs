//! Bugs that a tracer could have, injected around this one: what a case does not notice it does not
//! watch.
//!
//! `TRACEMALLOC_FAULT=NAME` in the environment of a case injects one.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use tracemalloc::TraceAlloc;

use crate::allocator::{Scripted, swallow_next_dealloc};
use crate::pool;

pub(crate) const VARIABLE: &str = "TRACEMALLOC_FAULT";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    Nothing,
    /// A block is forgotten only after it was given back.
    ForgetsLate,
    /// One block in fifty gets no record.
    LosesRecords,
    /// The return of one block in fifty is not seen.
    KeepsRecords,
    /// An allocation that fails is counted all the same.
    CountsFailures,
    /// A block is forgotten although its `realloc` fails.
    ForgetsOnFailure,
    /// `realloc` is done by hand.
    Copies,
    /// A lock is held across every call, and waited for without sleeping.
    Locks,
    /// The thread is not traced any more once a script has run in one of its calls.
    StaysInside,
    /// A call fails when the tracer gets no memory of its own.
    NeedsMemory,
    /// A block is read after it was given back.
    ReadsFreedBlocks,
    /// A call needs 48 KiB of stack while tracing is on.
    NeedsStack,
    /// A call asks the system for something unheard of.
    AsksTheSystem,
    /// `errno` changes.
    ChangesErrno,
}

impl Fault {
    pub(crate) const ALL: [Self; 13] = [
        Self::ForgetsLate,
        Self::LosesRecords,
        Self::KeepsRecords,
        Self::CountsFailures,
        Self::ForgetsOnFailure,
        Self::Copies,
        Self::Locks,
        Self::StaysInside,
        Self::NeedsMemory,
        Self::ReadsFreedBlocks,
        Self::NeedsStack,
        Self::AsksTheSystem,
        Self::ChangesErrno,
    ];

    fn now() -> Self {
        let now = FAULT.load(Ordering::Relaxed);
        let injected = Self::ALL.into_iter().find(|fault| *fault as u8 == now);
        injected.unwrap_or(Self::Nothing)
    }

    /// Plants the bug of this name.
    pub(crate) fn inject(name: &str) {
        let fault = Self::ALL
            .into_iter()
            .find(|fault| format!("{fault:?}") == name)
            .expect("a bug of this name");
        FAULT.store(fault as u8, Ordering::SeqCst);
    }
}

static FAULT: AtomicU8 = AtomicU8::new(Fault::Nothing as u8);
static TURN: AtomicUsize = AtomicUsize::new(0);
static LOCKED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The thread is inside the tracer and, if that bug is injected, will stay there.
pub(crate) fn stay_inside() {
    if Fault::now() == Fault::StaysInside {
        INSIDE.set(true);
    }
}

/// The tracer, with whatever was injected.
pub(crate) struct Faulty(pub(crate) TraceAlloc<Scripted>);

/// Waits for the lock as the worst implementation would.
struct Lock(bool);

impl Lock {
    fn of(fault: Fault) -> Self {
        let locks = fault == Fault::Locks;
        while locks && LOCKED.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        Self(locks)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.0 {
            LOCKED.store(false, Ordering::Release);
        }
    }
}

#[inline(never)]
fn need_stack() {
    let room = [1_u8; 48 << 10];
    black_box(&room);
}

/// What goes wrong with every call. False if the call is to fail.
fn misbehave(fault: Fault) -> bool {
    match fault {
        Fault::NeedsStack if tracemalloc::is_tracing() => need_stack(),
        Fault::AsksTheSystem => {
            // SAFETY: takes nothing.
            unsafe { libc::sched_yield() };
        }
        Fault::ChangesErrno => {
            // SAFETY: takes nothing and returns an address.
            let errno = unsafe { libc::__errno_location() };
            // SAFETY: the thread's own variable.
            unsafe { *errno = libc::ENOENT };
        }
        #[cfg(not(tracemalloc_failpoints))]
        Fault::NeedsMemory => return !pool::map(1 << 20).is_null(),
        #[cfg(tracemalloc_failpoints)]
        Fault::NeedsMemory => {
            let refused = tracemalloc::failpoints::refused() > 0;
            return !refused && !pool::map(1 << 20).is_null();
        }
        _ => {}
    }
    true
}

fn one_in_fifty() -> bool {
    TURN.fetch_add(1, Ordering::Relaxed) % 50 == 49
}

// SAFETY: as far as memory goes, every call is answered by the tracer's allocator or by its inner
// one. The bug that reads freed blocks ends the process.
unsafe impl GlobalAlloc for Faulty {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let fault = Fault::now();
        if fault == Fault::Nothing {
            // SAFETY: passed on from the caller.
            return unsafe { self.0.alloc(layout) };
        }
        let _lock = Lock::of(fault);
        if !misbehave(fault) {
            return ptr::null_mut();
        }
        if INSIDE.get() || fault == Fault::LosesRecords && one_in_fifty() {
            // SAFETY: passed on from the caller.
            return unsafe { Scripted.alloc(layout) };
        }
        // SAFETY: passed on from the caller.
        let block = unsafe { self.0.alloc(layout) };
        if block.is_null() && fault == Fault::CountsFailures {
            // SAFETY: the layout has a size. The block is left behind.
            unsafe { self.0.alloc(Layout::new::<[u8; 77]>()) };
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Fault::now() == Fault::LosesRecords && one_in_fifty() {
            // SAFETY: passed on from the caller.
            return unsafe { Scripted.alloc_zeroed(layout) };
        }
        // SAFETY: passed on from the caller.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let fault = Fault::now();
        let _lock = Lock::of(fault);
        let forgotten = match fault {
            Fault::ForgetsLate => true,
            Fault::KeepsRecords => one_in_fifty(),
            _ => false,
        };
        misbehave(fault);
        if !forgotten {
            // SAFETY: passed on from the caller.
            unsafe { self.0.dealloc(block, layout) };
        } else {
            // SAFETY: passed on from the caller.
            unsafe { Scripted.dealloc(block, layout) };
            if fault == Fault::ForgetsLate {
                swallow_next_dealloc();
                // SAFETY: nothing is given back a second time: that is swallowed.
                unsafe { self.0.dealloc(block, layout) };
            }
        }
        if fault == Fault::ReadsFreedBlocks {
            // SAFETY: none; the case that this is injected in makes it end the process.
            black_box(unsafe { block.read_volatile() });
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let fault = Fault::now();
        let _lock = Lock::of(fault);
        if !misbehave(fault) {
            return ptr::null_mut();
        }
        if fault == Fault::Copies
            && let Ok(new) = Layout::from_size_align(new_size, layout.align())
        {
            // SAFETY: passed on from the caller.
            let moved = unsafe { self.0.alloc(new) };
            if !moved.is_null() {
                let common = layout.size().min(new_size);
                // SAFETY: both blocks have that many bytes.
                unsafe { ptr::copy_nonoverlapping(block, moved, common) };
                // SAFETY: passed on from the caller.
                unsafe { self.0.dealloc(block, layout) };
            }
            return moved;
        }
        // SAFETY: passed on from the caller.
        let moved = unsafe { self.0.realloc(block, layout, new_size) };
        if moved.is_null() && fault == Fault::ForgetsOnFailure {
            swallow_next_dealloc();
            // SAFETY: nothing is given back: that is swallowed.
            unsafe { self.0.dealloc(block, layout) };
        }
        moved
    }
}
