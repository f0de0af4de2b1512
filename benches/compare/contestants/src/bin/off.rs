//! tracemalloc, installed and never started.

use std::error::Error;

use tracemalloc::TraceAlloc;
use workloads::contestant::Contestant;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    Contestant::NOTHING.main()
}
