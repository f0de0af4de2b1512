//! `cargo run --profile limited --manifest-path benches/compare/Cargo.toml --package first [ROUNDS]`: a large
//! program, whose stacks lead through real crates.

use std::error::Error;

use tracemalloc::TraceAlloc;
use workloads::{Size, by_name};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const WORK: [&str; 8] = [
    "json", "syn", "regex", "html", "markdown", "script", "strings", "boxes",
];

fn main() -> Result<(), Box<dyn Error>> {
    first::main(|| {
        for name in WORK {
            let workload = by_name(name).expect("a workload of this name");
            (workload.prepare)(Size::Small)();
        }
    })
}
