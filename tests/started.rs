//! A wrapper that traces from the program's first allocation on, before `main`.

use std::hint::black_box;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system().started(9);

#[test]
fn tracing_is_on_before_main_and_stays_off_once_stopped() {
    assert!(tracemalloc::is_tracing());
    assert_eq!(tracemalloc::get_traceback_limit(), Some(9));
    // The test harness has allocated before this line: its own blocks are in the snapshot.
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert!(snapshot.block_count() > 5);
    let held = snapshot.recording().allocator_memory;
    if let (true, Some(held)) = (cfg!(all(target_os = "linux", target_env = "gnu")), held) {
        assert!(held >= snapshot.total_size(), "{held}");
    }
    tracemalloc::stop();
    drop(black_box(vec![1_u8; 100]));
    assert!(!tracemalloc::is_tracing());
    tracemalloc::start(3).unwrap();
    assert_eq!(tracemalloc::get_traceback_limit(), Some(3));
}
