//! What a snapshot of a million distinct stacks costs: to save, to load, to ask, to export; and what
//! its file would be in other encodings.
//!
//! `cargo run --release --manifest-path benches/large/Cargo.toml [STACKS [ROUNDS]]` prints the
//! tables. Each step of each round is a process of its own, so that its peak of memory is its own.
//! Times are those of the processor, since a machine has other things to do.

mod encodings;
mod measure;
mod rounds;
// The fields of the file, as the crate itself writes and reads them.
#[path = "../../../src/snapshot/file/schema.rs"]
#[expect(dead_code, reason = "the crate uses the rest")]
mod schema;
mod snapshot;
mod stacks;
mod steps;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const STACKS: usize = 1_000_000;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["step", name, stacks, file] => steps::run(name, stacks.parse()?, Path::new(file)),
        [] => all(STACKS, ROUNDS),
        [stacks] => all(stacks.parse()?, ROUNDS),
        [stacks, rounds] => all(stacks.parse()?, rounds.parse()?),
        _ => Err("usage: large [STACKS [ROUNDS]]".into()),
    }
}

fn all(stacks: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = env::temp_dir().join(format!("tracemalloc-large-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = rounds::run(stacks, rounds, &folder.join("large.tmsnap.json.gz"));
    fs::remove_dir_all(&folder)?;
    outcome
}
