//! tracemalloc, every allocation with 32 frames.

use std::error::Error;

use tracemalloc::TraceAlloc;
use workloads::contestant::{self, Counts};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    contestant::run(
        || tracemalloc::start(32).expect("tracing starts"),
        |()| {
            assert!(tracemalloc::is_tracing(), "tracing went on until here");
            Counts {
                allocations: None,
                peak: Some(tracemalloc::get_traced_memory().peak as u64),
            }
        },
    )
}
