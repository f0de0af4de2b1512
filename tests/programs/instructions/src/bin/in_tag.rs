//! Traced, with more frames than the stacks have, in a tag.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    tracemalloc::start(32).expect("the limit is in range");
    let _tag = tracemalloc::tag("work");
    instructions::run();
}
