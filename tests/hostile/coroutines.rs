//! Coroutines: stacks of the program's own, between which threads change, and which change threads.

use std::hint::black_box;
use std::mem;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::Barrier;
use std::thread;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::audit::{Block, audit, hold, marked};
use crate::cases;

cases![
    coroutines_that_change_threads_pass_the_audit fails with LosesRecords,
];

const THREADS: usize = 3;
const COROUTINES: usize = 20;
/// Some coroutines are dropped after this many steps; all others end after [`STEPS`].
const DROPPED_AFTER: usize = 5;
const STEPS: usize = 12;

/// Blocks that a coroutine owns; they go with it.
struct Held(Vec<Block>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Block::discard);
    }
}

/// A stack with memory on neither side of it: what is read or written beyond it ends the process.
struct Alone {
    start: *mut libc::c_void,
}

impl Alone {
    const PAGE: usize = 4096;
    /// Names are looked up on it.
    const ROOM: usize = 2 << 20;
    const WHOLE: usize = Self::ROOM + 2 * Self::PAGE;

    fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh mapping touches nothing that exists.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), Self::WHOLE, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let room = start.wrapping_byte_add(Self::PAGE);
        // SAFETY: inside of the mapping, which is this value's own.
        assert_eq!(unsafe { libc::mprotect(room, Self::ROOM, access) }, 0);
        Self { start }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // SAFETY: this value's own mapping, on which nothing runs any more.
        unsafe { libc::munmap(self.start, Self::WHOLE) };
    }
}

// SAFETY: the room between the two pages is readable, writable and aligned, and stays.
unsafe impl Stack for Alone {
    fn base(&self) -> StackPointer {
        let end = self.start.expose_provenance() + Self::PAGE + Self::ROOM;
        NonZeroUsize::new(end).expect("not at 0")
    }

    fn limit(&self) -> StackPointer {
        let start = self.start.expose_provenance();
        NonZeroUsize::new(start).expect("not at 0")
    }
}

struct Task(Coroutine<(), (), Vec<Block>, Alone>);

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
    // Once, and below it who has resumed the coroutine, whatever stack that is on.
    for function in ["in_a_coroutine", "coroutines::resume"] {
        let functions = traceback.iter().filter_map(|frame| frame.function());
        let found = functions.filter(|name| name.ends_with(function));
        assert_eq!(found.count(), 1, "{function}: {traceback:#?}");
    }
    black_box(held);
}

fn task(seed: usize) -> Task {
    Task(Coroutine::with_stack(Alone::new(), move |yielder, ()| {
        let mut held = Held(Vec::with_capacity(STEPS));
        for step in 0..STEPS {
            in_a_coroutine(seed + step, yielder, &mut held);
        }
        mem::take(&mut held.0)
    }))
}

/// Each thread resumes its coroutines once, then hands them on to the next thread, all at a time. At
/// first it makes them: their stacks are mapped after its own and lie below, as far as systems map
/// downwards, so that they could be taken for a part of it.
fn resume_in_turn() -> Vec<Block> {
    let mut tasks: Vec<Vec<Task>> = (0..THREADS).map(|_| Vec::new()).collect();
    let mut left = Vec::with_capacity(THREADS * COROUTINES * STEPS);
    // One more than there are steps, since the last one ends without a pause.
    for turn in 0..=STEPS {
        let barrier = Barrier::new(THREADS);
        thread::scope(|scope| {
            let threads: Vec<_> = tasks
                .drain(..)
                .enumerate()
                .map(|(thread, mut tasks)| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        if turn == 0 {
                            tasks.extend((0..COROUTINES).map(|n| task(n + 7 * thread)));
                        }
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

fn coroutines_that_change_threads_pass_the_audit() {
    tracemalloc::start(25).unwrap();
    let mut left = resume_in_turn();
    assert_eq!(left.len(), THREADS * COROUTINES / 2 * STEPS);
    hold(&mut left);
    audit(&left);
}
