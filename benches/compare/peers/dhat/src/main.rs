//! dhat, every allocation, 32 frames.

use std::error::Error;

use dhat::{HeapStats, Profiler};
use workloads::contestant::{Contestant, Counts};

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

fn main() -> Result<(), Box<dyn Error>> {
    let contestant = Contestant {
        start: || {
            // For tests, so that no file is written at the end: names are not what is measured.
            let profiler = Profiler::builder().trim_backtraces(Some(32)).testing();
            profiler.build()
        },
        stop: |profiler| {
            let stats = HeapStats::get();
            drop(profiler);
            Counts {
                allocations: Some(stats.total_blocks),
                peak: Some(stats.max_bytes as u64),
            }
        },
        own_memory: || None,
    };
    contestant.main()
}
