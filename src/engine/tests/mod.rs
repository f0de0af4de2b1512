//! The tracker as a whole, driven through an allocator that is not installed.

mod forwarding;
mod heap;
mod history;
mod model;
mod order;
mod refused;
mod sampled;
mod scoped;
mod sessions;
mod threads;

use std::alloc::{GlobalAlloc, Layout};

use crate::engine::allocator::TraceAlloc;
use crate::engine::session::Settings;
use crate::engine::tracker::Tracker;

/// A tracker that lives as long as a static would.
fn tracker() -> &'static Tracker {
    Box::leak(Box::new(Tracker::new()))
}

/// What wraps `inner`. `is_system`: as if that were the operating system's allocator.
fn wrapper<A>(inner: A, tracker: &'static Tracker, is_system: bool) -> TraceAlloc<A> {
    let wrapper = TraceAlloc::with_tracker(inner, tracker);
    if is_system {
        wrapper.like_system()
    } else {
        wrapper
    }
}

fn settings(limit: u16) -> Settings {
    Settings {
        limit,
        ..Settings::default()
    }
}

fn start(tracker: &Tracker) {
    assert!(matches!(
        tracker.start(settings(8), usize::MAX),
        Ok(Some(_))
    ));
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a small layout")
}

/// Bytes live and most bytes live.
fn memory(tracker: &Tracker) -> (u64, u64) {
    tracker
        .session()
        .map_or((0, 0), |session| tracker.traced_memory(session))
}

/// Bytes live, most bytes live, and the sizes of all records in ascending order.
fn state(tracker: &Tracker) -> (u64, u64, Vec<u64>) {
    let (current, peak) = memory(tracker);
    let mut sizes = Vec::new();
    if let Some(session) = tracker.session() {
        tracker.for_each_block(session, |size, _| sizes.push(size));
    }
    sizes.sort_unstable();
    (current, peak, sizes)
}

fn alloc<A: GlobalAlloc>(allocator: &TraceAlloc<A>, size: usize) -> *mut u8 {
    // SAFETY: the layout has a size; the inner allocators of these tests accept every layout.
    unsafe { allocator.alloc(layout(size)) }
}

fn dealloc<A: GlobalAlloc>(allocator: &TraceAlloc<A>, block: *mut u8, size: usize) {
    // SAFETY: the tests give back what they were given, with the size that they asked for.
    unsafe { allocator.dealloc(block, layout(size)) }
}

fn realloc<A: GlobalAlloc>(
    allocator: &TraceAlloc<A>,
    block: *mut u8,
    old: usize,
    new: usize,
) -> *mut u8 {
    // SAFETY: as for `dealloc`.
    unsafe { allocator.realloc(block, layout(old), new) }
}
