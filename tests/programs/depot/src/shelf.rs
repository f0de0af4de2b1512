//! Methods.

use std::hint::black_box;

use crate::Kept;

/// As the compiler writes this file's path.
pub const FILE: &str = file!();

pub struct Cache(Vec<Vec<u8>>);
pub struct Index(Vec<Vec<u8>>);

trait Fill {
    fn fill_with(&mut self, size: usize);
}

impl Cache {
    #[inline(never)]
    fn fill(&mut self) {
        self.0.push(vec![1; 1_011]); // 1011: depot::shelf::Cache::fill
        black_box(self);
    }

    #[inline(never)]
    fn fill_each(&mut self) {
        let numbers = black_box(0_u8..1);
        numbers.for_each(|n| {
            self.0.push(vec![n; 1_012]); // 1012: depot::shelf::Cache::fill_each::{closure}
        });
    }
}

impl Index {
    #[inline(never)]
    fn fill(&mut self) {
        self.0.push(vec![1; 1_013]); // 1013: depot::shelf::Index::fill
        black_box(self);
    }
}

impl Fill for Index {
    #[inline(never)]
    fn fill_with(&mut self, size: usize) {
        self.0.push(vec![1; size + 1_000]); // 1014: <depot::shelf::Index as depot::shelf::Fill>::fill_with
        black_box(self);
    }
}

#[inline(never)]
pub fn fill(kept: &mut Kept) {
    let mut cache = Cache(Vec::with_capacity(10));
    let mut index = Index(Vec::with_capacity(10));
    cache.fill();
    cache.fill_each();
    index.fill();
    index.fill_with(black_box(14));
    kept.push(Box::new((cache.0, index.0)));
}
