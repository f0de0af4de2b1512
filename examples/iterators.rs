//! A list or an iterator, a `Vec` or a boxed slice: what do a million numbers cost?
//!
//!     cargo run --release --example iterators

use std::hint::black_box;

use tracemalloc::{Size, SizeDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const NUMBERS: u64 = 1_000_000;

fn main() {
    println!("                          peak        kept");
    let list = cost("collect, then sum", || {
        let list: Vec<u64> = black_box((0..NUMBERS).map(|number| number * number).collect());
        list.iter().sum::<u64>()
    });
    let lazy = cost("sum as they come", || {
        (0..NUMBERS).map(|number| number * number).sum::<u64>()
    });
    let pushed = cost("Vec, pushed", || {
        let mut list = Vec::new();
        (0..NUMBERS).for_each(|number| list.push(number));
        list
    });
    let planned = cost("Vec::with_capacity", || {
        let mut list = Vec::with_capacity(NUMBERS as usize);
        list.extend(0..NUMBERS);
        list
    });
    let boxed = cost("into_boxed_slice", || {
        let mut list = Vec::new();
        (0..NUMBERS).for_each(|number| list.push(number));
        list.into_boxed_slice()
    });

    let exact = 8 * NUMBERS;
    let kept = exact as i64;
    assert_eq!(list, (exact, 0));
    assert_eq!(lazy, (0, 0));
    assert_eq!(
        pushed.1,
        (1 << 20) * 8,
        "room for as many as a doubling gave"
    );
    assert_eq!([planned, boxed].map(|(_, kept)| kept), [kept, kept]);
    assert_eq!(planned.0, exact);
}

/// What `make` needed at most, and what its value keeps.
fn cost<T>(name: &str, make: impl FnOnce() -> T) -> (u64, i64) {
    let (value, usage) = tracemalloc::measure(make);
    let (peak, kept) = (usage.peak, usage.net_bytes());
    println!("{name:<20} {:>10} {:>10}", Size(peak), SizeDiff(kept));
    drop(value);
    (peak, kept)
}
