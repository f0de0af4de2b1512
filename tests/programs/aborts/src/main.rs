//! Panics with a block that is live, and leaves a snapshot in the file that the first argument names.

use std::hint::black_box;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() {
    let path = std::env::args_os().nth(1).expect("a path");
    tracemalloc::start(25).expect("the allocator is installed");
    tracemalloc::dump_on_panic(path);
    let _block = black_box(vec![1_u8; 54_321]);
    panic!("on purpose");
}
