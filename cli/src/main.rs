//! `tracemalloc`: questions to saved snapshots, described in `docs/CLI.md`.
//!
//! [`command_line`] says what can be asked, one file per command answers it. All of them share
//! [`flags`], read through [`input`], write through [`output`] and fail by [`failure`].

mod check;
mod command_line;
mod completions;
mod diff;
mod export;
mod failure;
mod flags;
mod flamegraph;
mod info;
mod input;
mod limits;
mod list;
mod man;
mod output;
mod place;
mod report;
mod stats;
mod symbolize;
mod top;
mod tree;
mod trend;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use command_line::Arguments;
use failure::{Failure, Verdict};
use tracemalloc::report::terminal_text;

fn main() -> ExitCode {
    // A wrong command line ends the process here, with code 2.
    match Arguments::parse().run() {
        // Who closed the pipe has read enough.
        Ok(Verdict::Passed) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Verdict::OverBudget) => ExitCode::from(1),
        Err(Failure::Message(message)) => {
            // If standard error is closed, nothing can be reported.
            let _ = writeln!(io::stderr(), "error: {}", terminal_text(&message));
            ExitCode::from(2)
        }
    }
}
