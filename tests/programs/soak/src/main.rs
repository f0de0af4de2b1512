//! Threads that parse, match, build maps and pass blocks on while others start, stop, clear, ask and
//! take snapshots, in random order. Every round ends in a quiet moment, in which the tracer's counters and
//! records must agree with the blocks that the threads hold.
//!
//! Takes the seconds to run, the threads of each kind, and the seed: `soak 30 16 1`. With the word
//! `injected` behind them one block is counted that the tracer cannot know: the audit has to fail.

mod control;
mod population;
mod random;
mod work;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, panic, process};

use population::Population;
use random::Random;
use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// What all threads share.
struct Soak {
    /// Everybody comes here between the parts of a round.
    barrier: Barrier,
    /// The disorderly part of a round is over.
    quiet: AtomicBool,
    /// There is no other round.
    done: AtomicBool,
    population: Population,
    works: AtomicU64,
    calls: AtomicU64,
}

impl Soak {
    /// Waits for all others.
    fn meet(&self) {
        self.barrier.wait();
    }
}

fn main() {
    // A thread that fails ends the process: the others would wait for it.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |failure| {
        report(failure);
        process::exit(101);
    }));
    let mut arguments = env::args().skip(1);
    let mut next = |default: u64| {
        let text = arguments.next();
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let (seconds, threads, seed) = (next(30), next(16) as usize, next(1));
    println!(
        "soak: {seconds} s, {threads} threads that work and {threads} that control, seed {seed}"
    );
    let soak = Soak {
        barrier: Barrier::new(2 * threads + 1),
        quiet: AtomicBool::new(false),
        done: AtomicBool::new(false),
        population: Population::new(threads, arguments.next().as_deref() == Some("injected")),
        works: AtomicU64::new(0),
        calls: AtomicU64::new(0),
    };
    let begin = Instant::now();
    let mut rounds = 0;
    thread::scope(|scope| {
        for number in 0..threads {
            let soak = &soak;
            let random = |kind| Random::new(seed, 2 * number as u64 + kind);
            let (mut for_work, mut for_control) = (random(0), random(1));
            scope.spawn(move || worker(soak, number, &mut for_work));
            scope.spawn(move || controller(soak, &mut for_control));
        }
        while begin.elapsed() < Duration::from_secs(seconds) {
            round(&soak, rounds);
            rounds += 1;
        }
        soak.done.store(true, Ordering::SeqCst);
        soak.meet();
    });
    let (works, calls) = (soak.works.into_inner(), soak.calls.into_inner());
    println!(
        "soak: {rounds} rounds, {works} pieces of work, {calls} control calls: counters and records agree"
    );
    assert!(rounds > 0 && works > 0 && calls > 0);
}

/// One round as the auditor sees it.
fn round(soak: &Soak, number: u64) {
    soak.quiet.store(false, Ordering::SeqCst);
    soak.meet();
    thread::sleep(Duration::from_millis(700));
    soak.quiet.store(true, Ordering::SeqCst);
    soak.meet();
    control::audit();

    tracemalloc::stop();
    tracemalloc::start(number as usize % 40 + 1).expect("installed");
    for _ in 0..3 {
        soak.meet();
        // The threads allocate, move, free, and pass on.
        soak.meet();
        control::audit();
        soak.population.audit();
    }
    tracemalloc::clear_traces();
    assert_eq!(control::current(), 0);
    soak.meet();
    // The threads free the remaining blocks, which have no records any more.
    soak.meet();
    control::audit();
    assert_eq!(control::current(), 0);
    if number % 2 == 0 {
        tracemalloc::stop();
    }
}

fn worker(soak: &Soak, number: usize, random: &mut Random) {
    loop {
        soak.meet();
        if soak.done.load(Ordering::SeqCst) {
            return;
        }
        while !soak.quiet.load(Ordering::Relaxed) {
            work::piece(random);
            soak.works.fetch_add(1, Ordering::Relaxed);
        }
        work::put_away();
        soak.meet();
        for _ in 0..3 {
            soak.meet();
            soak.population.change(number, random);
            soak.meet();
        }
        soak.meet();
        soak.population.clear(number);
        soak.meet();
    }
}

fn controller(soak: &Soak, random: &mut Random) {
    loop {
        soak.meet();
        if soak.done.load(Ordering::SeqCst) {
            return;
        }
        while !soak.quiet.load(Ordering::Relaxed) {
            control::call(random);
            soak.calls.fetch_add(1, Ordering::Relaxed);
        }
        // As often as the workers.
        for _ in 0..9 {
            soak.meet();
        }
    }
}
