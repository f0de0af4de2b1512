//! Measures a small piece of work for each request. The runner switches to the next contestant after
//! every piece, so noise of the machine affects all contestants alike.

use std::error::Error;
use std::io::{self, BufRead, Write};

use super::clock::Clock;
use super::{Contestant, pinned};
use crate::Size;
use crate::micro::{CASES, Case, Piece};

impl<S> Contestant<S> {
    /// Reads lines of a case's name and the cores to run on, and answers each with the number of
    /// pairs of allocation and free that each thread did, and the nanoseconds of the wall clock and
    /// of the processor.
    pub(super) fn serve(&self, size: Size) -> Result<(), Box<dyn Error>> {
        let session = (self.start)();
        let mut prepared: Option<(Case, Box<dyn Piece>)> = None;
        for line in io::stdin().lock().lines() {
            let line = line?;
            let (name, cores) = line.split_once(' ').ok_or("a line without cores")?;
            pinned::pin(cores)?;
            if prepared.as_ref().is_none_or(|(case, _)| case.name != name) {
                // The blocks of the last case go first.
                drop(prepared.take());
                let case = CASES.into_iter().find(|case| case.name == name);
                let case = case.ok_or_else(|| format!("no case {name}"))?;
                prepared = Some((case, (case.prepare)(size)));
            }
            let (_, piece) = prepared.as_mut().ok_or("nothing is prepared")?;
            let clock = Clock::start()?;
            let pairs = piece.run();
            let passed = clock.passed()?;
            println!(
                "{pairs} {} {}",
                passed.wall.as_nanos(),
                passed.processor.both().as_nanos()
            );
            io::stdout().flush()?;
        }
        drop(prepared);
        (self.stop)(session);
        Ok(())
    }
}
