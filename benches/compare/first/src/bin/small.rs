//! The same in a small program: add `--bin small` to the command.

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    first::main(|| {
        let names = (0..1000).map(|number: u32| (number, format!("name {number}")));
        let names: HashMap<u32, String> = names.collect();
        black_box(&names);
        let mut sorted: Vec<&String> = names.values().collect();
        sorted.sort();
        black_box(sorted);
    })
}
