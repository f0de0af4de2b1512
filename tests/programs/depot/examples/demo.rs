//! An example.

fn main() {
    tracemalloc::start(25).expect("the allocator is installed");
    let kept = depot::fill();
    let own = std::hint::black_box(vec![1_u8; 1_019]); // 1019: demo::main
    let snapshot = tracemalloc::take_snapshot().expect("it traces");
    depot::print(&snapshot, file!());
    drop((kept, own));
}
