//! Forks at every moment. What is promised is CPython's: the child traces on.

use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tracemalloc::{Scope, ScopeHandle};

use crate::allocator::{self, Call, Moment};
use crate::audit::{Block, audit, current, marked};
use crate::cases;
use crate::children::{DOMAIN, churn_while, exit, fork, start, works};
use crate::faults::stay_inside;
use crate::stepping::{self, Step};
use crate::suite::number;

cases![
    a_fork_inside_every_call_of_the_allocator fails with StaysInside,
    a_fork_at_every_step_of_an_event fails with StaysInside,
    a_fork_while_another_thread_is_anywhere_in_an_event fails with Locks,
    a_fork_while_another_thread_changes_the_regions,
    a_fork_while_another_thread_names_addresses,
    a_fork_while_another_thread_opens_a_scope,
    forks_on_eight_threads fails with Locks,
];

thread_local! {
    /// This is the child of a fork in a signal handler or a script, and has to check itself.
    static IS_CHILD: Cell<bool> = const { Cell::new(false) };
}

/// A child looks up all names again, which takes long; so only some children do (`whole`).
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
/// Every how many steps a fork is made. One is made at every locked instruction, too.
static EVERY: AtomicUsize = AtomicUsize::new(1);
const MAX_FORKS: usize = 400;

fn is_due(step: Step) -> bool {
    let often = FORKED.load(Ordering::Relaxed) < MAX_FORKS;
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

/// While addresses are named the inner allocator is slow, so that forks fall into that time. Of one
/// snapshot it is slow for half a second: a fork waits ten seconds at most, also on a busy machine.
fn a_fork_while_another_thread_names_addresses() {
    const MAX_PAUSES: usize = 2000;
    static SLOW: AtomicUsize = AtomicUsize::new(0);
    static PAUSES: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static IS_SLOW: Cell<bool> = const { Cell::new(false) };
    }
    fn dawdle(_: Call, _: Moment) {
        let is_due = IS_SLOW.get() && SLOW.fetch_add(1, Ordering::SeqCst).is_multiple_of(20);
        if is_due && PAUSES.fetch_add(1, Ordering::SeqCst) < MAX_PAUSES {
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
                PAUSES.store(0, Ordering::SeqCst);
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

/// The other thread is in the middle of opening a scope that records, of asking for its usage, or of ending it:
/// it continues when the fork has begun, which would be too late without the handlers of `src/sections.rs`.
fn a_fork_while_another_thread_opens_a_scope() {
    static STOPPED: AtomicBool = AtomicBool::new(false);
    static FORKING: AtomicBool = AtomicBool::new(false);
    thread_local! {
        /// The call to stop in, counted down; below 0: none.
        static STOP_IN: Cell<i32> = const { Cell::new(-1) };
    }
    fn stop(_: Call, _: Moment) {
        let left = STOP_IN.get();
        STOP_IN.set((left - 1).max(-1));
        if left == 0 {
            STOPPED.store(true, Ordering::SeqCst);
            while !FORKING.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    let shared = Scope::recording().unwrap();
    let one = |scope: &ScopeHandle| {
        let own = Scope::recording().unwrap();
        scope.enter_in(|| Block::new(77).free());
        (scope.usage(), own.close())
    };
    let handle = shared.handle();
    one(&handle);
    allocator::set_script(stop);
    // Until no call of the allocator is left to stop in.
    let mut forks = 0;
    for call in 0.. {
        let (stopped, forking) = (&STOPPED, &FORKING);
        stopped.store(false, Ordering::SeqCst);
        forking.store(false, Ordering::SeqCst);
        let ended = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                STOP_IN.set(call);
                one(&handle);
                STOP_IN.set(-1);
                ended.store(true, Ordering::SeqCst);
            });
            while !stopped.load(Ordering::SeqCst) && !ended.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            if stopped.load(Ordering::SeqCst) {
                forking.store(true, Ordering::SeqCst);
                if fork() {
                    allocator::clear_script();
                    let before = shared.usage();
                    let (usage, _) = one(&handle);
                    // Two blocks of this thread: the scope's own are nobody's.
                    exit(usage.allocations > before.allocations);
                }
                forks += 1;
            }
        });
        if !stopped.load(Ordering::SeqCst) {
            break;
        }
    }
    allocator::clear_script();
    assert!(forks > 5, "{forks}");
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
    let forks = number("TRACEMALLOC_FORKS", 25);
    let held = start();
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| churn_while(&busy, 0));
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
                            // In the parent other threads change the sums.
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
