//! What tracing costs on this machine: `cargo bench --bench cost`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tracemalloc::{Error, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const DOCUMENT: &str = include_str!("../tests/vectors/cases/random_17_n296.json");

#[inline(never)]
fn below(frames: usize, work: &mut dyn FnMut()) {
    match frames {
        0 => work(),
        _ => below(frames - 1, work),
    }
    black_box(());
}

/// The fastest of five runs.
fn fastest(mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..5).map(run).min().unwrap_or_default()
}

fn nanoseconds_per_pair(frames: usize) -> f64 {
    const PAIRS: u32 = 100_000;
    let mut best = Duration::ZERO;
    below(frames, &mut || {
        best = fastest(|| (0..PAIRS).for_each(|_| drop(black_box(Box::new([0_u8; 64])))));
    });
    best.as_nanos() as f64 / f64::from(PAIRS)
}

fn parse() -> Duration {
    fastest(|| {
        drop(black_box(serde_json::from_str::<serde_json::Value>(
            DOCUMENT,
        )))
    })
}

fn main() -> Result<(), Error> {
    println!(
        "installed, off: {:.1} ns per Box::new and drop",
        nanoseconds_per_pair(10)
    );
    let untraced = parse();
    for limit in [1, 25] {
        tracemalloc::start(limit)?;
        for frames in [10, 40, 100] {
            let cost = nanoseconds_per_pair(frames);
            println!("limit {limit}, {frames} calls deep: {cost:.0} ns");
        }
        let ratio = parse().as_secs_f64() / untraced.as_secs_f64();
        println!("limit {limit}, parsing JSON: {ratio:.0} times as long as off");
        tracemalloc::stop();
    }
    tracemalloc::start(25)?;
    let before = tracemalloc::get_tracemalloc_memory();
    let kept: Vec<_> = (0..1_000_000).map(|_| Box::new([0_u8; 64])).collect();
    let tables = tracemalloc::get_tracemalloc_memory() - before;
    println!(
        "{:.1} bytes of tables per live block of 64",
        tables as f64 / kept.len() as f64
    );
    for _ in 0..2 {
        let start = Instant::now();
        let blocks = tracemalloc::take_snapshot()?.block_count();
        println!("snapshot of {blocks} blocks: {:.0?}", start.elapsed());
    }
    Ok(())
}
