//! heapscope, every allocation, 32 frames.

use std::error::Error;

use heapscope::{Alloc, Mode, Profiler};
use workloads::contestant::{Contestant, Counts};

#[global_allocator]
static ALLOC: Alloc = Alloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    let contestant = Contestant {
        start: || {
            let profiler = Profiler::builder().mode(Mode::Heap).max_depth(32);
            profiler.no_output().build().expect("heapscope starts")
        },
        stop: |profiler| {
            let stats = profiler.stats();
            assert_eq!(stats.dropped_blocks, 0, "every block was recorded");
            Counts {
                // Without reallocations.
                allocations: None,
                peak: Some(stats.max_bytes),
            }
        },
        own_memory: || None,
    };
    contestant.main()
}
