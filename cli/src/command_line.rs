//! The command line: which command answers what. The commands do not know it.

use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::{Failure, Verdict};
use crate::{
    check, completions, diff, export, flamegraph, info, list, man, report, stats, symbolize, top,
    tree, trend,
};

/// Answers questions about saved snapshots of a program's memory.
///
/// A traced program saves snapshots with `Snapshot::dump`, or at exit if the variable
/// TRACEMALLOC_OUT names a file.
#[derive(Debug, Parser)]
#[command(
    name = "tracemalloc",
    version,
    max_term_width = 80,
    after_help = "\
Examples:
  tracemalloc top app.tmsnap.json.gz
  tracemalloc diff before.tmsnap.json.gz after.tmsnap.json.gz
  tracemalloc flamegraph app.tmsnap.json.gz -o app.svg

Exit codes: 0 success, 1 a check failed, 2 wrong usage, or bad input or output."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Top(top::Options),
    Diff(diff::Options),
    Tree(tree::Options),
    List(list::Options),
    Stats(stats::Options),
    Flamegraph(flamegraph::Options),
    Report(report::Options),
    Export(export::Options),
    Trend(trend::Options),
    Check(check::Options),
    Symbolize(symbolize::Options),
    Info(info::Options),
    Completions(completions::Options),
    Man(man::Options),
}

impl Arguments {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        match &self.command {
            Command::Top(options) => top::run(options)?,
            Command::Diff(options) => diff::run(options)?,
            Command::Tree(options) => tree::run(options)?,
            Command::List(options) => list::run(options)?,
            Command::Stats(options) => stats::run(options)?,
            Command::Flamegraph(options) => flamegraph::run(options)?,
            Command::Report(options) => report::run(options)?,
            Command::Export(options) => export::run(options)?,
            Command::Trend(options) => trend::run(options)?,
            Command::Check(options) => return check::run(options),
            Command::Symbolize(options) => symbolize::run(options)?,
            Command::Info(options) => info::run(options)?,
            Command::Completions(options) => completions::run(options, Self::command())?,
            Command::Man(options) => man::run(options, Self::command())?,
        }
        Ok(Verdict::Passed)
    }
}
