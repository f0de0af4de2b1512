//! The command-line tool, run as a user runs it. Whole outputs are in `cli/tests/data/`; after an
//! intended change, `TRACEMALLOC_BLESS=1 cargo test -p tracemalloc-cli` rewrites them.

mod color;
mod errors;
mod exports;
mod folder;
mod golden;
mod help;
mod json;
mod names;
mod outputs;
mod selection;
mod symbolize;
mod tool;
