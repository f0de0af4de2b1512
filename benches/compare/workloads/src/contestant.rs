//! What every contestant's `main` does: prepare, start, run with a clock, stop, say what came out.

mod clock;
mod pinned;

use std::env;
use std::error::Error;
use std::fs;

use clock::Clock;

use crate::{Size, WORKLOADS, by_name};

/// What a contestant counted itself, if it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Calls that gave out a block: allocations and reallocations.
    pub allocations: Option<u64>,
    /// The most bytes that were live at once.
    pub peak: Option<u64>,
}

/// Runs the workload that the command line names, or lists them all.
///
/// `start` begins what the contestant does and `stop` ends it; neither is timed. The line that is
/// printed has the names and values that the runner reads.
///
/// # Errors
/// If the command line is not understood, or the process cannot be pinned.
pub fn run<S>(
    start: impl FnOnce() -> S,
    stop: impl FnOnce(S) -> Counts,
) -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (name, size, cores) = match arguments.as_slice() {
        [list] if list == "--list" => {
            for workload in WORKLOADS {
                println!(
                    "{}\t{}\t{}",
                    workload.name, workload.threads, workload.about
                );
            }
            return Ok(());
        }
        [name, size, cores] => (name, size, cores),
        _ => return Err("arguments: --list, or WORKLOAD full|small CORES".into()),
    };
    let workload = by_name(name).ok_or_else(|| format!("no workload {name}"))?;
    let size = match size.as_str() {
        "full" => Size::Full,
        "small" => Size::Small,
        _ => return Err(format!("neither full nor small: {size}").into()),
    };
    pinned::pin(cores)?;
    let work = (workload.prepare)(size);
    let session = start();
    let clock = Clock::start()?;
    let checksum = work();
    let passed = clock.passed()?;
    let counts = stop(session);
    print!(
        "result checksum={checksum} wall={} processor={} resident={}",
        passed.wall.as_nanos(),
        passed.processor.as_nanos(),
        peak_resident().unwrap_or_default()
    );
    if let Some(allocations) = counts.allocations {
        print!(" allocations={allocations}");
    }
    if let Some(peak) = counts.peak {
        print!(" peak={peak}");
    }
    println!();
    Ok(())
}

/// The most memory that the process had resident so far, in KiB.
fn peak_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
