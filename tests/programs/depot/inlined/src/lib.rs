//! Generic code alone, which the compiler puts into the crates that use it.

use std::hint::black_box;

/// As the compiler writes this file's path.
pub const FILE: &str = file!();

#[inline(never)]
pub fn filled<T: Clone>(value: T) -> Vec<T> {
    black_box(vec![value; 1_008]) // 1008: inlined::filled
}

/// Allocates, by code that belongs to the line that calls it.
#[macro_export]
macro_rules! grown {
    ($size:expr) => {{
        let mut grown = Vec::<u8>::new();
        grown.reserve_exact($size);
        grown
    }};
}
