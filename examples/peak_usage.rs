//! How much does a step need for a moment, and what does the system say of the same process?
//!
//!     cargo run --release --example peak_usage

use std::hint::black_box;

use tracemalloc::{Error, Size, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// The sum of the squares, with all of them in memory.
fn squares(numbers: u64) -> u64 {
    let squares: Vec<u64> = (0..numbers).map(|number| number * number).collect();
    black_box(&squares).iter().sum()
}

fn main() -> Result<(), Error> {
    println!("step                 now       peak");
    tracemalloc::start(1)?;
    let mut peaks = Vec::with_capacity(3);
    for numbers in [1_000_000, 1_000, 300_000] {
        tracemalloc::reset_peak(); // Without it the second step would show the first one's peak.
        black_box(squares(numbers));
        let memory = tracemalloc::get_traced_memory();
        println!(
            "{numbers:>7} squares {:>8} {:>10}",
            Size(memory.current),
            Size(memory.peak)
        );
        peaks.push(memory.peak - memory.current);
    }

    // The system counts code, stacks, tables of the tracer, and what the allocator keeps for later.
    let kept = black_box(vec![1_u8; 32 << 20]);
    println!("traced:              {}", tracemalloc::get_traced_memory());
    println!(
        "tracer's own memory: {}",
        Size(tracemalloc::get_tracemalloc_memory())
    );
    let snapshot = tracemalloc::take_snapshot()?;
    if let Some(resident) = snapshot.recording().resident_memory {
        println!("resident:            {}", Size(resident));
        assert!(resident > kept.len() as u64);
    }
    drop(snapshot);

    assert_eq!(peaks, [8_000_000, 8_000, 2_400_000]);
    assert_eq!(tracemalloc::get_traced_memory().current, 24 + (32 << 20));
    Ok(())
}
