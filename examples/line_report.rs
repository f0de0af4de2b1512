//! Which statement of a function needs the memory? What memory_profiler's `@profile` shows, without a mark on
//! the function.
//!
//!     cargo run --release --example line_report

use std::collections::HashMap;
use std::error::Error;
use std::io;

use tracemalloc::report::Source;
use tracemalloc::{FrameFilter, GroupBy, Snapshot, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// The classic: a list, a larger one that is released early, and what is made of them.
fn memory_intensive() -> Result<(Snapshot, HashMap<usize, String>), tracemalloc::Error> {
    let numbers = vec![1_u64; 1_000_000];
    let squares: Vec<u64> = numbers.iter().map(|n| n * n).chain(0..1_000_000).collect();
    let highest = tracemalloc::take_snapshot()?;
    drop(squares);

    let names = (0..10_000).map(|n| (n, label(n, &numbers))).collect();
    Ok((highest, names))
}

fn label(n: usize, numbers: &[u64]) -> String {
    format!("number {n:05} is {}", numbers[n])
}

fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::of(FrameFilter::function("*::memory_intensive"));
    tracemalloc::start(25)?;
    let (highest, names) = memory_intensive()?;
    let end = tracemalloc::take_snapshot()?;
    println!("At its highest\n");
    source.write(&highest, &mut io::stdout())?;
    println!("\nAt its end\n");
    source.write(&end, &mut io::stdout())?;

    let sizes = highest.statistics(GroupBy::Line);
    assert_eq!([sizes[0].size, sizes[1].size], [16_000_000, 8_000_000]);
    assert_eq!(sizes.len(), 2);
    let kept = end.statistics(GroupBy::Line);
    assert!(
        kept.iter().all(|line| line.size < 1_000_000),
        "both lists are gone"
    );
    assert_eq!(end.block_count(), names.len() as u64 + 1);
    Ok(())
}
