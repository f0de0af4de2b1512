//! What is run, and what has to hold when nothing is going on any more.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;

use crate::engine::memory::arena::Arena;
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::{Settings, TraceAlloc, Tracker};
use crate::heap::Heap;
use crate::owner::spawn;
use crate::scopes;

pub(crate) const ALL: &[(&str, fn())] = &[
    ("blocks", blocks),
    ("sessions", sessions),
    ("slots", slots),
    ("external", external),
    ("stacks", stacks),
    ("scopes", scopes::counts),
    ("owners", scopes::owners),
    ("labels", scopes::labels),
];

/// Of three classes, so that records often meet at one place.
pub(crate) const SIZES: [usize; 4] = [100, 120, 300, 5000];

/// A tracker, the heap that it looks on, and blocks that no thread has at the moment.
pub(crate) struct World {
    pub(crate) tracker: &'static Tracker,
    heap: &'static Heap,
    allocator: TraceAlloc<&'static Heap>,
    pub(crate) passed_on: Mutex<Vec<Block>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) address: usize,
    pub(crate) size: usize,
}

impl World {
    pub(crate) fn new(may_fail: bool) -> Arc<Self> {
        // Both are small, and the tracker's tables are given back.
        let tracker: &'static Tracker = Box::leak(Box::new(Tracker::new()));
        let heap: &'static Heap = Box::leak(Box::new(Heap::new(may_fail)));
        let allocator = TraceAlloc::with_tracker(heap, tracker);
        // From the system's allocator blocks are freed in a shorter way.
        let is_system = thread_rng().gen_range(0..2) == 0;
        Arc::new(Self {
            tracker,
            heap,
            allocator: if is_system {
                allocator.like_system()
            } else {
                allocator
            },
            passed_on: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn start(&self) {
        let settings = Settings {
            limit: 1,
            ..Settings::default()
        };
        assert!(self.tracker.start(settings, usize::MAX).is_ok());
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).expect("a small layout")
    }

    pub(crate) fn alloc(&self, size: usize) -> Option<Block> {
        // SAFETY: the layout has a size.
        let block = unsafe { self.allocator.alloc(Self::layout(size)) };
        let address = block.addr();
        (!block.is_null()).then_some(Block { address, size })
    }

    pub(crate) fn realloc(&self, block: Block, size: usize) -> Block {
        let start = std::ptr::without_provenance_mut(block.address);
        // SAFETY: the block is this thread's.
        let moved = unsafe {
            self.allocator
                .realloc(start, Self::layout(block.size), size)
        };
        if moved.is_null() {
            block
        } else {
            let address = moved.addr();
            Block { address, size }
        }
    }

    pub(crate) fn free(&self, block: Block) {
        let start = std::ptr::without_provenance_mut(block.address);
        // SAFETY: the block is this thread's.
        unsafe { self.allocator.dealloc(start, Self::layout(block.size)) }
    }

    /// Some calls at random. `traced`: every block has its record while a thread has it.
    pub(crate) fn act(&self, calls: usize, traced: bool) {
        let mut mine: Vec<Block> = Vec::new();
        for _ in 0..calls {
            let size = SIZES[thread_rng().gen_range(0..SIZES.len())];
            match (thread_rng().gen_range(0..8), mine.pop()) {
                (0..3, Some(block)) => self.free(block),
                (3..6, Some(block)) => mine.push(self.realloc(block, size)),
                (6, Some(block)) => self.passed_on.lock().unwrap().push(block),
                (7, None) => mine.extend(self.passed_on.lock().unwrap().pop()),
                (_, block) => mine.extend([block, self.alloc(size)].into_iter().flatten()),
            }
            if traced && let Some(block) = mine.last() {
                let session = self.tracker.session().expect("tracing");
                let stack = self.tracker.block_at(session, block.address);
                assert!(stack.is_some(), "a block has its record");
            }
        }
        self.passed_on.lock().unwrap().extend(mine);
    }

    /// Nothing is going on: the records are those of live blocks, all of them if `traced`, and the
    /// counters agree with the records.
    fn audit(&self, traced: bool) {
        let Some(session) = self.tracker.session() else {
            assert!(!traced);
            return;
        };
        let mut sizes = Vec::new();
        self.tracker
            .for_each_block(session, |size, _| sizes.push(size as usize));
        let (current, peak) = self.tracker.traced_memory(session);
        assert_eq!(current, sizes.iter().sum::<usize>() as u64);
        assert!(peak >= current);
        let lost = self.tracker.lost(session);
        assert_eq!((lost.blocks, lost.replaced), (0, 0));
        let mut live: Vec<usize> = self.heap.live().into_values().collect();
        if traced {
            sizes.sort_unstable();
            live.sort_unstable();
            assert_eq!(sizes, live);
        } else {
            for size in sizes {
                let at = live.iter().position(|live| *live == size);
                live.swap_remove(at.expect("a record is that of a live block"));
            }
        }
    }
}

/// Runs the tasks as threads to their end.
pub(crate) fn together(tasks: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = tasks.into_iter().map(|task| spawn(task)).collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Three threads allocate, move, free and pass on blocks at few addresses.
fn blocks() {
    let world = World::new(true);
    world.start();
    let tasks = (0..3).map(|_| {
        let world = Arc::clone(&world);
        Box::new(move || world.act(6, true)) as Box<dyn FnOnce() + Send>
    });
    together(tasks.collect());
    world.audit(true);
    for block in world.passed_on.lock().unwrap().drain(..) {
        world.free(block);
    }
    world.audit(true);
}

/// Three threads allocate, move and free blocks while sessions begin and end.
fn sessions() {
    let world = World::new(true);
    world.start();
    let act = |_| {
        let world = Arc::clone(&world);
        Box::new(move || world.act(5, false)) as Box<dyn FnOnce() + Send>
    };
    let mut tasks: Vec<_> = (0..2).map(act).collect();
    let control = Arc::clone(&world);
    tasks.push(Box::new(move || {
        for _ in 0..3 {
            match thread_rng().gen_range(0..4) {
                0 => control.tracker.stop(),
                1 => control.tracker.clear(),
                2 => control.start(),
                _ => {
                    if let Some(session) = control.tracker.session() {
                        control.tracker.reset_peak(session);
                    }
                }
            }
        }
    }));
    together(tasks);
    world.audit(false);
    world.tracker.clear();
    world.audit(false);
    world.start();
    let before = world.tracker.session().expect("tracing");
    assert_eq!(
        world.tracker.traced_memory(before).0,
        0,
        "a new session is empty"
    );
    for block in world.passed_on.lock().unwrap().drain(..) {
        world.free(block);
    }
    world.audit(false);
}

/// Threads come and go, and later ones take the slots of those that have ended.
fn slots() {
    let world = World::new(false);
    world.start();
    let task = |calls: usize| {
        let world = Arc::clone(&world);
        move || world.act(calls, true)
    };
    let long = spawn(task(4));
    let first = spawn(task(2));
    let second = spawn(task(2));
    first.join().expect("no panic");
    let third = spawn(task(2));
    second.join().expect("no panic");
    let fourth = spawn(task(2));
    for thread in [long, third, fourth] {
        thread.join().expect("no panic");
    }
    world.audit(true);
}

/// Sums that threads share.
fn external() {
    let world = World::new(false);
    world.start();
    let task = |_| {
        let world = Arc::clone(&world);
        Box::new(move || {
            let session = world.tracker.session().expect("tracing");
            for (old, new) in [(0, 100), (100, 30), (0, 7)] {
                world.tracker.change_shared(session, old, new);
            }
        }) as Box<dyn FnOnce() + Send>
    };
    together((0..3).map(task).collect());
    let session = world.tracker.session().expect("tracing");
    assert_eq!(world.tracker.traced_memory(session).0, 3 * 37);
}

/// Three threads intern stacks, some of them equal, in a table that grows.
fn stacks() {
    let tables: &'static (Arena, Stacks) = Box::leak(Box::new((Arena::new(), Stacks::new())));
    let known = Arc::new(Mutex::new(Vec::<(StackId, Vec<usize>)>::new()));
    let read = |stack| {
        let mut frames = Vec::new();
        let root = tables.1.read(stack, |address| frames.push(address));
        assert_eq!(root, StackId::COMPLETE);
        frames
    };
    let task = |seed: usize| {
        let known = Arc::clone(&known);
        Box::new(move || {
            let (arena, stacks) = tables;
            for step in 0..12 {
                let leaf = if step % 3 == 0 {
                    step
                } else {
                    100 * seed + step
                };
                let frames = vec![leaf + 1, step / 3 + 101, 1001];
                let stack = stacks
                    .intern(arena, &frames, Path::COMPLETE)
                    .expect("memory");
                assert_eq!(read(stack), frames);
                known.lock().unwrap().push((stack, frames));
            }
        }) as Box<dyn FnOnce() + Send>
    };
    together((1..4).map(task).collect());
    for (stack, frames) in known.lock().unwrap().iter() {
        assert_eq!(&read(*stack), frames, "a number stays what it was");
        let again = tables
            .1
            .intern(&tables.0, frames, Path::COMPLETE)
            .expect("memory");
        assert_eq!(&read(again), frames);
    }
}
