//! An inner allocator that hands out addresses which nobody reads, and gives a freed one to whoever
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
    may_fail: bool,
}

impl Heap {
    pub(crate) fn new(may_fail: bool) -> Self {
        Self {
            live: Mutex::new(BTreeMap::new()),
            may_fail,
        }
    }

    /// The truth: all live blocks by address.
    pub(crate) fn live(&self) -> BTreeMap<usize, usize> {
        self.live.lock().expect("no panic").clone()
    }

    fn take(&self, size: usize) -> Option<usize> {
        let mut live = self.live.lock().expect("no panic");
        let free = PLACES.map(|place| BASE + place);
        let mut free = free.into_iter().filter(|place| !live.contains_key(place));
        let place = free.next()?;
        live.insert(place, size);
        Some(place)
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
        let size = self.live.lock().expect("no panic").remove(&block.addr());
        assert_eq!(size, Some(layout.size()), "given back as it was asked for");
        point();
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
        self.live.lock().expect("no panic").remove(&block.addr());
        point();
        ptr::without_provenance_mut(place)
    }
}
