//! Exports for viewers and programs, read back by parsers of other people.
//!
//! Whole outputs are in `tests/data/export/`; after a change that is meant,
//! `TRACEMALLOC_BLESS=1 cargo test --all-features --test export` writes them anew. `.ci/consumers`
//! puts exports of the same snapshots before the viewers themselves.

mod errors;
mod golden;
mod hostile;
mod labels;
mod large;
mod numbers;
mod profile;
mod sample;
