//! Defects of a traced program's own, one for each name, which a sanitizer has to report although
//! the tracer is on.
//!
//! | name | what happens |
//! | --- | --- |
//! | `use-after-free` | a block is read after it was given back, by the standard library |
//! | `race` | two threads write to one word |
//! | `leaks` | a hundred blocks of 1000 bytes are lost |
//! | `none` | nothing, but what tracing is for |

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::thread;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const LEAKS: usize = 100;

fn main() {
    tracemalloc::start(25).expect("installed");
    match std::env::args().nth(1).as_deref() {
        Some("use-after-free") => use_after_free(),
        Some("race") => race(),
        Some("leaks") => leaks(),
        Some("none") => none(),
        other => panic!("no such defect: {other:?}"),
    }
}

/// The read is in code of the standard library that was compiled with it, `memcmp` of slices apart.
fn use_after_free() {
    let block = black_box(vec![b'7'; 100].into_boxed_slice());
    let start = block.as_ptr();
    drop(block);
    // SAFETY: there is none. This is the defect.
    let freed = unsafe { std::slice::from_raw_parts(start, 3) };
    println!("{:?}", String::from_utf8_lossy(freed).parse::<u32>());
}

struct Shared(UnsafeCell<u64>);

// SAFETY: there is none. This is the defect.
unsafe impl Sync for Shared {}

fn race() {
    static WORD: Shared = Shared(UnsafeCell::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..1000 {
                    // SAFETY: there is none. This is the defect.
                    unsafe { WORD.0.get().write_volatile(n) };
                    drop(black_box(vec![1_u8; 10]));
                }
            });
        }
    });
}

/// Nobody knows the blocks any more but the tracer, and its tables must not keep them.
#[inline(never)]
fn leaks() {
    for _ in 0..LEAKS {
        lose();
    }
    // What registers and old frames still hold.
    black_box([0_u64; 4096]);
    let snapshot = tracemalloc::take_snapshot().expect("tracing");
    let known = snapshot
        .traces()
        .unwrap()
        .filter(|trace| trace.size == 1000);
    assert_eq!(known.count(), LEAKS, "the tracer knows them all");
}

#[inline(never)]
fn lose() {
    std::mem::forget(black_box(Box::new([1_u8; 1000])));
}

fn none() {
    thread::scope(|scope| {
        for seed in 0..4_usize {
            scope.spawn(move || {
                let mut held = Vec::new();
                for n in 0..2000 {
                    held.push(vec![1_u8; (n * 31 + seed) % 6000 + 1]);
                    if held.len() > 40 {
                        drop(held.swap_remove(n % 40));
                    }
                    if n % 500 == 0 {
                        tracemalloc::take_snapshot().expect("tracing");
                    }
                }
            });
        }
    });
    drop(tracemalloc::take_snapshot());
    tracemalloc::stop();
}
