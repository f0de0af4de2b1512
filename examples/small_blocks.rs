//! What does the allocator add to a block? The tracer counts what was asked for; the distance of two blocks in
//! memory shows what was taken.
//!
//!     cargo run --release --example small_blocks

use tracemalloc::{Size, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const BLOCKS: usize = 10_000;

/// What a block of `N` bytes takes: the usual distance of many of them.
fn taken<const N: usize>() -> u64 {
    let (blocks, usage) = tracemalloc::measure(|| {
        let mut blocks = Vec::with_capacity(BLOCKS);
        blocks.extend((0..BLOCKS).map(|_| Box::new([1_u8; N])));
        blocks
    });
    let list = BLOCKS * size_of::<Box<[u8; N]>>();
    let asked = (usage.allocated - list as u64) / BLOCKS as u64;
    let mut places: Vec<usize> = blocks.iter().map(|block| block.as_ptr().addr()).collect();
    places.sort_unstable();
    let distances = places.windows(2).map(|two| (two[1] - two[0]) as u64);
    let mut distances: Vec<u64> = distances.collect();
    distances.sort_unstable();
    let taken = distances[distances.len() / 2];
    let added = 100.0 * (taken - asked) as f64 / asked as f64;
    println!("{:>9} {:>9} {added:6.0} %", Size(asked), Size(taken));
    assert_eq!(asked, N as u64);
    taken
}

fn main() {
    println!("asked for     taken    added");
    let tiny = [taken::<1>(), taken::<24>(), taken::<25>()];
    let larger = [taken::<100>(), taken::<1_000>()];
    assert!(
        tiny[0] >= 8 && tiny[2] >= 25,
        "no allocator is finer than that"
    );
    assert!(larger[0] < 200 && larger[1] < 1_300);
}
