//! An allocator of numbers: hands out addresses that nobody may read, reuses them eagerly, and
//! fails on demand.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the next call of `realloc` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Stays in place if the bytes behind are free, else moves.
    Any,
    /// Moves even if it could stay.
    Move,
    Fail,
}

pub(super) struct Heap {
    blocks: Mutex<BTreeMap<usize, usize>>,
    fail_alloc: AtomicBool,
    next: Mutex<Next>,
    /// Blocks start at multiples of this.
    spacing: usize,
}

/// Addresses begin here, so that several regions of the live table are used.
const BASE: usize = 0x7f00_000f_f000;

impl Heap {
    pub(super) fn new() -> Self {
        Self::with_spacing(1)
    }

    /// One that may be taken for the operating system's.
    pub(super) fn like_the_systems() -> Self {
        Self::with_spacing(32)
    }

    fn with_spacing(spacing: usize) -> Self {
        Self {
            blocks: Mutex::new(BTreeMap::new()),
            fail_alloc: AtomicBool::new(false),
            next: Mutex::new(Next::Any),
            spacing,
        }
    }

    pub(super) fn fail_next_alloc(&self) {
        self.fail_alloc.store(true, Ordering::SeqCst);
    }

    pub(super) fn next_realloc(&self, next: Next) {
        *self.next.lock().expect("no panic") = next;
    }

    fn place(&self, blocks: &mut BTreeMap<usize, usize>, layout: Layout) -> usize {
        let align = layout.align().max(self.spacing);
        let mut at = BASE;
        for (start, size) in blocks.iter() {
            if at.next_multiple_of(align) + layout.size() <= *start {
                break;
            }
            at = start + size;
        }
        let at = at.next_multiple_of(align);
        blocks.insert(at, layout.size());
        at
    }
}

// SAFETY: the addresses are never read or written by the tests; blocks do not overlap.
unsafe impl GlobalAlloc for &Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.fail_alloc.swap(false, Ordering::SeqCst) {
            return ptr::null_mut();
        }
        let mut blocks = self.blocks.lock().expect("no panic");
        ptr::without_provenance_mut(self.place(&mut blocks, layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on; there is nothing to zero.
        unsafe { self.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let size = self.blocks.lock().expect("no panic").remove(&block.addr());
        assert_eq!(size, Some(layout.size()), "given back as it was asked for");
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let next = std::mem::replace(&mut *self.next.lock().expect("no panic"), Next::Any);
        if next == Next::Fail {
            return ptr::null_mut();
        }
        let mut blocks = self.blocks.lock().expect("no panic");
        assert_eq!(blocks.get(&block.addr()), Some(&layout.size()));
        let behind = blocks
            .range(block.addr() + 1..)
            .next()
            .map_or(usize::MAX, |(start, _)| *start);
        if next == Next::Any && block.addr() + new_size <= behind {
            blocks.insert(block.addr(), new_size);
            return block;
        }
        let layout = Layout::from_size_align(new_size, layout.align()).expect("a small layout");
        let moved = self.place(&mut blocks, layout);
        blocks.remove(&block.addr());
        ptr::without_provenance_mut(moved)
    }
}
