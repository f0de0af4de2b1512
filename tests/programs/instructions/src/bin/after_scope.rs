//! With the tracer, which is off, after a scope was opened and closed.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    drop(tracemalloc::Scope::open().expect("installed"));
    instructions::run();
}
