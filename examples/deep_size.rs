//! `size_of_val` is a value's own size: what does it hold on the heap, and what does dropping it return?
//!
//!     cargo run --release --example deep_size

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

struct Row {
    shallow: usize,
    built: i64,
    cloned: i64,
    dropped: i64,
}

fn row<T: Clone>(name: &str, make: impl FnOnce() -> T) -> Row {
    let (value, built) = tracemalloc::measure(make);
    let (copy, cloned) = tracemalloc::measure(|| value.clone());
    let shallow = size_of_val(&value);
    drop(copy);
    let dropped = tracemalloc::freed_by(|| drop(value)).freed;
    let (built, cloned) = (built.net_bytes(), cloned.net_bytes());
    println!("{name:<28} {shallow:>7} {built:>8} {cloned:>8} {dropped:>8}");
    Row {
        shallow,
        built,
        cloned,
        dropped: dropped as i64,
    }
}

fn main() {
    println!("                             size_of    built   cloned  dropped");
    let shared: Arc<str> = Arc::from("shared ".repeat(100));
    let rows = [
        row("()", || ()),
        row("true", || true),
        row("17_u64", || 17_u64),
        row("\"text\"", || "text"),
        row("an iterator", || {
            (0..1_000_000).map(|number: u64| number * 2)
        }),
        row("Vec::new()", Vec::<u64>::new),
        row("HashMap::new()", HashMap::<u64, u64>::new),
        row("String of 1000", || "x".repeat(1_000)),
        row("vec![0_u64; 1000]", || vec![0_u64; 1_000]),
        row("1000 pushed", || {
            let mut list = Vec::new();
            (0..1_000_u64).for_each(|number| list.push(number));
            list
        }),
        row("1000 Strings", || {
            (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>()
        }),
        row("HashMap of 1000", || {
            (0..1_000_u64).map(|n| (n, n)).collect::<HashMap<_, _>>()
        }),
        row("BTreeMap of 1000", || {
            (0..1_000_u64).map(|n| (n, n)).collect::<BTreeMap<_, _>>()
        }),
        row("Arc<str> of another owner", || Arc::clone(&shared)),
    ];

    // What dropping returns is what building took. A clone is at most as large: it has no spare room.
    assert!(
        rows.iter()
            .all(|row| row.dropped == row.built && row.cloned <= row.built)
    );
    assert!(
        rows[..7].iter().all(|row| row.built == 0),
        "nothing on the heap"
    );
    assert_eq!((rows[8].shallow, rows[8].built), (24, 8_000));
    assert_eq!((rows[9].built, rows[9].cloned), (8_192, 8_000));
    assert_eq!(rows[13].built, 0, "shared memory is not counted again");
}
