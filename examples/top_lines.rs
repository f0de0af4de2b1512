//! The first program to run: which lines of a JSON parser hold the memory of a parsed document?
//!
//!     cargo run --release --example top_lines [FILE.json]

use std::error::Error;
use std::{env, fs, io};

use tracemalloc::report::{OwnCode, Text};
use tracemalloc::{GroupBy, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// A document of some size that comes with this crate.
const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/vectors/cases/random_17_n296.json"
);

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).unwrap_or_else(|| DOCUMENT.to_owned());
    let text = fs::read_to_string(path)?;

    tracemalloc::start(25)?;
    let document: serde_json::Value = serde_json::from_str(&text)?;
    let snapshot = tracemalloc::take_snapshot()?;
    let memory = tracemalloc::get_traced_memory();
    tracemalloc::stop();

    Text::new()
        .group_by(GroupBy::Line)
        // The question is about a dependency: own code has one line, the one that calls the parser.
        .own_code(OwnCode::Never)
        .limit(10)
        .write(&snapshot, &mut io::stdout())?;

    // What the table claims: it accounts for every byte, and the memory is the parser's.
    let lines = snapshot.statistics(GroupBy::Line);
    assert_eq!(
        lines.iter().map(|line| line.size).sum::<u64>(),
        memory.current
    );
    assert!(lines[0].size >= lines[1].size);
    let crates = snapshot.statistics(GroupBy::Crate);
    assert_eq!(crates[0].traceback.most_recent().to_string(), "serde_json");
    drop(document);
    Ok(())
}
