//! Pieces of work that do hardly anything but allocate and free.

mod loops;
mod paths;
mod random;
mod stacks;

use crate::Size;

pub(crate) use paths::all as all_paths;

/// Work that can be done again and again, and takes milliseconds.
pub(crate) trait Piece {
    /// Pairs of allocation and free that each thread did.
    fn run(&mut self) -> u64;
}

/// One kind of piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) threads: usize,
    pub(crate) prepare: fn(Size) -> Box<dyn Piece>,
}

const fn case(
    name: &'static str,
    about: &'static str,
    threads: usize,
    prepare: fn(Size) -> Box<dyn Piece>,
) -> Case {
    Case {
        name,
        about,
        threads,
        prepare,
    }
}

/// All of them, in the order of the table.
pub(crate) const CASES: [Case; 16] = [
    case("loop-8", "`Box::new` and drop, below 8 calls", 1, |size| {
        loops::prepare(8, size)
    }),
    case(
        "loop-32",
        "`Box::new` and drop, below 32 calls",
        1,
        |size| loops::prepare(32, size),
    ),
    case(
        "loop-128",
        "`Box::new` and drop, below 128 calls",
        1,
        |size| loops::prepare(128, size),
    ),
    case(
        "live-1k",
        "a random block of 1000 freed, another made",
        1,
        |size| random::prepare(1000, 1, size),
    ),
    case(
        "live-100k",
        "a random block of 100,000 freed, another made",
        1,
        |size| random::prepare(100_000, 1, size),
    ),
    case(
        "live-5M",
        "a random block of 5 million freed, another made",
        1,
        |size| random::prepare(5_000_000, 1, size),
    ),
    case(
        "live-1k-2",
        "on two threads, each with 1000 of its own",
        2,
        |size| random::prepare(1000, 2, size),
    ),
    case(
        "live-100k-2",
        "on two threads, each with 100,000 of its own",
        2,
        |size| random::prepare(100_000, 2, size),
    ),
    case(
        "live-5M-2",
        "on two threads, each with 2.5 million of its own",
        2,
        |size| random::prepare(2_500_000, 2, size),
    ),
    case(
        "turns-1",
        "32 calls deep, two stacks in turn: 1 frame differs",
        1,
        |size| paths::in_turn(1, size),
    ),
    case(
        "turns-4",
        "32 calls deep, two stacks in turn: 4 frames differ",
        1,
        |size| paths::in_turn(4, size),
    ),
    case(
        "turns-16",
        "32 calls deep, two stacks in turn: 16 frames differ",
        1,
        |size| paths::in_turn(16, size),
    ),
    case(
        "ways-4",
        "32 calls deep, one of 16 stacks at random",
        1,
        |size| paths::by_chance(4, size),
    ),
    case(
        "ways-16",
        "32 calls deep, one of 65,536 stacks at random",
        1,
        |size| paths::by_chance(16, size),
    ),
    case(
        "stacks-1",
        "a coroutine that makes a block 32 calls deep, and pauses",
        1,
        |size| stacks::in_turn(1, size),
    ),
    case("stacks-2", "two of them in turn", 1, |size| {
        stacks::in_turn(2, size)
    }),
];
