//! Sessions that record only what threads in scopes allocate.

use std::alloc::System;

use super::*;
use crate::engine::scopes;
use crate::engine::session::Session;
use crate::engine::thread::tag::{self, TagId};

/// This thread is in a scope that records, or in none.
fn be_in_scope(is_in: bool) {
    tag::set_owner(if is_in { TagId::REFUSED } else { TagId::NONE });
    scopes::set_open(u32::from(is_in));
}

fn sizes(tracker: &Tracker, session: Session) -> Vec<u64> {
    let mut sizes = Vec::new();
    tracker.for_each_block(session, |size, _| sizes.push(size));
    sizes
}

/// The place that reallocates is cached by then, which must not matter. Seen to fail while the fast path
/// recorded the block.
#[test]
fn a_block_resized_outside_of_scopes_is_recorded_no_more() {
    let tracker = tracker();
    let settings = Settings {
        only_scopes: true,
        ..settings(8)
    };
    let session = tracker.recording_for_scopes(settings).expect("memory");
    tracker.open_scopes();
    let allocator = wrapper(System, tracker, true);
    be_in_scope(true);
    let mut block = alloc(&allocator, 100);
    let resized: Vec<Vec<u64>> = [true, true, false, false]
        .into_iter()
        .map(|is_in| {
            be_in_scope(is_in);
            block = realloc(&allocator, block, 100, 100);
            sizes(tracker, session)
        })
        .collect();
    let in_all = tracker.traced_memory(session).0;
    dealloc(&allocator, block, 100);
    be_in_scope(false);
    assert_eq!(resized, [vec![100], vec![100], vec![], vec![]]);
    assert_eq!(in_all, 0);
}
