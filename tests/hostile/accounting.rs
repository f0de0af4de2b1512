//! The order of operations, and whether counters and records agree.

use std::alloc::Layout;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::allocator::{self, Call, Moment};
use crate::audit::{Block, audit, churn, current, is_traced, marked};
use crate::cases;
use crate::stepping::{self, Step};

cases![
    an_address_changes_hands_before_dealloc_returns fails with ForgetsLate,
    an_address_changes_hands_before_realloc_returns fails with LosesRecords,
    threads_that_allocate_and_free_pass_the_audit
        fails with LosesRecords | KeepsRecords,
    a_null_answer_at_any_call_changes_nothing fails with CountsFailures | ForgetsOnFailure,
    a_large_realloc_stays_a_realloc fails with Copies,
    sizes_beyond_four_gib_are_counted_in_full fails with Copies,
    blocks_of_every_alignment_are_recorded fails with LosesRecords,
    blocks_that_move_are_always_counted fails with Copies,
    thousands_of_threads_come_and_go fails with KeepsRecords,
];

/// The thread that waits for an address, and the one that gives it up.
static FREED: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicBool = AtomicBool::new(false);
static CALL: AtomicUsize = AtomicUsize::new(usize::MAX);

fn wait_for(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        thread::yield_now();
    }
}

/// Lets the other thread allocate as soon as the address is free, and waits until it has.
fn hand_off(call: Call, moment: Moment) {
    if call as usize == CALL.load(Ordering::Relaxed)
        && moment == Moment::After
        && !FREED.swap(true, Ordering::AcqRel)
    {
        wait_for(&TAKEN);
    }
}

fn race(call: Call, give_up: impl FnOnce(Block) -> Vec<Block> + Send) {
    const SIZE: usize = 4 * 64 + 13;
    tracemalloc::start(25).unwrap();
    CALL.store(call as usize, Ordering::SeqCst);
    let mut blocks = Vec::with_capacity(4);
    let block = Block::new(SIZE);
    let address = block.address.addr();
    let started = Barrier::new(2);
    thread::scope(|scope| {
        let taker = scope.spawn(|| {
            started.wait();
            wait_for(&FREED);
            let block = Block::new(SIZE);
            TAKEN.store(true, Ordering::Release);
            block
        });
        started.wait();
        allocator::set_script(hand_off);
        let left = give_up(block);
        allocator::clear_script();
        let taken = taker.join().unwrap();
        assert_eq!(taken.address.addr(), address, "the same address");
        blocks.push(taken);
        blocks.extend(left);
    });
    audit(&blocks);
}

fn an_address_changes_hands_before_dealloc_returns() {
    race(Call::Dealloc, |block| {
        block.free();
        Vec::new()
    });
}

fn an_address_changes_hands_before_realloc_returns() {
    race(Call::Realloc, |mut block| {
        // Another class, so that the block has to move.
        assert!(block.try_resize(100 * 64 + 13));
        vec![block]
    });
    let mut held = Vec::with_capacity(300);
    tracemalloc::clear_traces();
    allocator::always_move();
    churn(1, 2_000, &mut held);
    audit(&held);
}

fn threads_that_allocate_and_free_pass_the_audit() {
    let mut all = Vec::with_capacity(4 * 400);
    tracemalloc::start(25).unwrap();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                scope.spawn(move || {
                    let mut held = Vec::with_capacity(400);
                    churn(seed, 10_000, &mut held);
                    held
                })
            })
            .collect();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
    });
    audit(&all);
    // Whoever frees them, they are gone.
    let addresses: Vec<usize> = all.into_iter().map(Block::free).collect();
    audit(&[]);
    assert!(!addresses.iter().take(50).any(|address| is_traced(*address)));
}

fn a_null_answer_at_any_call_changes_nothing() {
    let mut held = Vec::with_capacity(64);
    tracemalloc::start(25).unwrap();
    for round in 0..24 {
        // One of the three calls below answers with null.
        allocator::fail_in(round % 3);
        let Some(mut block) = Block::try_new(marked(round as usize)) else {
            continue;
        };
        for step in 1..3 {
            block.try_resize(marked(round as usize + step));
        }
        assert!(allocator::has_failed());
        held.push(block);
    }
    // Nobody looks at what is asked for here, so it has no name to be found by.
    let mut room: Vec<u8> = Vec::new();
    assert!(black_box(&mut room).try_reserve_exact(1 << 46).is_err());
    assert_eq!(held.len(), 16);
    audit(&held);
    let before = current();
    let freed: usize = held.iter().map(|block| block.size).sum();
    held.into_iter().for_each(|block| block.discard());
    assert_eq!(current(), before - freed as u64);
}

/// Bytes of physical memory that the process had at most, and has now.
fn resident(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<usize>().unwrap() << 10
}

fn a_large_realloc_stays_a_realloc() {
    const SIZE: usize = 256 << 20;
    allocator::use_system();
    tracemalloc::start(25).unwrap();
    let mut block: Vec<u8> = Vec::with_capacity(SIZE);
    block.resize(SIZE, 1);
    let before = resident("VmRSS:");
    // What lies behind is taken, so the block cannot grow in place.
    let _behind = black_box(Vec::<u8>::with_capacity(SIZE));
    for times in 2..6 {
        block.reserve_exact(times * SIZE - block.len());
    }
    let peak = resident("VmHWM:");
    assert!(
        peak < before + SIZE / 4,
        "the pages were copied: {before} {peak}"
    );
    assert!(current() >= 5 * SIZE as u64);
}

fn sizes_beyond_four_gib_are_counted_in_full() {
    const GIB: usize = 1 << 30;
    allocator::use_system();
    tracemalloc::start(25).unwrap();
    let before = current();
    let mut block: Vec<u8> = Vec::with_capacity(5 * GIB);
    assert_eq!(current() - before, 5 * GIB as u64);
    block.reserve_exact(9 * GIB);
    assert_eq!(current() - before, 9 * GIB as u64);
    drop(block);
    assert_eq!(current(), before);
    // Old and new are never counted together.
    tracemalloc::reset_peak();
    let mut block: Vec<u8> = Vec::with_capacity(GIB);
    block.reserve_exact(2 * GIB);
    let peak = tracemalloc::get_traced_memory().peak;
    assert!(peak - before < 2 * GIB as u64 + 4096, "{peak}");
}

fn blocks_of_every_alignment_are_recorded() {
    allocator::use_system();
    tracemalloc::start(25).unwrap();
    let mut blocks = Vec::with_capacity(200);
    let before = current();
    for bits in 0..20 {
        for size in [1, 77, 5000, 100_000, 77 + (1 << bits)] {
            let layout = Layout::from_size_align(size, 1 << bits).unwrap();
            // SAFETY: the layout has a size.
            let block = unsafe { std::alloc::alloc_zeroed(layout) };
            assert!(!block.is_null() && block.addr().is_multiple_of(1 << bits));
            blocks.push((block, layout));
        }
    }
    let sum: usize = blocks.iter().map(|(_, layout)| layout.size()).sum();
    assert_eq!(current() - before, sum as u64);
    assert_eq!(
        tracemalloc::take_snapshot().unwrap().total_size(),
        current()
    );
    let layout = Layout::from_size_align(isize::MAX as usize & !7, 8).unwrap();
    // SAFETY: the layout has a size.
    let refused = black_box(unsafe { std::alloc::alloc(layout) });
    assert!(refused.is_null());
    for (block, layout) in &blocks {
        // SAFETY: a block of this layout, given above.
        unsafe { std::alloc::dealloc(*block, *layout) };
    }
    assert_eq!(current(), before);
}

/// What must be counted at every step of a move, and how many steps it was not.
static EXPECTED: AtomicU64 = AtomicU64::new(0);
static DIFFERENT: AtomicUsize = AtomicUsize::new(0);

fn count_at_step(_: Step) -> bool {
    if current() != EXPECTED.load(Ordering::Relaxed) {
        DIFFERENT.fetch_add(1, Ordering::Relaxed);
    }
    true
}

/// Whatever moment is looked at, a block that is being moved counts once. (In a snapshot it need not:
/// its old record and its new one may both be seen, or neither.)
fn blocks_that_move_are_always_counted() {
    const THREADS: usize = 3;
    const SIZE: usize = 64 * 64 + 13;
    tracemalloc::start(25).unwrap();
    allocator::always_move();
    let mut block = Block::new(SIZE);
    EXPECTED.store(current(), Ordering::Relaxed);
    // At first not step by step: what is done only once would take millions of steps.
    let passes: [stepping::AtStep; 2] = [|_| false, count_at_step];
    for at_step in passes {
        let (moved, _) = stepping::run(at_step, || block.try_resize(SIZE));
        assert!(moved);
    }
    block.free();
    assert_eq!(DIFFERENT.load(Ordering::Relaxed), 0, "steps of a move");
    // And as other threads see it.
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut block = Block::new(SIZE);
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    assert!(block.try_resize(SIZE));
                }
                block.free();
            });
        }
        ready.wait();
        let all = current();
        let seen = (0..20_000)
            .map(|_| current())
            .find(|current| *current != all);
        // Before anything can panic, or the threads would go on for ever.
        stop.store(true, Ordering::Relaxed);
        assert_eq!(seen, None, "{all}");
    });
    audit(&[]);
}

fn thousands_of_threads_come_and_go() {
    tracemalloc::start(25).unwrap();
    let own = tracemalloc::get_tracemalloc_memory();
    let mut held = Vec::with_capacity(4_000);
    for round in 0..250 {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                thread::spawn(move || {
                    Block::new(marked(n)).free();
                    Block::new(marked(round * 8 + n))
                })
            })
            .collect();
        for thread in threads {
            held.push(thread.join().unwrap());
        }
    }
    let grown = tracemalloc::get_tracemalloc_memory() - own;
    assert!(grown < 16 << 20, "{grown}");
    audit(&held);
    // At one time, too.
    let threads: Vec<_> = (0..400)
        .map(|n| {
            let builder = thread::Builder::new().stack_size(64 << 10);
            builder.spawn(move || Block::new(marked(n))).unwrap()
        })
        .collect();
    held.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    // The threads that made the blocks have ended; others free them.
    held.into_iter().for_each(|block| block.discard());
    audit(&[]);
}
