//! Refuses memory to the installed tracer, in builds made for that alone:
//! `RUSTFLAGS="--cfg tracemalloc_failpoints"`.

use crate::engine::tracker::TRACKER;

/// Has the system refuse the tracer `count` mappings, from the one with number `from` on.
pub fn refuse_mappings(from: u64, count: u64) {
    TRACKER.refusals().set(from, count);
}

/// Mappings that the tracer has asked for.
pub fn mappings() -> u64 {
    TRACKER.refusals().mappings()
}

/// Mappings that were refused.
pub fn refused() -> u64 {
    TRACKER.refusals().refused()
}
