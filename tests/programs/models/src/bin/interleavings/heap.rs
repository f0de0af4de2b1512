//! An inner allocator that hands out addresses which nobody reads, and gives a freed one to the thread that
//! asks next, before the call that freed it has returned.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::Mutex;

use shuttle::rand::{Rng, thread_rng};

use crate::atomic::point;

/// Addresses in windows of their own for every class of sizes.
const PLACES: [usize; 4] = [0x1_0000, 0x2_0000, 0x4_0000, 0x5_0000];
const BASE: usize = 0x7f00_0000_0000;

pub(crate) struct Heap {
    /// Sizes by address.
    live: Mutex<BTreeMap<usize, usize>>,
    /// What is free: the last one is handed out next.
    free: Mutex<Vec<usize>>,
    may_fail: bool,
}

/// Time for others to run.
fn pause() {
    for _ in 0..thread_rng().gen_range(1..40) {
        point();
    }
}

impl Heap {
    pub(crate) fn new(may_fail: bool) -> Self {
        Self {
            live: Mutex::new(BTreeMap::new()),
            free: Mutex::new(PLACES.map(|place| BASE + place).into()),
            may_fail,
        }
    }

    /// The truth: all live blocks by address.
    pub(crate) fn live(&self) -> BTreeMap<usize, usize> {
        self.live.lock().expect("no panic").clone()
    }

    fn take(&self, size: usize) -> Option<usize> {
        let place = self.free.lock().expect("no panic").pop()?;
        self.live.lock().expect("no panic").insert(place, size);
        Some(place)
    }

    fn give_back(&self, block: *mut u8, size: usize) {
        let given = self.live.lock().expect("no panic").remove(&block.addr());
        assert_eq!(given, Some(size), "given back as it was asked for");
        self.free.lock().expect("no panic").push(block.addr());
    }
}

// SAFETY: nobody touches the memory; no two live blocks have one address.
unsafe impl GlobalAlloc for &Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        point();
        let place = self.take(layout.size());
        point();
        place.map_or(ptr::null_mut(), ptr::without_provenance_mut)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        point();
        self.give_back(block, layout.size());
        pause();
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        point();
        let choice = thread_rng().gen_range(0..4);
        if choice == 0 && self.may_fail {
            return ptr::null_mut();
        }
        if choice == 1 {
            let mut live = self.live.lock().expect("no panic");
            let size = live.insert(block.addr(), new_size);
            assert_eq!(size, Some(layout.size()));
            return block;
        }
        let Some(place) = self.take(new_size) else {
            return ptr::null_mut();
        };
        self.give_back(block, layout.size());
        pause();
        ptr::without_provenance_mut(place)
    }
}
