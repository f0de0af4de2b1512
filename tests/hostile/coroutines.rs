//! Coroutines: stacks of the program's own, between which threads change, and which change threads.

use std::hint::black_box;
use std::mem;
use std::sync::Barrier;
use std::thread;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::books::{Block, audit, hold, marked};
use crate::cases;

cases![
    coroutines_that_change_threads_leave_right_books fails with LosesRecords,
];

const THREADS: usize = 3;
const COROUTINES: usize = 20;
/// After so many steps some are dropped, and after so many all others are done.
const DROPPED_AFTER: usize = 5;
const STEPS: usize = 12;

/// Blocks that a coroutine owns; they go with it.
struct Held(Vec<Block>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Block::discard);
    }
}

struct Task(Coroutine<(), (), Vec<Block>>);

// SAFETY: what is on the coroutine's stack are blocks, which any thread may have.
unsafe impl Send for Task {}

#[inline(never)]
fn in_a_coroutine(step: usize, yielder: &Yielder<(), ()>, held: &mut Held) {
    held.0.push(Block::new(marked(step)));
    yielder.suspend(());
    let block = held.0.last_mut().expect("just pushed");
    assert!(block.try_resize(marked(step + 4)));
    Block::new(marked(step + 7)).free();
    let traceback = tracemalloc::get_object_traceback(&block.address).expect("a traced block");
    let functions = traceback.iter().filter_map(|frame| frame.function());
    let own = functions.filter(|name| name.ends_with("in_a_coroutine"));
    assert_eq!(own.count(), 1, "{traceback:#?}");
    black_box(held);
}

fn task(seed: usize) -> Task {
    Task(Coroutine::new(move |yielder, ()| {
        let mut held = Held(Vec::with_capacity(STEPS));
        for step in 0..STEPS {
            in_a_coroutine(seed + step, yielder, &mut held);
        }
        mem::take(&mut held.0)
    }))
}

/// Each thread resumes its coroutines once, then hands them on to the next thread, all at a time.
fn resume_in_turn(mut tasks: Vec<Vec<Task>>) -> Vec<Block> {
    let mut left = Vec::with_capacity(THREADS * COROUTINES * STEPS);
    // One more than there are steps, since the last one ends without a pause.
    for turn in 0..=STEPS {
        let barrier = Barrier::new(THREADS);
        thread::scope(|scope| {
            let threads: Vec<_> = tasks
                .drain(..)
                .map(|tasks| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        resume(tasks, turn)
                    })
                })
                .collect();
            for thread in threads {
                let (going_on, blocks) = thread.join().unwrap();
                tasks.push(going_on);
                left.extend(blocks);
            }
        });
        tasks.rotate_left(1);
    }
    assert!(tasks.iter().all(Vec::is_empty));
    left
}

fn resume(tasks: Vec<Task>, turn: usize) -> (Vec<Task>, Vec<Block>) {
    let mut going_on = Vec::new();
    let mut blocks = Vec::new();
    for (n, mut task) in tasks.into_iter().enumerate() {
        match task.0.resume(()) {
            // Unfinished, on whatever thread this is: its stack is unwound.
            CoroutineResult::Yield(()) if turn == DROPPED_AFTER && n % 2 == 0 => drop(task),
            CoroutineResult::Yield(()) => going_on.push(task),
            CoroutineResult::Return(left) => blocks.extend(left),
        }
    }
    (going_on, blocks)
}

fn coroutines_that_change_threads_leave_right_books() {
    tracemalloc::start(25).unwrap();
    let tasks = (0..THREADS).map(|thread| (0..COROUTINES).map(|n| task(n + 7 * thread)).collect());
    let mut left = resume_in_turn(tasks.collect());
    assert_eq!(left.len(), THREADS * COROUTINES / 2 * STEPS);
    hold(&mut left);
    audit(&left);
}
