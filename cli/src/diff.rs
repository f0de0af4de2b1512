//! The groups that changed between two snapshots.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracemalloc::SortBy;

use crate::failure::Failure;
use crate::flags::{Grouping, TableFormat};
use crate::input::Selection;
use crate::output::Destination;

/// Show what changed from one snapshot to another.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc diff before.tmsnap.json.gz after.tmsnap.json.gz
  tracemalloc diff before.tmsnap.json.gz after.tmsnap.json.gz --sort growth
  tracemalloc diff before.tmsnap.json.gz after.tmsnap.json.gz --by traceback \\
      --limit 1")]
pub(crate) struct Options {
    /// The earlier snapshot.
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The later snapshot.
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// What groups are ordered by: the absolute change in bytes or in blocks, or
    /// growth in bytes first and shrinkage last.
    #[arg(
        long,
        value_name = "KEY",
        default_value = "size",
        help_heading = "Table"
    )]
    sort: Sort,

    #[command(flatten)]
    grouping: Grouping,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Size,
    Blocks,
    Growth,
}

impl From<Sort> for SortBy {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Size => Self::Size,
            Sort::Blocks => Self::Blocks,
            Sort::Growth => Self::Growth,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    options.grouping.check()?;
    let (grouping, selection) = (&options.grouping, &options.selection);
    let stacks = grouping.stacks(selection);
    let (old, new) = stacks.load_pair(&options.old, &options.new)?;
    let sort_by = SortBy::from(options.sort);
    options.destination.write(grouping.format.content(), |out| {
        match grouping.format {
            TableFormat::Text => {
                let text = grouping.text(selection, sort_by, out);
                text.write_diff(&new, &old, out)?;
            }
            TableFormat::Json => grouping.json(sort_by).write_diff(&new, &old, out)?,
            TableFormat::Csv => grouping.csv(sort_by).write_diff(&new, &old, out)?,
        }
        Ok(())
    })
}
