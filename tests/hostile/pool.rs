//! An allocator without locks: usable in signal handlers and in every child of a fork, so that a
//! case that hangs or fails in one shows a defect of the tracer.
//!
//! Free blocks of a size are a stack, so an address is handed out again as soon as possible.

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Address space for blocks. Only the part in use takes memory.
const REGION: usize = 4 << 30;
/// log2 of the smallest and of the largest block; larger ones are mapped on their own.
const SMALLEST: u32 = 5;
const LARGEST: u32 = 20;
const CLASSES: usize = (LARGEST - SMALLEST + 1) as usize;

static START: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);
/// The first free block of each class, below a number that changes with every step: a thread that
/// was overtaken must not mistake a block that came back for the one that it saw.
static FREE: [AtomicU64; CLASSES] = [const { AtomicU64::new(0) }; CLASSES];
const ADDRESS: u64 = (1 << 48) - 1;

/// log2 of the size of a block for `layout`.
fn bits(layout: Layout) -> u32 {
    let size = layout.size().max(layout.align()).max(1 << SMALLEST);
    size.next_power_of_two().ilog2()
}

pub(crate) fn map(len: usize) -> *mut u8 {
    // SAFETY: a fresh anonymous mapping touches nothing that exists.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        ptr::null_mut()
    } else {
        start.cast()
    }
}

fn region() -> Option<usize> {
    let known = START.load(Ordering::Acquire);
    if known != 0 {
        return Some(known);
    }
    let fresh = map(REGION);
    if fresh.is_null() {
        return None;
    }
    match START.compare_exchange(
        0,
        fresh.expose_provenance(),
        Ordering::AcqRel,
        Ordering::Acquire,
    ) {
        Ok(_) => Some(fresh.addr()),
        Err(other) => {
            // SAFETY: nobody else has this mapping.
            unsafe { libc::munmap(fresh.cast(), REGION) };
            Some(other)
        }
    }
}

/// The word in a free block that leads to the next one.
fn link(block: u64) -> &'static AtomicU64 {
    let link = ptr::with_exposed_provenance::<AtomicU64>(block as usize);
    // SAFETY: blocks are aligned and are never unmapped. A thread that was overtaken may read a
    // block that is in use; it finds that out before it believes what it has read.
    unsafe { &*link }
}

pub(crate) fn alloc(layout: Layout) -> *mut u8 {
    let bits = bits(layout);
    if bits > LARGEST {
        return map(1 << bits);
    }
    let free = &FREE[(bits - SMALLEST) as usize];
    let mut head = free.load(Ordering::Acquire);
    while head & ADDRESS != 0 {
        let next = link(head & ADDRESS).load(Ordering::Acquire) & ADDRESS;
        let tag = (head & !ADDRESS).wrapping_add(ADDRESS + 1);
        match free.compare_exchange(head, tag | next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return ptr::with_exposed_provenance_mut((head & ADDRESS) as usize),
            Err(other) => head = other,
        }
    }
    fresh(1 << bits)
}

fn fresh(size: usize) -> *mut u8 {
    let Some(start) = region() else {
        return ptr::null_mut();
    };
    let mut used = USED.load(Ordering::Acquire);
    loop {
        let at = used.next_multiple_of(size.min(4096));
        if at + size > REGION {
            return ptr::null_mut();
        }
        match USED.compare_exchange(used, at + size, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return ptr::with_exposed_provenance_mut(start + at),
            Err(other) => used = other,
        }
    }
}

/// # Safety
/// The block was given for this layout, and nobody uses it any more.
pub(crate) unsafe fn dealloc(block: *mut u8, layout: Layout) {
    let bits = bits(layout);
    if bits > LARGEST {
        // SAFETY: the caller's promise: the block is a mapping of that size.
        unsafe { libc::munmap(block.cast(), 1 << bits) };
        return;
    }
    let free = &FREE[(bits - SMALLEST) as usize];
    let address = block.expose_provenance() as u64;
    let mut head = free.load(Ordering::Acquire);
    loop {
        link(address).store(head & ADDRESS, Ordering::Release);
        let tag = (head & !ADDRESS).wrapping_add(ADDRESS + 1);
        match free.compare_exchange(head, tag | address, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(other) => head = other,
        }
    }
}
