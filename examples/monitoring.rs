//! Watching a program: a limit in its main loop, a wrapper around a function, a table of a benchmark.
//!
//!     cargo run --release --example monitoring

use std::collections::HashMap;
use std::error::Error;

use tracemalloc::{GroupBy, Size, SizeDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn index(words: usize) -> HashMap<String, usize> {
    (0..words).map(|n| (format!("word-{n}"), n)).collect()
}

/// A decorator: any function, with what it used.
fn profiled<T>(name: &str, function: impl FnOnce() -> T) -> T {
    let (result, usage) = tracemalloc::measure(function);
    let (kept, peak) = (SizeDiff(usage.net_bytes()), Size(usage.peak));
    println!("{name}: keeps {kept}, needs {peak} for a moment");
    result
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("A wrapper");
    let sorted = profiled("sorted words", || {
        let mut words: Vec<String> = index(1_000).into_keys().collect();
        words.sort();
        words
    });

    println!("\nA benchmark\n words  allocations   B/word       peak");
    let mut peaks = Vec::new();
    for words in [100, 1_000, 10_000] {
        let (_, usage) = tracemalloc::measure(|| index(words));
        let each = usage.net_bytes() as f64 / words as f64;
        println!(
            "{words:6} {:12} {each:8.1} {:>10}",
            usage.allocations,
            Size(usage.peak)
        );
        peaks.push(usage.peak);
    }

    println!("\nA limit");
    tracemalloc::start(25)?;
    let (mut kept, mut limit, mut alarms) = (Vec::new(), 1 << 20, Vec::new());
    for round in 1..=60 {
        kept.push(index(1_000));
        let live = tracemalloc::get_traced_memory().current;
        if live > limit {
            println!(
                "round {round}: {} live, more than {}",
                Size(live),
                Size(limit)
            );
            let largest = tracemalloc::take_snapshot()?.statistics(GroupBy::Line);
            println!("  {}", largest[0]);
            alarms.push(round);
            limit = 2 * live; // One alarm at each doubling.
        }
    }

    assert_eq!(sorted.len(), 1_000);
    assert!(peaks.windows(2).all(|pair| pair[1] > 5 * pair[0]));
    assert!((2..=5).contains(&alarms.len()), "{alarms:?}");
    Ok(())
}
