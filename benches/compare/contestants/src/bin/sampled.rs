//! tracemalloc, a record per 512 KiB allocated, with 32 frames.

use std::error::Error;

use tracemalloc::{Config, TraceAlloc};
use workloads::contestant::{Contestant, Counts};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    let contestant = Contestant {
        start: || {
            let sampling = Config::new().frames(32).sample_every(512 << 10);
            sampling.start().expect("tracing starts");
        },
        stop: |()| {
            assert!(tracemalloc::is_tracing(), "tracing went on until here");
            // The peak is an estimate: nothing to check.
            Counts {
                allocations: None,
                peak: None,
            }
        },
        own_memory: || Some(tracemalloc::get_tracemalloc_memory() as u64),
    };
    contestant.main()
}
