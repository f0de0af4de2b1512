//! tracemalloc, every allocation with 32 frames.

use std::error::Error;

use tracemalloc::TraceAlloc;
use workloads::contestant::{Contestant, Counts};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    let contestant = Contestant {
        start: || tracemalloc::start(32).expect("tracing starts"),
        stop: |()| {
            assert!(tracemalloc::is_tracing(), "tracing went on until here");
            Counts {
                allocations: None,
                peak: Some(tracemalloc::get_traced_memory().peak as u64),
            }
        },
        own_memory: || Some(tracemalloc::get_tracemalloc_memory() as u64),
    };
    contestant.main()
}
