//! Tracing around another allocator: the program keeps the one that it was built for.
//!
//!     cargo run --release --features mimalloc --example over_mimalloc

use std::collections::BTreeMap;

use mimalloc::MiMalloc;
use tracemalloc::{Error, GroupBy, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc<MiMalloc> = TraceAlloc::new(MiMalloc);

fn main() -> Result<(), Error> {
    tracemalloc::start(10)?;
    // Blocks of every size, many of them tiny: mimalloc packs those closer than other allocators
    // do.
    let bytes: Vec<Box<u8>> = (0..=255).map(Box::new).collect();
    let index: BTreeMap<usize, String> = (10..5010).map(|n| (n, n.to_string())).collect();
    let large = vec![0_u8; 10 << 20];
    let snapshot = tracemalloc::take_snapshot()?;
    let traced = tracemalloc::get_traced_memory().current;

    println!("Live in mimalloc:");
    for line in snapshot.statistics(GroupBy::Line).iter().take(5) {
        println!("  {line}");
    }
    assert_eq!(snapshot.total_size(), traced);
    assert!(traced > 10 << 20);
    assert_eq!(snapshot.recording().losses, Default::default());
    assert_eq!(
        snapshot.traces()?.filter(|block| block.size == 1).count(),
        bytes.len()
    );
    drop((bytes, index, large));
    assert!(
        tracemalloc::get_traced_memory().current < 4096,
        "all of it came back"
    );
    Ok(())
}
