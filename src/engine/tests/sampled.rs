//! Records of a session that samples are found by the thread that frees the block: in all orders of two
//! threads' steps, each made visible by an inner allocator that pauses.

use std::num::NonZeroU64;
use std::ptr;
use std::sync::Barrier;
use std::thread;

use super::*;

/// Two blocks so close together that the filter counts them as one range, and one further away.
const ONE: usize = 0x5555_0000_1000;
const NEAR: usize = ONE + 512;
const FAR: usize = ONE + (1 << 20);
/// So large that every block of the size is recorded, at one record per byte.
const SIZE: usize = 100;

fn start_sampling(tracker: &Tracker) {
    let settings = Settings {
        sample_every: Some(NonZeroU64::MIN),
        ..settings(8)
    };
    assert!(matches!(tracker.start(settings, usize::MAX), Ok(Some(_))));
}

/// Answers with the same address at any time, and pauses before that if asked to.
struct At<'a> {
    address: usize,
    pause: Option<&'a [Barrier; 2]>,
}

impl At<'_> {
    fn answer(&self) -> *mut u8 {
        if let Some([reached, done]) = self.pause {
            reached.wait();
            done.wait();
        }
        ptr::without_provenance_mut(self.address)
    }
}

// SAFETY: nobody touches the memory.
unsafe impl GlobalAlloc for At<'_> {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        self.answer()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
        self.answer()
    }
}

fn at(address: usize, tracker: &'static Tracker) -> TraceAlloc<At<'static>> {
    let pause = None;
    TraceAlloc::with_tracker(At { address, pause }, tracker)
}

fn sizes(tracker: &Tracker) -> Vec<u64> {
    state(tracker).2
}

/// Runs `event` with an allocator that answers with `address`, and `meanwhile` on another thread
/// before it answers.
fn paused(
    tracker: &'static Tracker,
    address: usize,
    event: impl FnOnce(&TraceAlloc<At>),
    meanwhile: impl FnOnce() + Send,
) {
    let pause = [Barrier::new(2), Barrier::new(2)];
    let pause = &pause;
    let allocator = TraceAlloc::with_tracker(
        At {
            address,
            pause: Some(pause),
        },
        tracker,
    );
    thread::scope(|scope| {
        scope.spawn(move || {
            let [reached, done] = pause;
            reached.wait();
            meanwhile();
            done.wait();
        });
        event(&allocator);
    });
}

#[test]
fn a_sampled_block_is_removed_by_whichever_thread_frees_it() {
    let tracker = tracker();
    start_sampling(tracker);
    for near in [ONE, NEAR, FAR] {
        let block = thread::scope(|scope| {
            let other = scope.spawn(|| alloc(&at(ONE, tracker), SIZE).addr());
            other.join().expect("no panic")
        });
        assert_eq!(sizes(tracker), [SIZE as u64]);
        if near != ONE {
            let near = alloc(&at(near, tracker), SIZE);
            dealloc(&at(ONE, tracker), near, SIZE);
        }
        dealloc(&at(ONE, tracker), ptr::without_provenance_mut(block), SIZE);
        assert!(sizes(tracker).is_empty());
    }
}

/// Seen to fail while an event of the earlier session took the range over.
#[test]
fn an_event_that_a_new_session_overtakes_hides_none_of_its_blocks() {
    for is_restart in [false, true] {
        let tracker = tracker();
        start_sampling(tracker);
        let kept = || {
            if is_restart {
                tracker.stop();
                start_sampling(tracker);
            } else {
                tracker.clear();
            }
            assert_eq!(alloc(&at(NEAR, tracker), SIZE).addr(), NEAR);
        };
        paused(
            tracker,
            ONE,
            |paused| assert_eq!(alloc(paused, SIZE).addr(), ONE),
            kept,
        );
        assert_eq!(sizes(tracker), [SIZE as u64]);
        dealloc(&at(NEAR, tracker), ptr::without_provenance_mut(NEAR), SIZE);
        assert!(sizes(tracker).is_empty());
    }
}

/// The inner `realloc` has freed the old address and another thread has a block there. Seen to fail
/// with the moved block taken out of the filter twice.
#[test]
fn a_block_that_moves_away_does_not_hide_the_next_one_there() {
    let tracker = tracker();
    start_sampling(tracker);
    let block = alloc(&at(ONE, tracker), SIZE);
    paused(
        tracker,
        FAR,
        |paused| assert_eq!(realloc(paused, block, SIZE, 2 * SIZE).addr(), FAR),
        || assert_eq!(alloc(&at(ONE, tracker), 3 * SIZE).addr(), ONE),
    );
    assert_eq!(sizes(tracker), [2 * SIZE as u64, 3 * SIZE as u64]);
    for (address, size) in [(ONE, 3 * SIZE), (FAR, 2 * SIZE)] {
        let block = ptr::without_provenance_mut(address);
        dealloc(&at(address, tracker), block, size);
    }
    assert!(sizes(tracker).is_empty());
}

#[test]
fn a_sampled_block_that_is_resized_is_followed() {
    let tracker = tracker();
    start_sampling(tracker);
    let block = alloc(&at(ONE, tracker), SIZE);
    let mut held = (block, SIZE);
    for (address, size) in [
        (ONE, 2 * SIZE),
        (FAR, SIZE),
        (NEAR, 3 * SIZE),
        (ONE, 90 * SIZE),
    ] {
        let (block, old) = held;
        held = (realloc(&at(address, tracker), block, old, size), size);
        assert_eq!(sizes(tracker), [size as u64]);
    }
    dealloc(&at(ONE, tracker), held.0, held.1);
    assert!(sizes(tracker).is_empty());
}
