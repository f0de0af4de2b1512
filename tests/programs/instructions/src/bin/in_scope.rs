//! With the tracer, which is off, in a scope.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    let scope = tracemalloc::Scope::open().expect("installed");
    instructions::run();
    drop(scope);
}
