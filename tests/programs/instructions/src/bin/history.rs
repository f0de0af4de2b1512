//! Traced, with the history of each stack.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    let config = tracemalloc::Config::new().frames(32).history(true);
    config.start().expect("the limit is in range");
    instructions::run();
}
