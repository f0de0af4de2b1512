//! tracemalloc, every allocation with 32 frames, and the history of each stack.

use std::error::Error;

use tracemalloc::{Config, TraceAlloc};
use workloads::contestant::{Contestant, Counts};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    let contestant = Contestant {
        start: || {
            let history = Config::new().frames(32).history(true);
            history.start().expect("tracing starts");
        },
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
