//! Reading a large file whole, in chunks, or line by line: how much memory does each need at most?
//!
//!     cargo run --release --example chunked_read

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::{env, io, process};

use tracemalloc::{Size, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const LINES: usize = 200_000;

fn write_log(path: &Path) -> io::Result<u64> {
    let mut out = io::BufWriter::new(File::create(path)?);
    for line in 0..LINES {
        writeln!(out, "{line:08} INFO request handled in {} ms", line % 97)?;
    }
    out.flush()?;
    Ok(fs::metadata(path)?.len())
}

type Way = fn(&Path) -> io::Result<usize>;

fn whole(path: &Path) -> io::Result<usize> {
    Ok(fs::read_to_string(path)?.lines().count())
}

fn chunks(path: &Path) -> io::Result<usize> {
    let (mut file, mut buffer, mut lines) = (File::open(path)?, vec![0; 1 << 16], 0);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(lines);
        }
        lines += buffer[..length]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
    }
}

/// One `String` for all lines.
fn read_line(path: &Path) -> io::Result<usize> {
    let (mut file, mut line, mut lines) = (BufReader::new(File::open(path)?), String::new(), 0);
    while file.read_line(&mut line)? > 0 {
        lines += 1;
        line.clear();
    }
    Ok(lines)
}

/// A `String` for each line, which lives until the next.
fn lines(path: &Path) -> io::Result<usize> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines
        .map(|line| line.map(drop))
        .try_fold(0, |lines, line| line.map(|()| lines + 1))
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::temp_dir().join(format!("tracemalloc-chunked-{}", process::id()));
    let size = write_log(&path)?;
    println!(
        "A file of {}\n\nway            peak  allocations",
        Size(size)
    );

    let ways: [(&str, Way); 4] = [
        ("whole", whole),
        ("chunks", chunks),
        ("read_line", read_line),
        ("lines", lines),
    ];
    let mut peaks = Vec::with_capacity(ways.len());
    for (name, read) in ways {
        let (lines, usage) = tracemalloc::measure(|| read(&path));
        assert_eq!(lines?, LINES);
        println!(
            "{name:<9} {:>9} {:>12}",
            Size(usage.peak),
            usage.allocations
        );
        peaks.push(usage.peak);
    }
    fs::remove_file(&path)?;

    assert!(peaks[0] >= size);
    assert!(peaks[1..].iter().all(|peak| *peak < 70_000));
    Ok(())
}
