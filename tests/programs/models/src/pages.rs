//! The engine's memory: zeroed, and given back between executions.

use std::alloc::GlobalAlloc;
use std::cell::RefCell;

pub(crate) use std::alloc::Layout;

std::thread_local! {
    static MAPPED: RefCell<Vec<(*mut u8, Layout)>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct System;

impl System {
    pub(crate) unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let start = unsafe { std::alloc::System.alloc_zeroed(layout) };
        MAPPED.with_borrow_mut(|mapped| mapped.push((start, layout)));
        start
    }

    pub(crate) unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        MAPPED.with_borrow_mut(|mapped| mapped.retain(|(at, _)| *at != start));
        // SAFETY: passed on from the caller.
        unsafe { std::alloc::System.dealloc(start, layout) }
    }
}

/// Gives back what the last execution has left. Nobody may use it any more.
pub(crate) fn free_all() {
    for (start, layout) in MAPPED.take() {
        // SAFETY: it was mapped with this layout and is no longer on the list.
        unsafe { std::alloc::System.dealloc(start, layout) };
    }
}
