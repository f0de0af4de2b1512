//! Programs that use what the tracer must not use itself.

use std::collections::HashMap;
use std::hint::black_box;
use std::thread;
use std::time::Duration;

use crate::cases;

cases![
    a_program_that_parks_on_parking_lot_does_not_hang,
    a_program_that_uses_dashmap_does_not_hang,
    threads_that_print_backtraces_do_not_hang,
];

/// The first contended lock of a thread grows parking_lot's table of threads, which allocates while
/// it holds every lock of that table. A tracer that parks on the same table waits for itself.
fn a_program_that_parks_on_parking_lot_does_not_hang() {
    static COUNT: parking_lot::Mutex<u64> = parking_lot::Mutex::new(0);
    tracemalloc::start(25).unwrap();
    for _ in 0..3 {
        let busy = std::sync::atomic::AtomicBool::new(true);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    while busy.load(std::sync::atomic::Ordering::Relaxed) {
                        kept.push(Box::new([0_u8; 32]));
                        if kept.len() > 2000 {
                            kept.clear();
                        }
                    }
                });
            }
            scope.spawn(|| {
                while busy.load(std::sync::atomic::Ordering::Relaxed) {
                    tracemalloc::take_snapshot().unwrap();
                }
            });
            thread::scope(|crowd| {
                for _ in 0..200 {
                    crowd.spawn(|| {
                        for _ in 0..5 {
                            *COUNT.lock() += 1;
                            thread::sleep(Duration::from_micros(50));
                        }
                    });
                }
            });
            busy.store(false, std::sync::atomic::Ordering::Relaxed);
        });
    }
    assert_eq!(*COUNT.lock(), 3000);
}

fn a_program_that_uses_dashmap_does_not_hang() {
    let map = dashmap::DashMap::<usize, String>::with_shard_amount(2);
    tracemalloc::start(25).unwrap();
    thread::scope(|scope| {
        for seed in 0..8 {
            let map = &map;
            scope.spawn(move || {
                for n in 0..2000 {
                    map.insert(n * 8 + seed, n.to_string());
                    if n % 100 == 0 {
                        tracemalloc::take_snapshot().unwrap();
                    }
                    map.remove(&(n * 4));
                }
            });
        }
    });
    assert!(!map.is_empty());
}

fn threads_that_print_backtraces_do_not_hang() {
    tracemalloc::start(25).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..30 {
                    let text = std::backtrace::Backtrace::force_capture().to_string();
                    assert!(!text.is_empty());
                }
            });
            scope.spawn(|| {
                for n in 0..20_000 {
                    drop(black_box(vec![1_u8; n % 100 + 1]));
                }
            });
            scope.spawn(|| {
                for _ in 0..10 {
                    let map: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
                    assert!(tracemalloc::take_snapshot().unwrap().block_count() > 0);
                    drop(map);
                }
            });
        }
    });
}
