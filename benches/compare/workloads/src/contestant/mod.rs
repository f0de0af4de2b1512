//! What every contestant's `main` does: prepare, start, run with a clock, stop, say what came out.

mod clock;
mod memory;
mod pinned;
mod resident;
mod serve;

use std::env;
use std::error::Error;

use clock::Clock;

use crate::micro::CASES;
use crate::{Size, WORKLOADS, by_name};

/// An allocator that is installed in this program, and what starts and stops watching it.
#[derive(Clone, Copy, Debug)]
pub struct Contestant<S> {
    /// Begins to record. Not timed.
    pub start: fn() -> S,
    /// Ends it and gives what was counted. Not timed.
    pub stop: fn(S) -> Counts,
    /// Bytes that it uses for itself, if it tells.
    pub own_memory: fn() -> Option<u64>,
}

/// What a contestant counted itself, if it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Calls that gave out a block: allocations and reallocations.
    pub allocations: Option<u64>,
    /// The peak of live bytes.
    pub peak: Option<u64>,
}

impl Contestant<()> {
    /// Records nothing.
    pub const NOTHING: Self = Self {
        start: || (),
        stop: |()| Counts::default(),
        own_memory: || None,
    };
}

impl<S> Contestant<S> {
    /// Does what the command line says, and prints lines that the runners read.
    ///
    /// # Errors
    /// If the command line is not understood, or the process cannot be pinned.
    pub fn main(&self) -> Result<(), Box<dyn Error>> {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match *arguments.as_slice() {
            ["--list"] => {
                for one in WORKLOADS {
                    println!("{}\t{}\t{}", one.name, one.threads, one.about);
                }
                Ok(())
            }
            ["--list-cases"] => {
                for case in CASES {
                    println!("{}\t{}\t{}", case.name, case.threads, case.about);
                }
                Ok(())
            }
            ["--serve", size] => self.serve(read_size(size)?),
            ["--memory", size, cores] => self.memory(read_size(size)?, cores),
            [name, size, cores] => self.run(name, read_size(size)?, cores),
            _ => Err("arguments: WORKLOAD full|small CORES".into()),
        }
    }

    fn run(&self, name: &str, size: Size, cores: &str) -> Result<(), Box<dyn Error>> {
        let workload = by_name(name).ok_or_else(|| format!("no workload {name}"))?;
        pinned::pin(cores)?;
        let work = (workload.prepare)(size);
        let session = (self.start)();
        let clock = Clock::start()?;
        let checksum = work();
        let passed = clock.passed()?;
        let counts = (self.stop)(session);
        print!(
            "result checksum={checksum} wall={} user={} system={} resident={}",
            passed.wall.as_nanos(),
            passed.processor.user.as_nanos(),
            passed.processor.system.as_nanos(),
            resident::peak()?
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
}

fn read_size(size: &str) -> Result<Size, Box<dyn Error>> {
    match size {
        "full" => Ok(Size::Full),
        "small" => Ok(Size::Small),
        _ => Err(format!("neither full nor small: {size}").into()),
    }
}
