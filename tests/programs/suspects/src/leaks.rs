//! What leaks.

use std::collections::VecDeque;
use std::hint::black_box;

use crate::random::Random;

/// Keeps every hundredth request.
pub(crate) struct Fast {
    seen: Vec<String>,
}

impl Fast {
    pub(crate) fn new() -> Self {
        // Of a fixed size: the table is no part of the leak.
        Self {
            seen: Vec::with_capacity(1 << 16),
        }
    }

    pub(crate) fn round(&mut self) {
        for number in 0..20_000 {
            let request = black_box(format!("GET /articles/{number}?page=1"));
            if number % 100 == 0 {
                self.seen.push(request);
            }
        }
    }
}

/// Keeps one block of ten thousand, of those that come and go at the same line: a thousand of them are
/// always in flight, and a few more or less when somebody looks.
pub(crate) struct Slow {
    random: Random,
    in_flight: VecDeque<Box<[u8]>>,
    kept: Vec<Box<[u8]>>,
}

impl Slow {
    pub(crate) fn new() -> Self {
        Self {
            random: Random::new(3),
            in_flight: VecDeque::with_capacity(1 << 12),
            kept: Vec::with_capacity(1 << 12),
        }
    }

    pub(crate) fn round(&mut self) {
        let at_rest = 1_000 + self.random.below(30) as usize;
        for number in 0..100_000 {
            let size = 64 + self.random.below(256) as usize;
            let block = vec![0_u8; size].into_boxed_slice();
            match number % 10_000 {
                0 => self.kept.push(block),
                _ => self.in_flight.push_back(block),
            }
            while self.in_flight.len() > at_rest {
                self.in_flight.pop_front();
            }
        }
    }
}
