//! A mapped file is no heap memory: how does it get into snapshots all the same?
//!
//!     cargo run --release --features mmap --example mmap_domain
#![expect(unsafe_code, reason = "a file is mapped")]

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::{env, process};

use memmap2::Mmap;
use tracemalloc::{Domain, Filter, GroupBy, Size, TraceAlloc, Tracked};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const MAPPED: Domain = Domain(1);
const NUMBERS: u64 = 2 << 20;

/// A file in memory, which snapshots show as long as it is mapped.
struct MappedFile {
    _tracked: Tracked, // dropped first: no record of memory that is gone
    map: Mmap,
}

impl MappedFile {
    fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        // SAFETY: this program made the file for itself and changes it no more.
        let map = unsafe { Mmap::map(&File::open(path)?) }?;
        let _tracked = Tracked::new(MAPPED, map.as_ptr().addr(), map.len())?;
        Ok(Self { _tracked, map })
    }
}

/// The sum of every thousandth number: touches few pages of the file.
fn sample(bytes: &[u8]) -> u64 {
    let numbers = bytes.as_chunks::<8>().0.iter().step_by(1_000);
    numbers.map(|bytes| u64::from_le_bytes(*bytes)).sum()
}

/// Live bytes of the heap and of mapped files, in a snapshot.
fn show(what: &str) -> Result<[u64; 2], tracemalloc::Error> {
    let snapshot = tracemalloc::take_snapshot()?;
    let of = |domain| {
        snapshot
            .filter_traces([Filter::include_domain(domain)])
            .total_size()
    };
    let sizes = [Domain::HEAP, MAPPED].map(of);
    println!("{what:<16} {:>10} {:>10}", Size(sizes[0]), Size(sizes[1]));
    Ok(sizes)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::temp_dir().join(format!("tracemalloc-mapped-{}", process::id()));
    fs::write(
        &path,
        (0..NUMBERS).flat_map(u64::to_le_bytes).collect::<Vec<u8>>(),
    )?;

    println!("                       heap     mapped");
    tracemalloc::start(25)?;
    let bytes = fs::read(&path)?;
    let expected = sample(&bytes);
    let read = show("the file is read")?;
    drop(bytes);

    let file = MappedFile::open(&path)?;
    assert_eq!(sample(&file.map), expected);
    let mapped = show("it is mapped")?;
    let snapshot = tracemalloc::take_snapshot()?;
    let mapping = &snapshot.statistics(GroupBy::Line)[0];
    drop(file);
    let gone = show("it is unmapped")?;
    println!("\nThe mapping:\n{mapping}");
    fs::remove_file(&path)?;

    assert_eq!(read, [NUMBERS * 8, 0]);
    assert!(mapped[0] < 1_000 && mapped[1] == NUMBERS * 8);
    assert_eq!(gone[1], 0);
    assert_eq!(
        mapping.traceback.most_recent().filename(),
        "examples/mmap_domain.rs"
    );
    Ok(())
}
