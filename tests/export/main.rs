//! Exports for viewers and programs, read back by third-party parsers.
//!
//! Whole outputs are in `tests/data/export/`; after an intended change,
//! `TRACEMALLOC_BLESS=1 cargo test --all-features --test export` rewrites them. `.ci/consumers`
//! opens exports of the same snapshots in the viewers themselves.

mod errors;
mod golden;
mod hostile;
mod labels;
mod large;
mod numbers;
mod profile;
mod sample;
