//! Snapshots in the formats of other programs.

use clap::{Args, ValueEnum};
use tracemalloc::GroupBy;
use tracemalloc::report::{Csv, Dhat, Folded, Json, Pprof};

use crate::failure::Failure;
use crate::flags::{Subject, Weight};
use crate::input::Selection;
use crate::output::{Content, Destination};

/// Convert a snapshot into the format of another program.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc export app.tmsnap.json.gz --format pprof -o app.pb.gz
  tracemalloc export app.tmsnap.json.gz --format folded | inferno-flamegraph
  tracemalloc export app.tmsnap.json.gz --format dhat -o app.dhat.json")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// The format.
    #[arg(long, value_name = "FORMAT")]
    format: Format,

    /// What folded stacks are weighed by.
    #[arg(long, value_name = "KEY", default_value = "bytes")]
    weight: Weight,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For `go tool pprof`, speedscope, Perfetto, Pyroscope and Parca.
    Pprof,
    /// One stack to a line, for flame graphs and text tools.
    Folded,
    /// For DHAT's viewer and the Firefox Profiler.
    Dhat,
    /// Every stack with its bytes and blocks.
    Json,
    /// Every stack with its bytes and blocks, for spreadsheets.
    Csv,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let snapshot = options.selection.load(&options.subject.path)?;
    let content = match options.format {
        Format::Pprof => Content::Document,
        Format::Folded | Format::Dhat | Format::Json | Format::Csv => Content::Data,
    };
    let whole_stacks = GroupBy::Traceback;
    options.destination.write(content, |out| {
        match options.format {
            Format::Pprof => Pprof::new().write(&snapshot, out)?,
            Format::Folded => Folded::new()
                .weight(options.weight.into())
                .write(&snapshot, out)?,
            Format::Dhat => Dhat::new().write(&snapshot, out)?,
            Format::Json => Json::new().group_by(whole_stacks).write(&snapshot, out)?,
            Format::Csv => Csv::new().group_by(whole_stacks).write(&snapshot, out)?,
        }
        Ok(())
    })
}
