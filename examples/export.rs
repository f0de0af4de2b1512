//! Snapshots for the viewers that people use already: flame graphs, pprof, DHAT, spreadsheets.
//! `docs/EXPORT.md` tells what opens the files.
//!
//!     cargo run --release --features pprof --example export [FOLDER [SNAPSHOT [OLDER-SNAPSHOT]]]
//!
//! Without a snapshot it traces a JSON parser that reads a document twice.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{env, io};

use tracemalloc::report::{Csv, Dhat, Folded, Json, Pprof, Weight};
use tracemalloc::{GroupBy, Snapshot, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// A document of some size that comes with this crate.
const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/vectors/cases/random_17_n296.json"
);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().unwrap_or_else(|| "target/export".into());
    let (new, old) = match arguments.next() {
        None => traced()?,
        Some(new) => {
            let old = arguments.next().unwrap_or_else(|| new.clone());
            (Snapshot::load(new)?, Snapshot::load(old)?)
        }
    };
    fs::create_dir_all(&folder)?;
    write_all(&folder, &new, &old)?;

    // What the files claim: every byte of the snapshot is in them.
    let weights = folded_weights(&folder.join("bytes.folded"))?;
    let folded = weights
        .iter()
        .fold(0, |sum: u64, weight| sum.saturating_add(*weight));
    let total = new.total_size();
    if new.sample_every().is_none() {
        assert_eq!(folded, total);
    }
    println!("{total} bytes exported to {}", folder.display());
    Ok(())
}

/// A snapshot with two copies of the document, and one with the first copy alone.
fn traced() -> Result<(Snapshot, Snapshot), Box<dyn Error>> {
    let text = fs::read_to_string(DOCUMENT)?;
    // Stacks that are cut begin anywhere, and a flame graph of them has many roots.
    tracemalloc::start(128)?;
    let first: serde_json::Value = serde_json::from_str(&text)?;
    let old = tracemalloc::take_snapshot()?;
    let second: serde_json::Value = serde_json::from_str(&text)?;
    let new = tracemalloc::take_snapshot()?;
    tracemalloc::stop();
    drop((first, second));
    Ok((new, old))
}

fn write_all(folder: &Path, new: &Snapshot, old: &Snapshot) -> Result<(), Box<dyn Error>> {
    let create = |name: &str| -> io::Result<File> { File::create(folder.join(name)) };
    let blocks = Folded::new().weight(Weight::Blocks);
    Folded::new().write(new, &mut create("bytes.folded")?)?;
    Folded::new().write(old, &mut create("old-bytes.folded")?)?;
    blocks.write(new, &mut create("blocks.folded")?)?;
    Folded::new().write_diff(new, old, &mut create("diff.folded")?)?;

    Pprof::new().write(new, &mut create("heap.pb.gz")?)?;
    Pprof::new().write(old, &mut create("old-heap.pb.gz")?)?;
    let apart = Pprof::new().separate_inlined(true);
    apart.write(new, &mut create("speedscope.pb.gz")?)?;
    Dhat::new().write(new, &mut create("dhat.json")?)?;

    Json::new().write(new, &mut create("lines.json")?)?;
    Json::new().write_diff(new, old, &mut create("diff.json")?)?;
    let stacks = Csv::new().group_by(GroupBy::Traceback);
    Csv::new().write(new, &mut create("lines.csv")?)?;
    Csv::new().write_diff(new, old, &mut create("diff.csv")?)?;
    stacks.write(new, &mut create("stacks.csv")?)?;
    Ok(())
}

fn folded_weights(path: &Path) -> Result<Vec<u64>, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let weights = text.lines().filter_map(|line| line.rsplit(' ').next());
    Ok(weights.map(str::parse).collect::<Result<_, _>>()?)
}
