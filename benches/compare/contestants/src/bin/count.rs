//! Counts allocations, so that times can be told per allocation and other counts be checked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use workloads::contestant::{Contestant, Counts};

#[global_allocator]
static ALLOC: Counting = Counting;

static IS_ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Below 0 where blocks from before the start are freed.
static CURRENT: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

struct Counting;

impl Counting {
    fn given(&self, block: *mut u8, more: i64) -> *mut u8 {
        if IS_ON.load(Relaxed) && !block.is_null() {
            ALLOCATIONS.fetch_add(1, Relaxed);
            let current = CURRENT.fetch_add(more, Relaxed) + more;
            PEAK.fetch_max(current, Relaxed);
        }
        block
    }
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let block = unsafe { System.alloc(layout) };
        self.given(block, layout.size() as i64)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let block = unsafe { System.alloc_zeroed(layout) };
        self.given(block, layout.size() as i64)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        self.given(moved, new_size as i64 - layout.size() as i64)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if IS_ON.load(Relaxed) {
            CURRENT.fetch_sub(layout.size() as i64, Relaxed);
        }
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let contestant = Contestant {
        start: || IS_ON.store(true, Relaxed),
        stop: |()| {
            IS_ON.store(false, Relaxed);
            Counts {
                allocations: Some(ALLOCATIONS.load(Relaxed)),
                peak: Some(PEAK.load(Relaxed).max(0) as u64),
            }
        },
        own_memory: || None,
    };
    contestant.main()
}
