//! Large blocks on one thread, beside many that have allocated once and wait.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread::{self, Builder};

use crate::numbers::Checksum;
use crate::{Size, Work};

pub(crate) fn prepare(size: Size) -> Work {
    let threads = size.of(500, 5);
    let blocks = size.of(300_000, 100);
    Box::new(move || {
        let [ready, end] = [0; 2].map(|_| Barrier::new(threads + 1));
        let mut sum = Checksum::default();
        thread::scope(|scope| {
            for number in 0..threads {
                let (ready, end) = (&ready, &end);
                let thread = Builder::new().stack_size(64 << 10);
                let waits = move || {
                    let kept = black_box(Box::new(number));
                    ready.wait();
                    end.wait();
                    drop(kept);
                };
                thread.spawn_scoped(scope, waits).expect("a thread starts");
            }
            ready.wait();
            for number in 0..blocks {
                let block: Vec<u8> = black_box(Vec::with_capacity(70_000 + number % 8));
                sum.add(block.capacity() as u64);
            }
            end.wait();
        });
        sum.value()
    })
}
