//! Traced, with more frames than the stacks have.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    tracemalloc::start(32).expect("the limit is in range");
    instructions::run();
}
