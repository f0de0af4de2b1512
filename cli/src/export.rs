//! Snapshots in the formats of other programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracemalloc::report::{Csv, Dhat, Folded, Json, Pprof};
use tracemalloc::{GroupBy, Snapshot};

use crate::failure::Failure;
use crate::flags::{Subject, Weight};
use crate::input::Selection;
use crate::output::{Content, Destination, Out};

/// Convert a snapshot into the format of another program.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc export app.tmsnap.json.gz --format pprof -o app.pb.gz
  tracemalloc export app.tmsnap.json.gz --format folded | inferno-flamegraph
  tracemalloc export app.tmsnap.json.gz --format dhat -o app.dhat.json
  tracemalloc export after.tmsnap.json.gz --format json \\
      --diff before.tmsnap.json.gz")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// The format.
    #[arg(long, value_name = "FORMAT")]
    format: Format,

    /// Export what changed since this earlier snapshot: as folded stacks, JSON or
    /// CSV.
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,

    /// Write paths as the compiler recorded them into a pprof profile, so that
    /// `go tool pprof -list` finds the sources.
    #[arg(long)]
    full_paths: bool,

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

impl Options {
    /// Refuses what a format cannot express.
    fn check(&self) -> Result<(), Failure> {
        let has_diff = matches!(self.format, Format::Folded | Format::Json | Format::Csv);
        if self.diff.is_some() && !has_diff {
            return Err(Failure::new(
                "--diff needs --format folded, json or csv; pprof compares two profiles itself: go \
                 tool pprof -diff_base OLD NEW",
            ));
        }
        if self.full_paths && self.format != Format::Pprof {
            return Err(Failure::new("--full-paths needs --format pprof"));
        }
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    options.check()?;
    let (new, old) = options
        .selection
        .load_with(&options.subject.path, options.diff.as_deref())?;
    let content = match options.format {
        Format::Pprof => Content::Document,
        Format::Folded | Format::Dhat | Format::Json | Format::Csv => Content::Data,
    };
    options.destination.write(content, |out| match &old {
        None => write(options, &new, out),
        Some(old) => write_diff(options, &new, old, out),
    })
}

fn write(options: &Options, snapshot: &Snapshot, out: &mut Out) -> Result<(), Failure> {
    let whole_stacks = GroupBy::Traceback;
    match options.format {
        Format::Pprof => Pprof::new()
            .full_paths(options.full_paths)
            .write(snapshot, out)?,
        Format::Folded => Folded::new()
            .weight(options.weight.into())
            .write(snapshot, out)?,
        Format::Dhat => Dhat::new().write(snapshot, out)?,
        Format::Json => Json::new().group_by(whole_stacks).write(snapshot, out)?,
        Format::Csv => Csv::new().group_by(whole_stacks).write(snapshot, out)?,
    }
    Ok(())
}

fn write_diff(
    options: &Options,
    new: &Snapshot,
    old: &Snapshot,
    out: &mut Out,
) -> Result<(), Failure> {
    let whole_stacks = GroupBy::Traceback;
    match options.format {
        Format::Folded => Folded::new()
            .weight(options.weight.into())
            .write_diff(new, old, out)?,
        Format::Json => Json::new()
            .group_by(whole_stacks)
            .write_diff(new, old, out)?,
        Format::Csv => Csv::new()
            .group_by(whole_stacks)
            .write_diff(new, old, out)?,
        Format::Pprof | Format::Dhat => unreachable!("refused by `check`"),
    }
    Ok(())
}
