//! Which statement of a function needs the memory? What memory_profiler's `@profile` shows, without a mark on
//! the function.
//!
//!     cargo run --release --example line_report

use std::error::Error;
use std::io;

use tracemalloc::report::Source;
use tracemalloc::{Config, FrameFilter, GroupBy, TraceAlloc, View};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// The classic: a list, a larger one that is released early, and what is made of them.
fn memory_intensive() -> Vec<String> {
    let numbers: Vec<u64> = (0..1_000_000).collect();
    let twice: Vec<u64> = numbers.iter().chain(&numbers).copied().collect();
    let largest = twice.iter().max().copied();
    drop(twice);
    let label = |n: usize| format!("{n:05} of {largest:?} is {}", numbers[n]);
    (0..10_000).map(label).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    Config::new().history(true).start()?;
    let labels = memory_intensive();
    let end = tracemalloc::take_snapshot()?;
    tracemalloc::stop();

    let source = Source::of(FrameFilter::function("*::memory_intensive"));
    let peak = end.view(View::AtPeak)?;
    for (when, snapshot) in [("At the peak", &peak), ("At the end", &end)] {
        println!("{when}:");
        source.write(snapshot, &mut io::stdout())?;
        println!();
    }

    let at_peak: Vec<u64> = peak
        .statistics(GroupBy::Line)
        .iter()
        .map(|line| line.size)
        .collect();
    assert_eq!(at_peak, [16_000_000, 8_000_000]);
    let kept = end.statistics(GroupBy::Line);
    assert!(
        kept.iter().all(|line| line.size < 1_000_000),
        "both lists are gone"
    );
    assert_eq!(end.block_count(), labels.len() as u64 + 1);
    Ok(())
}
