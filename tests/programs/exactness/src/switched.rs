//! Stacks that lead from one to another.

use std::hint::black_box;
use std::thread;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::{block, deep};

/// Goes on on a new stack, several times, allocating on each and back on the one before.
#[inline(never)]
pub(crate) fn grown(round: usize) {
    on_new_stacks(1 + round % 4);
}

#[inline(never)]
fn on_new_stacks(left: usize) {
    block(56);
    if left > 0 {
        stacker::grow(256 << 10, || {
            deep::below(left, &mut || block(24));
            deep::recursion(40, 4);
            on_new_stacks(left - 1);
        });
    }
    block(72);
    black_box(());
}

struct Task(Coroutine<(), (), ()>);

// SAFETY: the coroutines here hold nothing across a pause that is a thread's own.
unsafe impl Send for Task {}

/// A coroutine continues after each pause, on this thread and on another one in turn. Some are dropped
/// before they are done, where that is possible: a stack is unwound then.
#[inline(never)]
pub(crate) fn resumed(round: usize) {
    let mut task = Some(Task(Coroutine::new(move |yielder, ()| {
        paused(yielder, 1 + round % 5);
    })));
    for turn in 0..4 + round % 2 {
        let Some(resumable) = task.take() else {
            break;
        };
        task = if turn % 2 == 0 {
            once(resumable)
        } else {
            thread::scope(|scope| scope.spawn(|| once(resumable)).join().expect("no panic"))
        };
        block(40);
    }
    while cfg!(panic = "abort")
        && let Some(resumable) = task.take()
    {
        task = once(resumable);
    }
}

fn once(mut task: Task) -> Option<Task> {
    block(24);
    match task.0.resume(()) {
        CoroutineResult::Yield(()) => Some(task),
        CoroutineResult::Return(()) => None,
    }
}

#[inline(never)]
fn paused(yielder: &Yielder<(), ()>, left: usize) {
    block(56);
    yielder.suspend(());
    deep::below(left, &mut || block(24));
    if left > 0 {
        paused(yielder, left - 1);
    }
    block(72);
    black_box(());
}
