//! Enters and leaves a tag, by what was made once (`tag N`) or by its name (`name N`).

use std::env;
use std::hint::black_box;

#[global_allocator]
static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let count: usize = arguments[2].parse().expect("a number");
    tracemalloc::start(32).expect("the limit is in range");
    let tag = tracemalloc::Tag::new("GET /items");
    for _ in 0..count {
        drop(black_box(match arguments[1].as_str() {
            "tag" => tag.enter(),
            _ => tracemalloc::tag(black_box("GET /items")),
        }));
    }
}
