//! Allocates on stacks of every kind, traced with several limits. The build compares them; this
//! program only has to come to its end.
//!
//! With the argument `linked` it allocates on those alone that lead through libraries that it was
//! linked with. With `quick` it does everything, but less often: for emulators.

mod callbacks;
mod deep;
mod frame_register;
mod libraries;
mod ordinary;
mod signals;
mod switched;
mod unwinding;

use std::hint::black_box;
use std::thread;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Frames that a session keeps, and how often everything is done then. One more than the engine
/// remembers walks for is among them.
const SESSIONS: [(usize, usize); 5] = [(1, 20), (25, 60), (150, 20), (1000, 6), (2000, 2)];
/// Stack enough for a hundred thousand frames without optimisation.
const DEEP_STACK: usize = 512 << 20;

fn main() {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        None => all(1),
        Some("quick") => all(10),
        Some("linked") => {
            tracemalloc::start(25).expect("the limit is in range");
            (0..100).for_each(libraries::linked);
        }
        Some(other) => panic!("no such argument: {other}"),
    }
    println!("done");
}

/// Everything, one time in `part`.
fn all(part: usize) {
    let replaced = libraries::replaced();
    assert!(
        replaced > 0 || part > 1,
        "no library took the place of another"
    );
    for (limit, rounds) in SESSIONS {
        let rounds = rounds.div_ceil(part);
        tracemalloc::start(limit).expect("the limit is in range");
        for round in 0..rounds {
            everything(round);
        }
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..rounds / 2 {
                        everything(thread + round);
                    }
                });
            }
        });
        tracemalloc::stop();
    }
    for (limit, every) in [(25, 20), (60_000, 10_000)] {
        tracemalloc::start(limit).expect("the limit is in range");
        thread::Builder::new()
            .stack_size(DEEP_STACK)
            .spawn(move || deep::recursion(100_000, every))
            .expect("a thread")
            .join()
            .expect("it ends well");
        tracemalloc::stop();
    }
}

/// Runs equal calls at changing depths, so that cached stacks of one round meet those of another.
fn everything(round: usize) {
    deep::below(round % 13, &mut || {
        ordinary::json(round);
        ordinary::growth(round);
        ordinary::alternating(round);
        ordinary::source(round);
        callbacks::sorting(round);
        callbacks::formatting(round);
        libraries::linked(round);
        switched::grown(round);
        switched::resumed(round);
        signals::handled(round);
        unwinding::caught(round);
        frame_register::moving(round);
        deep::recursion(300, 3);
    });
}

/// A block that the compiler cannot do without.
#[inline(never)]
fn block(size: usize) {
    drop(black_box(Vec::<u8>::with_capacity(size)));
    black_box(());
}
