//! With the tracer, which is off.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    instructions::run();
}
