//! The inner allocator: does what a case has scripted, before and after every call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use crate::pool;

/// One of the four calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Alloc,
    Zeroed,
    Realloc,
    Dealloc,
}

/// Where in a call the script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// Does the work in `pool`, or by the system's allocator.
pub(crate) struct Scripted;

/// Run around every call while set, but for the calls that it makes itself.
static SCRIPT: AtomicUsize = AtomicUsize::new(0);
/// The call, counted down, that is answered with null; below 0: none.
static FAIL_IN: AtomicI64 = AtomicI64::new(-1);
static SYSTEM: AtomicBool = AtomicBool::new(false);
static ALWAYS_MOVE: AtomicBool = AtomicBool::new(false);
static PROTECT: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IN_SCRIPT: Cell<bool> = const { Cell::new(false) };
    /// The thread is inside the pool or another allocator.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
    /// This thread's next `dealloc` is swallowed: the block was given back already.
    static SWALLOW: Cell<bool> = const { Cell::new(false) };
}

type Script = fn(Call, Moment);

/// Runs `script` around every call from now on.
pub(crate) fn set_script(script: Script) {
    SCRIPT.store(script as usize, Ordering::SeqCst);
}

pub(crate) fn clear_script() {
    SCRIPT.store(0, Ordering::SeqCst);
}

/// Answers the `n`th call from now on that asks for memory with null, counted from 0.
pub(crate) fn fail_in(n: i64) {
    FAIL_IN.store(n, Ordering::SeqCst);
}

/// True if the call has been reached.
pub(crate) fn has_failed() -> bool {
    FAIL_IN.load(Ordering::SeqCst) < 0
}

pub(crate) fn always_move() {
    ALWAYS_MOVE.store(true, Ordering::SeqCst);
}

/// Gives every block from now on pages of its own, which nobody may touch once it was given back.
/// The system gives a process some 65,000 mappings, so this is for as long as it takes.
pub(crate) fn protect_freed_blocks() {
    PROTECT.store(true, Ordering::SeqCst);
}

/// Takes new blocks from where they came from before. Those with pages of their own keep them.
pub(crate) fn protect_no_more_blocks() {
    PROTECT.store(false, Ordering::SeqCst);
}

/// Leaves new blocks to the system's allocator.
pub(crate) fn use_system() {
    SYSTEM.store(true, Ordering::SeqCst);
}

pub(crate) fn swallow_next_dealloc() {
    SWALLOW.set(true);
}

fn scripted(call: Call, moment: Moment) {
    let script = SCRIPT.load(Ordering::Relaxed);
    if script == 0 || IN_SCRIPT.replace(true) {
        return;
    }
    // SAFETY: only `set_script` stores there, a function of this type.
    let script: Script = unsafe { std::mem::transmute(script) };
    script(call, moment);
    IN_SCRIPT.set(false);
}

fn fails() -> bool {
    FAIL_IN.load(Ordering::Relaxed) >= 0 && FAIL_IN.fetch_sub(1, Ordering::Relaxed) == 0
}

/// Blocks of the system's allocator have this far in front of them who made them.
const TAG: usize = 64;
const FROM_SYSTEM: u64 = 0x5ca1_ab1e_5e4f_00d5;
const FROM_POOL: u64 = 0x0ddb_a11d_eadb_eef1;
const FROM_PAGES: u64 = 0x0b5e_55ed_c0ff_ee00;

/// With room for the tag.
fn outer(layout: Layout) -> Option<(Layout, usize)> {
    let front = TAG.max(layout.align());
    let size = layout.size().checked_add(front)?;
    Some((
        Layout::from_size_align(size, layout.align().max(16)).ok()?,
        front,
    ))
}

/// The innermost allocator is at work on this thread. Whoever comes between any two steps of it that
/// belong together, and does the same, keeps it from coming to an end.
pub(crate) fn is_at_work() -> bool {
    AT_WORK.get()
}

/// Where a block says who made it; aligned, as blocks are.
fn tag_of(block: *mut u8) -> *mut u64 {
    block.wrapping_sub(16).cast()
}

fn place(layout: Layout, zeroed: bool) -> *mut u8 {
    let before = AT_WORK.replace(true);
    let block = placed(layout, zeroed);
    AT_WORK.set(before);
    block
}

fn placed(layout: Layout, zeroed: bool) -> *mut u8 {
    let Some((outer, front)) = outer(layout) else {
        return ptr::null_mut();
    };
    let (start, tag) = if PROTECT.load(Ordering::Relaxed) {
        (pool::map(outer.size().next_multiple_of(4096)), FROM_PAGES)
    } else if SYSTEM.load(Ordering::Relaxed) {
        let start = if zeroed {
            // SAFETY: the layout has a size.
            unsafe { System.alloc_zeroed(outer) }
        } else {
            // SAFETY: as above.
            unsafe { System.alloc(outer) }
        };
        (start, FROM_SYSTEM)
    } else {
        let start = pool::alloc(outer);
        if zeroed && !start.is_null() {
            // SAFETY: the block has that size.
            unsafe { ptr::write_bytes(start, 0, outer.size()) };
        }
        (start, FROM_POOL)
    };
    if start.is_null() {
        return start;
    }
    // SAFETY: the front is at least that large.
    let block = unsafe { start.add(front) };
    // SAFETY: as above; blocks are aligned to 16 bytes.
    unsafe { tag_of(block).write(tag) };
    block
}

/// # Safety
/// `block` was given by [`place`] for this layout.
unsafe fn give_back(block: *mut u8, layout: Layout) {
    let before = AT_WORK.replace(true);
    // SAFETY: passed on from the caller.
    unsafe { given_back(block, layout) };
    AT_WORK.set(before);
}

/// # Safety
/// As above.
unsafe fn given_back(block: *mut u8, layout: Layout) {
    let Some((outer, front)) = outer(layout) else {
        return;
    };
    // SAFETY: `place` has written there.
    let tag = unsafe { tag_of(block).read() };
    // SAFETY: `place` has left that much in front.
    let start = unsafe { block.sub(front) };
    match tag {
        // SAFETY: the tag says who made the block, with this layout.
        FROM_SYSTEM => unsafe { System.dealloc(start, outer) },
        // SAFETY: as above.
        FROM_POOL => unsafe { pool::dealloc(start, outer) },
        FROM_PAGES => {
            let len = outer.size().next_multiple_of(4096);
            // SAFETY: pages of this block alone.
            let refused = unsafe { libc::mprotect(start.cast(), len, libc::PROT_NONE) };
            if refused != 0 {
                give_up();
            }
        }
        _ => give_up(),
    }
}

/// Ends the process: not a panic, this is inside of everything.
fn give_up() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

// SAFETY: every block comes from one of three allocators with room for what was asked for.
unsafe impl GlobalAlloc for Scripted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        scripted(Call::Alloc, Moment::Before);
        let block = if fails() {
            ptr::null_mut()
        } else {
            place(layout, false)
        };
        scripted(Call::Alloc, Moment::After);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        scripted(Call::Zeroed, Moment::Before);
        let block = if fails() {
            ptr::null_mut()
        } else {
            place(layout, true)
        };
        scripted(Call::Zeroed, Moment::After);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if SWALLOW.replace(false) {
            return;
        }
        scripted(Call::Dealloc, Moment::Before);
        // SAFETY: passed on from the caller.
        unsafe { give_back(block, layout) };
        scripted(Call::Dealloc, Moment::After);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        scripted(Call::Realloc, Moment::Before);
        // SAFETY: passed on from the caller.
        let moved = unsafe { resize(block, layout, new_size) };
        scripted(Call::Realloc, Moment::After);
        moved
    }
}

/// # Safety
/// Those of [`GlobalAlloc::realloc`].
unsafe fn resize(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    let new_layout = Layout::from_size_align(new_size, layout.align());
    let (false, Ok(new_layout)) = (fails(), new_layout) else {
        return ptr::null_mut();
    };
    // SAFETY: `place` has written there.
    let tag = unsafe { tag_of(block).read() };
    if tag == FROM_SYSTEM
        && !ALWAYS_MOVE.load(Ordering::Relaxed)
        && let (Some((old, front)), Some((new, _))) = (outer(layout), outer(new_layout))
    {
        // SAFETY: the system's block with its layout.
        let start = unsafe { System.realloc(block.wrapping_sub(front), old, new.size()) };
        return if start.is_null() {
            start
        } else {
            start.wrapping_add(front)
        };
    }
    let moved = place(new_layout, false);
    if !moved.is_null() {
        let common = layout.size().min(new_size);
        // SAFETY: both blocks have that many bytes and do not overlap.
        unsafe { ptr::copy_nonoverlapping(block, moved, common) };
        // SAFETY: passed on from the caller; the block has been replaced.
        unsafe { give_back(block, layout) };
    }
    moved
}
