//! The order of operations, made visible by an inner allocator that hands a freed address to a
//! waiting thread before `dealloc` or `realloc` returns. No luck involved: the other thread has the
//! address, and its record, by then.
//!
//! Seen to fail with `remove` after the inner `dealloc`, and with the old entry cleared
//! unconditionally after `realloc`.

use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::engine::thread::guard::Guard;

const OLD: usize = 0x5555_0000_1000;
const NEW: usize = 0x5555_0000_9000;

/// `alloc` answers with the address in `next`, `realloc` with `NEW`; giving `OLD` back lets the other
/// thread run its allocation and waits for its end.
struct HandOff {
    next: AtomicUsize,
    /// `realloc` leaves the block where it is.
    stays: AtomicBool,
    freed: Barrier,
    taken: Barrier,
}

impl HandOff {
    fn new() -> Self {
        Self {
            next: AtomicUsize::new(OLD),
            stays: AtomicBool::new(false),
            freed: Barrier::new(2),
            taken: Barrier::new(2),
        }
    }

    fn hand_off(&self) {
        self.freed.wait();
        self.taken.wait();
    }
}

// SAFETY: nobody touches the memory.
unsafe impl GlobalAlloc for &HandOff {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::without_provenance_mut(self.next.load(Ordering::SeqCst))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        self.hand_off();
    }

    unsafe fn realloc(&self, block: *mut u8, _: Layout, _: usize) -> *mut u8 {
        if self.stays.load(Ordering::SeqCst) {
            return block;
        }
        self.hand_off();
        ptr::without_provenance_mut(NEW)
    }
}

/// Resizes the block of 100 bytes to 300, after `times` from the same place that change nothing: when
/// the thread has the stack in its cache, `realloc` takes its fast path.
fn realloc_after(times: usize, allocator: &TraceAlloc<&HandOff>, inner: &HandOff, block: *mut u8) {
    for left in (0..=times).rev() {
        inner.stays.store(left > 0, Ordering::SeqCst);
        let (new, size) = if left > 0 { (OLD, 100) } else { (NEW, 300) };
        assert_eq!(realloc(allocator, block, 100, size).addr(), new);
    }
}

/// One thread gives the block at `OLD` up by `give_up`; the other gets the same address for `size`
/// bytes meanwhile.
fn race(
    size: usize,
    is_system: bool,
    give_up: impl FnOnce(&TraceAlloc<&HandOff>, &HandOff, *mut u8),
) -> (u64, u64, Vec<u64>) {
    let inner = HandOff::new();
    let tracker = tracker();
    start(tracker);
    let allocator = wrapper(&inner, tracker, is_system);
    // The table for the new place is there, as it is for most blocks.
    let near = wrapper(Unseen(NEW + 4096), tracker, is_system);
    let other = alloc(&near, 300);
    dealloc(&near, other, 300);
    let block = alloc(&allocator, 100).addr();
    thread::scope(|scope| {
        scope.spawn(|| {
            inner.freed.wait();
            assert_eq!(alloc(&allocator, size).addr(), OLD);
            inner.taken.wait();
        });
        give_up(&allocator, &inner, ptr::without_provenance_mut(block));
    });
    let session = tracker.session().expect("tracing");
    assert!(
        tracker.block_at(session, OLD).is_some(),
        "the new owner's record is there"
    );
    assert_eq!(tracker.lost(session), Default::default());
    state(tracker)
}

/// Each size with an allocator of the program's own and with one like the operating system's.
fn each(sizes: [usize; 3]) -> impl Iterator<Item = (usize, bool)> {
    let both = |size| [(size, false), (size, true)];
    sizes.into_iter().flat_map(both)
}

#[test]
fn dealloc_removes_the_record_before_the_block() {
    for (size, is_system) in each([100, 10, 5000]) {
        let state = race(size, is_system, |allocator, _, block| {
            dealloc(allocator, block, 100);
        });
        assert_eq!(
            state,
            (size as u64, 300.max(size as u64), vec![size as u64])
        );
    }
}

#[test]
fn realloc_leaves_the_new_owners_record_alone() {
    for (size, is_system) in each([100, 10, 5000]) {
        for times in [0, 5] {
            let state = race(size, is_system, |allocator, inner, block| {
                realloc_after(times, allocator, inner, block);
            });
            let mut sizes = vec![300, size as u64];
            sizes.sort_unstable();
            assert_eq!(state.2, sizes);
            assert_eq!(state.0, 300 + size as u64);
        }
    }
}

/// The other thread gets the address without a record, as when it is inside the tracer or its
/// allocation is not sampled, and gives it back: what is moving is not its own.
#[test]
fn a_block_without_a_record_leaves_a_moving_one_alone() {
    for (size, is_system) in each([100, 10, 200]) {
        let inner = HandOff::new();
        let tracker = tracker();
        start(tracker);
        let allocator = wrapper(&inner, tracker, is_system);
        let untraced = wrapper(Unseen(OLD), tracker, is_system);
        let block = alloc(&allocator, 100).addr();
        let meanwhile = thread::scope(|scope| {
            let other = scope.spawn(|| {
                // From now on the thread counts for itself, as on the shorter way to forget a
                // block.
                let own = wrapper(Unseen(NEW), tracker, is_system);
                let block = alloc(&own, 1);
                dealloc(&own, block, 1);
                inner.freed.wait();
                let inside = Guard::enter();
                let taken = alloc(&untraced, size);
                let taken = realloc(&untraced, taken, size, size);
                dealloc(&untraced, taken, size);
                drop(inside);
                dealloc(&untraced, taken, size);
                let state = state(tracker);
                inner.taken.wait();
                state
            });
            realloc(&allocator, ptr::without_provenance_mut(block), 100, 300);
            other.join().expect("no panic")
        });
        let (current, _, blocks) = meanwhile;
        assert_eq!((current, blocks), (100, vec![100]));
        assert_eq!(state(tracker), (300, 300, vec![300]));
    }
}

/// Answers with the same address at any time.
struct Unseen(usize);

// SAFETY: nobody touches the memory.
unsafe impl GlobalAlloc for Unseen {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::without_provenance_mut(self.0)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, block: *mut u8, _: Layout, _: usize) -> *mut u8 {
        block
    }
}

#[test]
fn a_moving_block_is_live_at_its_old_size() {
    for times in [0, 5] {
        let inner = HandOff::new();
        let tracker = tracker();
        start(tracker);
        let allocator = TraceAlloc::with_tracker(&inner, tracker);
        let block = alloc(&allocator, 100).addr();
        thread::scope(|scope| {
            scope.spawn(|| {
                inner.freed.wait();
                assert_eq!(state(tracker), (100, 100, vec![100]));
                inner.taken.wait();
            });
            realloc_after(
                times,
                &allocator,
                &inner,
                ptr::without_provenance_mut(block),
            );
        });
        assert_eq!(state(tracker), (300, 300, vec![300]));
    }
}

/// Runs `meanwhile` while an allocation, a `realloc` or a free is inside the inner allocator.
fn overtaken(event: &str, meanwhile: impl Fn(&Tracker) + Sync) -> &'static Tracker {
    struct Pause<'a>(&'a HandOff);
    // SAFETY: nobody touches the memory.
    unsafe impl GlobalAlloc for Pause<'_> {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.0.hand_off();
            // SAFETY: passed on.
            unsafe { self.0.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: passed on.
            unsafe { self.0.dealloc(block, layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            // SAFETY: passed on.
            unsafe { self.0.realloc(block, layout, new_size) }
        }
    }
    let inner = HandOff::new();
    let tracker = tracker();
    start(tracker);
    let plain = TraceAlloc::with_tracker(&inner, tracker);
    let pausing = TraceAlloc::with_tracker(Pause(&inner), tracker);
    let block = if event == "alloc" {
        0
    } else {
        alloc(&plain, 100).addr()
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            inner.freed.wait();
            meanwhile(tracker);
            inner.taken.wait();
        });
        let block = ptr::without_provenance_mut(block);
        match event {
            "alloc" => drop(alloc(&pausing, 100)),
            "realloc" => drop(realloc(&pausing, block, 100, 300)),
            _ => dealloc(&pausing, block, 100),
        }
    });
    tracker
}

#[test]
fn an_event_overtaken_by_stop_or_clear_leaves_nothing_behind() {
    for event in ["alloc", "realloc", "dealloc"] {
        assert_eq!(
            state(overtaken(event, Tracker::clear)),
            (0, 0, vec![]),
            "{event}"
        );
        let tracker = overtaken(event, Tracker::stop);
        assert_eq!(tracker.session(), None);
        start(tracker);
        assert_eq!(state(tracker), (0, 0, vec![]), "{event}");
        let tracker = overtaken(event, |tracker| {
            tracker.stop();
            start(tracker);
        });
        assert_eq!(state(tracker), (0, 0, vec![]), "{event}");
    }
}
