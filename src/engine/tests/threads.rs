//! Many threads side by side: in the end the counters, the records and the truth agree.

use std::alloc::System;
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;

use super::*;

const ROUNDS: usize = if cfg!(miri) { 20 } else { 3000 };

#[test]
fn blocks_freed_by_other_threads_leave_nothing() {
    let tracker = tracker();
    start(tracker);
    let allocator = TraceAlloc::with_tracker(System, tracker);
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel::<(usize, usize, usize)>();
        let producers: Vec<_> = (0..4)
            .map(|seed| {
                let (send, allocator) = (send.clone(), &allocator);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let size = (round * 31 + seed * 7) % 6000 + 1;
                        let block = alloc(allocator, size);
                        let grown = realloc(allocator, block, size, 2 * size);
                        send.send((block.addr(), grown.expose_provenance(), 2 * size))
                            .expect("open");
                    }
                })
            })
            .collect();
        drop(send);
        for (_, block, size) in receive {
            dealloc(
                &allocator,
                std::ptr::with_exposed_provenance_mut(block),
                size,
            );
        }
        producers
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
    });
    assert_eq!(state(tracker).0, 0);
    assert!(state(tracker).2.is_empty());
    assert_eq!(
        tracker.lost(tracker.session().expect("tracing")),
        Default::default()
    );
}

#[test]
fn control_calls_at_any_moment_leave_a_clean_state() {
    let tracker = tracker();
    let allocator = TraceAlloc::with_tracker(System, tracker);
    let barrier = Barrier::new(6);
    thread::scope(|scope| {
        for seed in 0..4 {
            let (allocator, barrier) = (&allocator, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let mut held = Vec::new();
                for round in 0..ROUNDS {
                    let size = (round * 13 + seed) % 500 + 1;
                    held.push((alloc(allocator, size), size));
                    if held.len() > 50 {
                        let (block, size) = held.swap_remove(round % 50);
                        dealloc(allocator, block, size);
                    }
                }
                held.into_iter()
                    .for_each(|(block, size)| dealloc(allocator, block, size));
            });
        }
        for seed in 0..2 {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for round in 0..ROUNDS {
                    match (round + seed) % 5 {
                        0 | 3 => assert!(tracker.start(settings(4), usize::MAX).is_ok()),
                        1 => tracker.stop(),
                        2 => tracker.clear(),
                        _ => {
                            if let Some(session) = tracker.session() {
                                tracker.reset_peak(session);
                                let (current, peak) = tracker.traced_memory(session);
                                assert!(current <= peak);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(tracker.start(settings(4), usize::MAX).is_ok());
    // Every block was freed; a record that is left was lost sight of.
    let (current, _, sizes) = state(tracker);
    assert_eq!((current, sizes), (0, vec![]));
}
