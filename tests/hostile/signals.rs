//! Signal handlers that allocate, wherever they come, and threads that do not get on.

use std::cell::Cell;
use std::ffi::c_int;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tracemalloc::{ErrorKind, Scope};

use crate::allocator::{self, Call, Moment};
use crate::audit::{Block, audit, churn, hold, is_traced, marked};
use crate::stepping::{self, Step, handle};
use crate::{cases, pool};

cases![
    a_handler_inside_every_call_of_the_allocator fails with Locks | LosesRecords,
    a_handler_between_any_two_instructions fails with LosesRecords,
    a_handler_at_a_thousand_hertz fails with Locks | LosesRecords,
    a_handler_on_a_small_stack_of_its_own fails with NeedsStack,
    a_thread_with_the_smallest_stack fails with NeedsStack,
    threads_that_never_give_way_do_not_stop_others,
    a_scope_that_is_opened_inside_of_another_opening_is_an_error,
];

/// Traced blocks that handlers free, one after the other.
const PREY: usize = 20_000;
static PREY_OF: [AtomicPtr<u8>; PREY] = [const { AtomicPtr::new(ptr::null_mut()) }; PREY];
static NEXT_PREY: AtomicUsize = AtomicUsize::new(0);
const PREY_SIZE: usize = 2 * 64 + 13;

pub(crate) fn prepare_prey(count: usize) {
    for prey in &PREY_OF[..count] {
        let block = Block::new(PREY_SIZE);
        prey.store(block.address, Ordering::SeqCst);
    }
}

/// Allocates, resizes and frees; frees also a block that was recorded before.
pub(crate) fn work_in_handler() {
    let mut block = black_box(Vec::<u8>::with_capacity(40));
    block.push(1);
    block.reserve_exact(700);
    drop(black_box(block));
    let prey = NEXT_PREY.fetch_add(1, Ordering::SeqCst);
    if let Some(prey) = PREY_OF.get(prey) {
        let address = prey.swap(ptr::null_mut(), Ordering::SeqCst);
        if !address.is_null() {
            let block = Block {
                address,
                size: PREY_SIZE,
            };
            block.free();
        }
    }
}

/// What handlers have left, as blocks.
pub(crate) fn rest_of_prey() -> Vec<Block> {
    let rest = PREY_OF.iter().map(|prey| prey.load(Ordering::SeqCst));
    rest.filter(|address| !address.is_null())
        .map(|address| Block {
            address,
            size: PREY_SIZE,
        })
        .collect()
}

extern "C" fn on_signal(_: c_int) {
    work_in_handler();
}

fn raise_in_call(_: Call, _: Moment) {
    // SAFETY: the signal is handled.
    unsafe { libc::raise(libc::SIGUSR1) };
}

fn a_handler_inside_every_call_of_the_allocator() {
    let mut held = Vec::with_capacity(PREY + 400);
    tracemalloc::start(25).unwrap();
    prepare_prey(PREY);
    handle(libc::SIGUSR1, on_signal as extern "C" fn(c_int) as usize, 0);
    allocator::set_script(raise_in_call);
    churn(5, 3_000, &mut held);
    allocator::clear_script();
    assert!(NEXT_PREY.load(Ordering::SeqCst) > 6_000);
    held.extend(rest_of_prey());
    audit(&held);
}

fn at_step(step: Step) -> bool {
    if !allocator::is_at_work() && (step.locked || step.count.is_multiple_of(5)) {
        work_in_handler();
    }
    true
}

/// What the tracer does with a block, in all its parts: a new stack, a known one, a moved block.
fn life_of_a_block(sizes: [usize; 3]) -> Option<Block> {
    let mut block = Block::new(sizes[0]);
    assert!(block.try_resize(sizes[1]));
    Block::new(sizes[2]).free();
    if sizes[0].is_multiple_of(2) {
        block.free();
        return None;
    }
    Some(block)
}

#[inline(never)]
fn at_depth<R>(depth: usize, work: &dyn Fn() -> R) -> R {
    let result = if depth == 0 {
        work()
    } else {
        at_depth(black_box(depth - 1), work)
    };
    black_box(result)
}

fn a_handler_between_any_two_instructions() {
    let mut held = Vec::with_capacity(PREY + 240);
    tracemalloc::start(25).unwrap();
    hold(&mut held);
    prepare_prey(PREY);
    let mut steps = 0;
    // At first not step by step: to work out every step of the walk takes millions of instructions
    // without optimisation.
    let passes: [stepping::AtStep; 3] = [|_| false, at_step, at_step];
    for (round, at_step) in passes.into_iter().enumerate() {
        let sizes = [marked(round), marked(round + 5), marked(round + 9)];
        // Each depth is a stack of its own.
        let (left, count) =
            stepping::run(at_step, || at_depth(2 - round, &|| life_of_a_block(sizes)));
        println!("{count} instructions");
        held.extend(left);
        steps += count;
    }
    assert!(steps > 2_000, "{steps}");
    held.extend(rest_of_prey());
    audit(&held);
}

fn a_handler_at_a_thousand_hertz() {
    let mut held = Vec::with_capacity(PREY + 4 * 200);
    tracemalloc::start(25).unwrap();
    prepare_prey(PREY);
    handle(libc::SIGPROF, on_signal as extern "C" fn(c_int) as usize, 0);
    let every = |microseconds| {
        let value = libc::timeval {
            tv_sec: 0,
            tv_usec: microseconds,
        };
        let timer = libc::itimerval {
            it_interval: value,
            it_value: value,
        };
        // SAFETY: the timer is read.
        let set = unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
        assert_eq!(set, 0);
    };
    every(1000);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|seed| {
                scope.spawn(move || {
                    let mut held = Vec::with_capacity(200);
                    for round in 0.. {
                        churn(seed + round, 500, &mut held);
                        if NEXT_PREY.load(Ordering::SeqCst) > 300 {
                            break;
                        }
                    }
                    held
                })
            })
            .collect();
        for thread in threads {
            held.extend(thread.join().unwrap());
        }
    });
    every(0);
    held.extend(rest_of_prey());
    audit(&held);
}

extern "C" fn allocate_in_handler(_: c_int) {
    let mut block = black_box(Vec::<u8>::with_capacity(10));
    block.reserve_exact(5000);
}

/// How much of a stack the handler of a signal takes, the kernel's part of it included.
fn stack_taken(stack: &'static [AtomicU8], raises: usize) -> usize {
    const PAINT: u8 = 0xa5;
    stack
        .iter()
        .for_each(|byte| byte.store(PAINT, Ordering::Relaxed));
    for _ in 0..raises {
        // SAFETY: the signal is handled, on that stack.
        unsafe { libc::raise(libc::SIGUSR1) };
    }
    let untouched = stack
        .iter()
        .take_while(|byte| byte.load(Ordering::Relaxed) == PAINT);
    stack.len() - untouched.count()
}

/// What tracing needs of a handler's stack, or a thread's, beyond what the program needs by itself.
/// Of the smallest that there are, 8 KiB, something must be left.
fn a_handler_on_a_small_stack_of_its_own() {
    const SIZE: usize = 64 << 10;
    const MOST: usize = 2 << 10;
    // More in a tag, because an event interns its label.
    const MOST_IN_A_TAG: usize = 3 << 10;
    let memory = pool::map(SIZE);
    // SAFETY: zeroed memory of that size, which stays.
    let bytes = unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU8>(), SIZE) };
    let stack = libc::stack_t {
        ss_sp: memory.cast(),
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: the memory stays.
    let set = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    assert_eq!(set, 0);
    let handler = allocate_in_handler as extern "C" fn(c_int) as usize;
    handle(libc::SIGUSR1, handler, libc::SA_ONSTACK);
    let untraced = stack_taken(bytes, 20);
    tracemalloc::start(25).unwrap();
    let at_first = stack_taken(bytes, 1);
    let later = stack_taken(bytes, 20);
    let _tag = tracemalloc::tag("small");
    let tagged = stack_taken(bytes, 20);
    let traced = at_first.max(later);
    println!("{untraced} bytes untraced, {at_first} at first, {later} later, {tagged} in a tag");
    assert!(traced < untraced + MOST, "{untraced} {at_first} {later}");
    assert!(tagged < untraced + MOST_IN_A_TAG, "{untraced} {tagged}");
    audit(&[]);
}

fn a_thread_with_the_smallest_stack() {
    tracemalloc::start(25).unwrap();
    for _ in 0..10 {
        let small = thread::Builder::new().stack_size(16 << 10);
        let thread = small.spawn(|| {
            let mut block = Block::new(77);
            assert!(block.try_resize(64 * 100 + 13));
            block
        });
        let block = thread.unwrap().join().unwrap();
        assert!(is_traced(block.address.addr()));
        block.free();
    }
    audit(&[]);
}

thread_local! {
    static ROUNDS: Cell<usize> = const { Cell::new(0) };
}

/// Two threads that are always preferred and one that is not share a processor. If the last one
/// held something that the others wait for without sleeping, nobody would get on.
fn threads_that_never_give_way_do_not_stop_others() {
    tracemalloc::start(25).unwrap();
    let done = [const { AtomicBool::new(false) }; 3];
    let permitted = AtomicBool::new(true);
    thread::scope(|scope| {
        for (n, done) in done.iter().enumerate() {
            let permitted = &permitted;
            scope.spawn(move || {
                pin_to_one_processor();
                if n > 0 && !prefer_this_thread() {
                    permitted.store(false, Ordering::Relaxed);
                }
                let mut held = Vec::with_capacity(100);
                let begin = Instant::now();
                for round in 0..200 {
                    churn(n + round, 50, &mut held);
                    // Short of what the system takes from such threads by itself.
                    if begin.elapsed() > Duration::from_millis(400) {
                        break;
                    }
                }
                held.into_iter().for_each(|block| block.discard());
                done.store(true, Ordering::Relaxed);
            });
        }
    });
    if !permitted.load(Ordering::Relaxed) {
        println!("SCHED_FIFO is not permitted here: the threads ran as ordinary ones");
    }
    assert!(done.iter().all(|done| done.load(Ordering::Relaxed)));
    audit(&[]);
}

fn pin_to_one_processor() {
    // SAFETY: zeroed is an empty set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let len = size_of::<libc::cpu_set_t>();
    // SAFETY: the set has that size.
    unsafe { libc::sched_getaffinity(0, len, &raw mut allowed) };
    // SAFETY: the set is valid.
    let first = (0..1024).find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &allowed) });
    // SAFETY: zeroed is an empty set.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid.
    unsafe { libc::CPU_SET(first.unwrap_or(0), &mut one) };
    // SAFETY: the set has that size.
    unsafe { libc::sched_setaffinity(0, len, &raw const one) };
}

fn prefer_this_thread() -> bool {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads the parameter.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) == 0 }
}

/// As a handler would that interrupts the opening of a scope: at every call of the allocator in it.
fn a_scope_that_is_opened_inside_of_another_opening_is_an_error() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    fn open_another(_: Call, _: Moment) {
        for scope in [Scope::open(), Scope::recording()] {
            match scope {
                // The other one is not being opened yet, or any more.
                Ok(scope) => drop(scope.close()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                    REFUSED.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
    let open = || {
        let scopes = [Scope::open().unwrap(), Scope::recording().unwrap()];
        let block = Block::new(marked(5));
        let usage = scopes[0].usage();
        assert_eq!(scopes[1].snapshot().unwrap().block_count(), 1);
        block.free();
        usage
    };
    let expected = open();
    allocator::set_script(open_another);
    let usage = open();
    allocator::clear_script();
    assert!(REFUSED.load(Ordering::SeqCst) > 0);
    assert_eq!(
        (usage.allocations, usage.peak),
        (expected.allocations, expected.peak)
    );
    assert_eq!(open(), expected);
}
