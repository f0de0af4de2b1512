//! The steps, each run in a process of its own.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tracemalloc::report::{Folded, Html, Pprof};
use tracemalloc::{Counting, GroupBy, Snapshot};

use crate::measure::measured;
use crate::{encodings, stacks};

/// Those that need the saved file come after the one that saves it.
pub const STEPS: [&str; 8] = [
    "save",
    "load",
    "statistics",
    "compare",
    "pprof",
    "folded",
    "html",
    "encodings",
];

pub fn run(name: &str, stacks: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    match name {
        "save" => save(stacks, file),
        "load" => load(file).map(drop),
        "statistics" => statistics(&load(file)?),
        "compare" => compare(&load(file)?, &load(file)?),
        "encodings" => encodings::all(file),
        _ => export(name, &load(file)?),
    }
}

fn save(stacks: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    let make = || Ok(stacks::snapshot(stacks));
    let snapshot = measured("make", make, |_| 0)?;
    let size = |_: &()| fs::metadata(file).map_or(0, |found| found.len());
    measured("dump", || Ok(snapshot.dump(file)?), size)
}

fn load(file: &Path) -> Result<Snapshot, Box<dyn Error>> {
    measured("load", || Ok(Snapshot::load(file)?), |_| 0)
}

fn statistics(snapshot: &Snapshot) -> Result<(), Box<dyn Error>> {
    for group_by in [GroupBy::Line, GroupBy::Function, GroupBy::Traceback] {
        let work = || Ok(snapshot.statistics(group_by).len());
        measured(&format!("statistics by {group_by}"), work, |_| 0)?;
    }
    let work = || {
        Ok(snapshot
            .statistics_with(GroupBy::Line, Counting::Inclusive)?
            .len())
    };
    measured("statistics by line, callers included", work, |_| 0).map(drop)
}

fn compare(new: &Snapshot, old: &Snapshot) -> Result<(), Box<dyn Error>> {
    for group_by in [GroupBy::Line, GroupBy::Traceback] {
        let work = || Ok(new.compare_to(old, group_by)?.len());
        measured(&format!("compare_to by {group_by}"), work, |_| 0)?;
    }
    Ok(())
}

fn export(name: &str, snapshot: &Snapshot) -> Result<(), Box<dyn Error>> {
    let work = || {
        let mut out = Counted(0);
        write(name, snapshot, &mut out)?;
        Ok(out.0)
    };
    measured(name, work, |bytes| *bytes).map(drop)
}

fn write(name: &str, snapshot: &Snapshot, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    match name {
        "pprof" => Pprof::new().write(snapshot, out)?,
        "folded" => Folded::new().write(snapshot, out)?,
        "html" => Html::new().write(snapshot, out)?,
        _ => return Err(format!("no such step: {name}").into()),
    }
    Ok(())
}

/// Takes what is written and keeps its number of bytes.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
