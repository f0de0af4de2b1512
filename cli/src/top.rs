//! The largest groups of a snapshot.

use clap::Args;
use tracemalloc::SortBy;

use crate::failure::Failure;
use crate::flags::{Grouping, Sort, Subject, TableFormat};
use crate::input::Selection;
use crate::output::Destination;

/// Show which lines, functions or crates hold the memory.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc top app.tmsnap.json.gz
  tracemalloc top app.tmsnap.json.gz --by crate --sort blocks
  tracemalloc top app.tmsnap.json.gz --by traceback --limit 1
  tracemalloc top app.tmsnap.json.gz --exclude '<std>*' --format json")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// What groups are ordered by.
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

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    options.grouping.check()?;
    let (grouping, selection) = (&options.grouping, &options.selection);
    let snapshot = grouping.stacks(selection).load(&options.subject.path)?;
    let sort_by = SortBy::from(options.sort);
    options.destination.write(grouping.format.content(), |out| {
        match grouping.format {
            TableFormat::Text => {
                let text = grouping.text(selection, sort_by, out);
                text.write(&snapshot, out)?;
            }
            TableFormat::Json => grouping.json(sort_by).write(&snapshot, out)?,
            TableFormat::Csv => grouping.csv(sort_by).write(&snapshot, out)?,
        }
        Ok(())
    })
}
