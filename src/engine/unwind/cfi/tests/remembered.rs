//! That a thread remembers what it should, not only that it is right.

use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::*;

const LIMIT: usize = 200;

/// Whether the stack from the caller on was remembered. It is afterwards; all ways of reading it
/// agree. Loops around it count by `black_box`: unrolled, they would call it from several places.
#[inline(never)]
fn was_remembered(limit: usize) -> bool {
    let caller = caller();
    let known = STACK_CACHE.with_borrow_mut(|stack_cache| {
        stack_cache
            .recall(caller, limit, Candidate::UNKNOWN)
            .or_else(|| stack_cache.recall_foreign(caller, limit))
            .is_some()
    });
    compare_from(caller, limit, Some(true));
    known
}

/// Seen to fail with one base stack.
#[test]
fn two_ways_in_turn_are_both_remembered() {
    #[inline(never)]
    fn left(depth: usize) -> bool {
        black_box(depth) > 0 && black_box(left(depth - 1)) || depth == 0 && was_remembered(LIMIT)
    }
    #[inline(never)]
    fn right(depth: usize) -> bool {
        let room = black_box([depth; 3]);
        room[0] > 0 && black_box(right(depth - 1)) || depth == 0 && was_remembered(LIMIT)
    }
    prepare();
    let known: Vec<_> = (0..black_box(4)).map(|_| [left(20), right(20)]).collect();
    assert_eq!(known, [[false; 2], [true; 2], [true; 2], [true; 2]]);
}

/// One place that is reached from four. Seen to fail with less room for that.
#[test]
fn four_stacks_of_one_call_are_cached() {
    #[inline(never)]
    fn place() -> bool {
        black_box(was_remembered(LIMIT))
    }
    #[inline(never)]
    fn from_four() -> [bool; 4] {
        [place(), place(), place(), place()]
    }
    prepare();
    let mut known = [[false; 4]; 3];
    for round in &mut known[..black_box(3)] {
        *round = from_four();
    }
    assert_eq!(known, [[false; 4], [true; 4], [true; 4]]);
}

/// Pauses three times, further down, with what was known there of its stack.
#[inline(never)]
fn below(depth: usize, yielder: &Yielder<(), bool>) {
    if depth > 0 {
        below(depth - 1, yielder);
        black_box(());
        return;
    }
    for _ in 0..black_box(3) {
        yielder.suspend(was_remembered(LIMIT));
    }
}

/// Two coroutines have their stacks read in turn. Seen to fail with one base stack.
#[test]
fn stacks_of_coroutines_are_remembered() {
    prepare();
    let make = || Coroutine::new(|yielder: &Yielder<(), bool>, ()| below(12, yielder));
    let mut both = [make(), make()];
    for round in 0..black_box(3) {
        for (at, coroutine) in both.iter_mut().enumerate() {
            let known = coroutine.resume(());
            let expect = CoroutineResult::Yield(round > 0);
            assert_eq!(known, expect, "round {round}, coroutine {at}");
        }
    }
    for mut coroutine in both {
        assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())));
    }
}

/// A walk from the caller's stack meets what was remembered before it went on on another one.
#[test]
fn the_callers_stack_is_remembered_beside_a_coroutines() {
    prepare();
    let mut coroutine = Coroutine::new(|yielder: &Yielder<(), bool>, ()| below(12, yielder));
    for round in 0..black_box(3) {
        let outside = was_remembered(LIMIT);
        let inside = coroutine.resume(());
        let expect = (round > 0, CoroutineResult::Yield(round > 0));
        assert_eq!((outside, inside), expect, "round {round}");
    }
    assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())));
}

/// A coroutine that is resumed from two others in turn. Of the frames that count nothing tells them
/// apart but the word that leads from its own stack to the other's: what was read there the other
/// time is still there, further down than where that one pauses. Seen to fail in an optimised build
/// while that word was not compared; otherwise more of it is overwritten.
#[test]
fn the_way_to_another_stack_is_compared() {
    const DEPTH: usize = 60;
    #[inline(never)]
    fn descend(depth: usize, task: &mut dyn FnMut()) {
        match black_box(depth) {
            0 => task(),
            _ => descend(depth - 1, task),
        }
        black_box(());
    }
    prepare();
    let inner = Coroutine::new(|yielder: &Yielder<(), ()>, ()| {
        for _ in 0..black_box(8) {
            was_remembered(DEPTH / 2);
            yielder.suspend(());
        }
    });
    let inner = Rc::new(RefCell::new(inner));
    let outer = |descend: fn(usize, &mut dyn FnMut())| {
        let inner = Rc::clone(&inner);
        Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
            for _ in 0..black_box(4) {
                let mut inner = inner.borrow_mut();
                descend(DEPTH, &mut || _ = inner.resume(()));
                drop(inner);
                yielder.suspend(());
            }
        })
    };
    let mut both = [outer(descend), outer(recurse)];
    for _ in 0..black_box(5) {
        for coroutine in both.iter_mut().filter(|coroutine| !coroutine.done()) {
            coroutine.resume(());
        }
    }
    assert!(both.iter().all(Coroutine::done));
    inner.borrow_mut().resume(());
    assert!(inner.borrow().done());
}
