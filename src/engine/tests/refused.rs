//! The system refuses the tracer a mapping, each in turn: the program still gets its blocks,
//! and what has a record is counted.
//!
//! Seen to fail with a block counted whose record was refused.

use std::alloc::System;
use std::thread;

use super::*;

/// Blocks of all classes, some of which come and go. Returns those that are left.
fn work(allocator: &TraceAlloc<System>) -> Vec<(usize, usize)> {
    let mut held: Vec<(usize, usize)> = Vec::new();
    for round in 0..400_usize {
        let size = [20, 100, 700, 5000, 70_000][round % 5] + round;
        let block = alloc(allocator, size);
        assert!(!block.is_null());
        let block = realloc(allocator, block, size, 2 * size);
        assert!(!block.is_null());
        held.push((block.expose_provenance(), 2 * size));
        if round % 3 == 0 {
            free(allocator, held.swap_remove(round % held.len()));
        }
    }
    held
}

fn free(allocator: &TraceAlloc<System>, (block, size): (usize, usize)) {
    dealloc(
        allocator,
        std::ptr::with_exposed_provenance_mut(block),
        size,
    );
}

/// True if the mapping was asked for.
fn check(from: u64, count: u64) -> bool {
    let tracker = tracker();
    tracker.refusals().set(from, count);
    let started = tracker.start(settings(8), usize::MAX).is_ok();
    let allocator = TraceAlloc::with_tracker(System, tracker);
    let mut held = work(&allocator);
    thread::scope(|scope| {
        let other = scope.spawn(|| work(&allocator));
        held.extend(other.join().expect("no panic"));
    });
    let (current, peak, sizes) = state(tracker);
    assert_eq!(current, sizes.iter().sum::<u64>());
    assert!(current <= peak);
    if let Some(session) = tracker.session() {
        let lost = tracker.lost(session);
        assert_eq!(lost.replaced, 0);
        assert!(sizes.len() == held.len() || lost.blocks > 0, "{lost:?}");
        assert!(sizes.len() <= held.len());
    }
    assert_eq!(started, tracker.session().is_some());
    held.into_iter().for_each(|block| free(&allocator, block));
    assert_eq!(state(tracker).0, 0);
    assert!(state(tracker).2.is_empty());
    tracker.refusals().mappings() > from
}

#[test]
#[cfg_attr(miri, ignore = "takes too long")]
fn whichever_mapping_is_refused_the_audit_passes() {
    for count in [1, u64::MAX] {
        let max_frames = (0..).find(|from| !check(*from, count));
        assert!(max_frames > Some(10), "{max_frames:?} mappings");
    }
}
