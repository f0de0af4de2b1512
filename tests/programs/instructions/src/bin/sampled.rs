//! Traced by a sample: a record every 512 KiB.

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    tracemalloc::Config::new()
        .frames(32)
        .sample_every(512 * 1024)
        .start()
        .expect("the limit is in range");
    instructions::run();
}
