//! Forks at every moment. What is promised is CPython's: the child traces on.

use std::cell::Cell;
use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tracemalloc::{Config, Domain};

use crate::allocator::{self, Call, Moment};
use crate::books::{Block, audit, churn, current, marked};
use crate::cases;
use crate::planted::stay_inside;
use crate::stepping::{self, Step};

cases![
    a_fork_inside_every_call_of_the_allocator fails with StaysInside,
    a_fork_at_every_step_of_an_event fails with StaysInside,
    a_fork_while_another_thread_is_anywhere_in_an_event fails with Locks,
    a_fork_while_another_thread_changes_the_regions,
    a_fork_while_another_thread_names_addresses,
    forks_on_eight_threads fails with Locks,
    children_of_children_lose_nothing,
    a_child_that_allocates_before_it_becomes_another_program,
    a_child_that_shares_memory_may_allocate,
];

const DOMAIN: Domain = Domain(7);

thread_local! {
    /// This is the child of a fork in a signal handler or a script, and has to check itself.
    static IS_CHILD: Cell<bool> = const { Cell::new(false) };
}

/// The child traces: blocks, regions, and if `whole` snapshots.
fn works(whole: bool) -> bool {
    let before = current();
    let mut block = Block::new(marked(3));
    let traced = current() == before + block.size as u64;
    let moved = block.try_resize(marked(40)) && current() == before + block.size as u64;
    let tracked = tracemalloc::track(DOMAIN, 0xd000, 1000).is_ok()
        && current() == before + block.size as u64 + 1000;
    let untracked = tracemalloc::untrack(DOMAIN, 0xd000).is_ok();
    let known = !whole || {
        let snapshot = tracemalloc::take_snapshot();
        snapshot.is_ok_and(|snapshot| snapshot.traces().any(|trace| trace.size == 1000 << 10))
            && block.is_traced()
    };
    block.free();
    traced && moved && tracked && untracked && known && current() == before
}

fn exit(success: bool) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(if success { 0 } else { 1 }) }
}

/// Forks. True in the child; in the parent when the child has ended well.
fn fork() -> bool {
    // SAFETY: what a child may do is what is tested.
    match unsafe { libc::fork() } {
        0 => {
            // If this one hangs, it ends with its parent, which is killed then.
            // SAFETY: takes numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            true
        }
        process => {
            wait_for(process);
            false
        }
    }
}

fn wait_for(process: libc::pid_t) {
    if process < 0 {
        die("fork failed");
    }
    let mut status = 0;
    loop {
        // SAFETY: waits for the child just made.
        let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
        if ended == process {
            break;
        }
    }
    if status != 0 {
        die("a child failed");
    }
}

/// Not a panic: this may be inside of everything.
fn die(message: &'static str) -> ! {
    // SAFETY: that many bytes are there.
    unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
    exit(false)
}

/// Starts with everything that a child looks for there already, named.
fn start() -> Vec<u8> {
    tracemalloc::start(25).unwrap();
    let held = black_box(vec![1_u8; 1000 << 10]);
    for _ in 0..2 {
        assert!(works(true), "in the parent");
    }
    held
}

/// Names are looked up anew in each child, so not in every one.
fn check_in_child(whole: bool) {
    if IS_CHILD.get() {
        exit(works(whole));
    }
}

/// The call that the child is in the middle of comes to its end before the child checks itself.
fn fork_in_call(_: Call, _: Moment) {
    if fork() {
        stay_inside();
        IS_CHILD.set(true);
        allocator::clear_script();
    }
}

fn a_fork_inside_every_call_of_the_allocator() {
    let held = start();
    for round in 0..6 {
        allocator::set_script(fork_in_call);
        let mut block = Block::new(marked(round));
        check_in_child(round == 0);
        assert!(block.try_resize(marked(round + 5)));
        check_in_child(false);
        block.free();
        check_in_child(false);
        allocator::clear_script();
    }
    assert!(works(true));
    drop(held);
}

/// Steps that were forked at; most are not worth it.
static FORKED: AtomicUsize = AtomicUsize::new(0);
/// One of so many steps is forked at, and every locked instruction.
static EVERY: AtomicUsize = AtomicUsize::new(1);
const MOST_FORKS: usize = 400;

fn is_due(step: Step) -> bool {
    let often = FORKED.load(Ordering::Relaxed) < MOST_FORKS;
    often && (step.locked || step.count.is_multiple_of(EVERY.load(Ordering::Relaxed)))
}

fn fork_at_step(step: Step) -> bool {
    if !is_due(step) {
        return true;
    }
    FORKED.fetch_add(1, Ordering::Relaxed);
    let child = fork();
    if child {
        stay_inside();
        IS_CHILD.set(true);
    }
    !child
}

fn event(round: usize) {
    let mut block = Block::new(marked(round));
    assert!(block.try_resize(marked(round + 5)));
    block.free();
}

/// Does `work` three times from one place: at first not step by step, so that what is done only once
/// is done, then to count its instructions, and then with `at_step` at a hundred of them and all
/// locked ones.
fn step_through(at_step: stepping::AtStep, work: impl Fn()) {
    let passes: [stepping::AtStep; 3] = [|_| false, |_| true, at_step];
    for (pass, at_step) in passes.into_iter().enumerate() {
        FORKED.store(0, Ordering::SeqCst);
        let ((), steps) = stepping::run(at_step, &work);
        assert!(pass == 0 || steps > 500 || IS_CHILD.get(), "{steps}");
        EVERY.store(steps / 100 + 1, Ordering::SeqCst);
    }
}

fn a_fork_at_every_step_of_an_event() {
    let held = start();
    for round in 0..3 {
        step_through(fork_at_step, || event(round));
        if IS_CHILD.get() {
            // Names of this place are not known, and need not be.
            exit(works(false));
        }
        assert!(FORKED.load(Ordering::SeqCst) >= 50);
    }
    drop(held);
}

/// What the forking thread is asked for, and has done.
static ASKED: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
static OVER: AtomicBool = AtomicBool::new(false);
static PATIENCE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Asks the other thread for a fork and waits for it; not for ever, if it may have to wait for this
/// one.
fn ask_at_step(step: Step) -> bool {
    let asked = ASKED.load(Ordering::SeqCst);
    if !is_due(step) || DONE.load(Ordering::SeqCst) != asked {
        return true;
    }
    FORKED.fetch_add(1, Ordering::Relaxed);
    ASKED.store(asked + 1, Ordering::SeqCst);
    let mut left = PATIENCE.load(Ordering::Relaxed);
    while DONE.load(Ordering::SeqCst) != asked + 1 && left > 0 {
        left -= 1;
        let pause = libc::timespec {
            tv_sec: 0,
            tv_nsec: 100_000,
        };
        // SAFETY: reads the time to wait.
        unsafe { libc::nanosleep(&raw const pause, ptr::null_mut()) };
    }
    true
}

/// One thread does `work` step by step, another one forks in between.
fn with_a_forking_thread(patience: usize, whole: bool, work: impl Fn(usize) + Sync) {
    let held = start();
    PATIENCE.store(patience, Ordering::SeqCst);
    thread::scope(|scope| {
        let forking = scope.spawn(|| {
            // The names of this place are looked up before the first fork.
            let mut first = true;
            let mut forks = 0;
            loop {
                while DONE.load(Ordering::SeqCst) == ASKED.load(Ordering::SeqCst) && !first {
                    if OVER.load(Ordering::SeqCst) {
                        return forks;
                    }
                    thread::yield_now();
                }
                let child = !first && fork();
                if child || first {
                    let works = works(whole);
                    if child {
                        exit(works);
                    }
                    assert!(works);
                    first = false;
                    ASKED.store(1, Ordering::SeqCst);
                    DONE.store(1, Ordering::SeqCst);
                    continue;
                }
                forks += 1;
                DONE.store(ASKED.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        });
        while DONE.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        for round in 0..3 {
            step_through(ask_at_step, || work(round));
        }
        OVER.store(true, Ordering::SeqCst);
        let forks = forking.join().unwrap();
        assert!(forks >= 30, "{forks}");
    });
    assert!(works(true));
    drop(held);
}

fn a_fork_while_another_thread_is_anywhere_in_an_event() {
    with_a_forking_thread(usize::MAX, false, event);
}

/// A fork waits for a thread that changes the table of regions, and finds it in order in the child.
/// Seen to hang without the handlers of `src/sections.rs`.
fn a_fork_while_another_thread_changes_the_regions() {
    with_a_forking_thread(30, false, |round| {
        tracemalloc::track(DOMAIN, 0xe000 + round, 10).unwrap();
        tracemalloc::untrack(DOMAIN, 0xe000 + round).unwrap();
    });
}

/// While addresses are named the inner allocator is slow, so that forks fall into that time.
fn a_fork_while_another_thread_names_addresses() {
    static SLOW: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static IS_SLOW: Cell<bool> = const { Cell::new(false) };
    }
    fn dawdle(_: Call, _: Moment) {
        if IS_SLOW.get() && SLOW.fetch_add(1, Ordering::SeqCst).is_multiple_of(20) {
            thread::sleep(Duration::from_micros(200));
        }
    }
    let held = start();
    thread::scope(|scope| {
        scope.spawn(|| {
            IS_SLOW.set(true);
            for allocate in ONE_OF_MANY {
                // Addresses that have no name yet.
                let held = allocate();
                assert!(tracemalloc::take_snapshot().is_ok());
                held.free();
            }
            OVER.store(true, Ordering::SeqCst);
        });
        allocator::set_script(dawdle);
        let mut forks = 0;
        while !OVER.load(Ordering::SeqCst) {
            let slow = SLOW.load(Ordering::SeqCst);
            // Only in the middle of something.
            while SLOW.load(Ordering::SeqCst) < slow + 30 && !OVER.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            if fork() {
                allocator::clear_script();
                exit(works(false) && tracemalloc::take_snapshot().is_ok());
            }
            forks += 1;
        }
        allocator::clear_script();
        assert!(forks > 3, "{forks}");
    });
    drop(held);
}

/// Functions that differ, so that no two return to the same address.
const ONE_OF_MANY: [fn() -> Block; 5] = [
    || Block::new(black_box(77)),
    || Block::new(black_box(141)),
    || Block::new(black_box(205)),
    || Block::new(black_box(269)),
    || Block::new(black_box(333)),
];

/// `TRACEMALLOC_FORKS` for each of eight threads, while others do everything that there is.
fn forks_on_eight_threads() {
    let forks = std::env::var("TRACEMALLOC_FORKS");
    let forks: usize = forks.map_or(25, |forks| forks.parse().expect("a number"));
    let held = start();
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = Vec::with_capacity(100);
            for round in 0.. {
                churn(round, 50, &mut held);
                if !busy.load(Ordering::Relaxed) {
                    break;
                }
            }
            held.into_iter().for_each(|block| block.discard());
        });
        scope.spawn(|| {
            while busy.load(Ordering::Relaxed) {
                let block = Block::new(77);
                tracemalloc::track(DOMAIN, block.address.addr(), 5).unwrap();
                assert!(tracemalloc::take_snapshot().is_ok());
                tracemalloc::untrack(DOMAIN, block.address.addr()).unwrap();
                block.free();
                thread::sleep(Duration::from_millis(5));
            }
        });
        thread::scope(|forking| {
            for _ in 0..8 {
                forking.spawn(|| {
                    for round in 0..=forks {
                        // At first the names of this place are looked up.
                        let child = round > 0 && fork();
                        if child || round == 0 {
                            // In the parent other threads change the sums meanwhile.
                            let works = works(round % 10 == 0);
                            if child {
                                exit(works && restarts());
                            }
                        }
                    }
                });
            }
        });
        busy.store(false, Ordering::Relaxed);
    });
    drop(held);
    audit(&[]);
}

fn restarts() -> bool {
    tracemalloc::stop();
    if tracemalloc::start(3).is_err() {
        return false;
    }
    let before = current();
    let block = Block::new(77);
    let traced = current() == before + 77;
    block.free();
    traced
}

#[inline(never)]
fn deep(depth: usize) {
    if depth == 0 {
        Block::new(77).free();
    } else {
        deep(black_box(depth - 1));
    }
    black_box(());
}

/// Each process forks while its threads have borrowed memory of the tracer's. What they have is not
/// theirs any more in the child: there would be none left in the end.
fn children_of_children_lose_nothing() {
    const GENERATIONS: usize = 120;
    const THREADS: usize = 8;
    // More frames than are remembered: each is a capture of its own, in borrowed memory.
    Config::new().frames(1500).start().unwrap();
    let own = tracemalloc::get_tracemalloc_memory();
    for _ in 0..GENERATIONS {
        let ready = std::sync::Arc::new(std::sync::Barrier::new(THREADS + 1));
        for n in 0..THREADS {
            let ready = ready.clone();
            thread::spawn(move || {
                ready.wait();
                while !OVER.load(Ordering::Relaxed) {
                    deep(200 + n);
                }
            });
        }
        ready.wait();
        thread::sleep(Duration::from_millis(2));
        // SAFETY: what a child may do is what is tested.
        match unsafe { libc::fork() } {
            0 => {}
            process => {
                OVER.store(true, Ordering::Relaxed);
                let mut status = 0;
                // SAFETY: waits for the child just made.
                unsafe { libc::waitpid(process, &raw mut status, 0) };
                // The result is the last child's, handed on.
                exit(status == 0);
            }
        }
    }
    let block = Block::new(77);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let losses = snapshot.recording().losses;
    let grown = tracemalloc::get_tracemalloc_memory() - own;
    block.free();
    if losses.stacks != 0 {
        die("stacks were lost");
    }
    if grown > 64 << 20 {
        die("the tracer has grown");
    }
    exit(true);
}

fn a_child_that_allocates_before_it_becomes_another_program() {
    let held = start();
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..4 {
            let busy = &busy;
            scope.spawn(move || {
                let mut held = Vec::with_capacity(50);
                for round in seed.. {
                    churn(round, 50, &mut held);
                    if !busy.load(Ordering::Relaxed) {
                        break;
                    }
                }
                held.into_iter().for_each(|block| block.discard());
            });
        }
        for round in 0..40 {
            let mut command = Command::new("/bin/true");
            let allocate = || {
                let before = current();
                let block = black_box(vec![1_u8; 1 << 20]);
                if current() == before + (1 << 20) {
                    drop(block);
                    Ok(())
                } else {
                    Err(std::io::Error::from_raw_os_error(libc::EINVAL))
                }
            };
            if round % 2 == 0 {
                // SAFETY: the closure does what a child of many threads must not, which is tested.
                unsafe { command.pre_exec(allocate) };
            }
            assert!(command.status().unwrap().success());
        }
        busy.store(false, Ordering::Relaxed);
    });
    drop(held);
    audit(&[]);
}

/// `vfork` runs no handlers, and the child has the parent's memory, thread and all.
fn a_child_that_shares_memory_may_allocate() {
    static LEFT: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    extern "C" fn child(_: *mut libc::c_void) -> libc::c_int {
        Block::new(77).free();
        let block = Block::new(5000 * 64 + 13);
        LEFT.store(block.address, Ordering::SeqCst);
        0
    }
    let mut stack = vec![0_u8; 256 << 10];
    let mut left = Vec::with_capacity(40);
    tracemalloc::start(25).unwrap();
    let busy = &AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || {
                let mut held = Vec::with_capacity(50);
                for round in seed.. {
                    churn(round, 50, &mut held);
                    if !busy.load(Ordering::Relaxed) {
                        break;
                    }
                }
                held.into_iter().for_each(|block| block.discard());
            });
        }
        for _ in 0..20 {
            let top = stack.as_mut_ptr_range().end;
            let top = top.wrapping_sub(top.addr() % 16);
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY: the child runs on a stack of its own while this thread waits.
            let process = unsafe { libc::clone(child, top.cast(), flags, ptr::null_mut()) };
            wait_for(process);
            left.push(Block {
                address: LEFT.load(Ordering::SeqCst),
                size: 5000 * 64 + 13,
            });
        }
        busy.store(false, Ordering::Relaxed);
    });
    audit(&left);
}
