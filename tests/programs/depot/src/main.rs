//! The program.

fn main() {
    // As when a new build takes the place of a program that runs.
    if std::env::var_os("DEPOT_GOES").is_some() {
        std::fs::remove_file(std::env::current_exe().expect("a path")).expect("it goes");
    }
    tracemalloc::start(25).expect("the allocator is installed");
    let kept = depot::fill();
    let own = std::hint::black_box(vec![1_u8; 1_019]); // 1019: depot::main
    let snapshot = tracemalloc::take_snapshot().expect("it traces");
    depot::print(&snapshot, file!());
    drop((kept, own));
}
