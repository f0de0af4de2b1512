//! The source of functions, with the memory of each line.

use clap::Args;
use regex_lite::Regex;
use tracemalloc::report::Source;
use tracemalloc::{Frame, FrameFilter};

use crate::failure::Failure;
use crate::flags::{Subject, limit};
use crate::input::{Selection, pattern};
use crate::output::{Content, Destination};

/// Show the source of functions, with the memory of each line.
///
/// Source is read from the files that the snapshot names.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc list load app.tmsnap.json.gz
  tracemalloc list '::Service::' app.tmsnap.json.gz -n all
  tracemalloc list '^app::main$' app.tmsnap.json.gz --focus serde")]
pub(crate) struct Options {
    /// Functions whose full path REGEX finds, without regard to case.
    #[arg(value_name = "REGEX", value_parser = pattern)]
    functions: Regex,

    #[command(flatten)]
    subject: Subject,

    /// How many functions to show, or `all`.
    #[arg(long, short = 'n', value_name = "N", default_value = "10", value_parser = limit)]
    limit: usize,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let snapshot = options.selection.load(&options.subject.path)?;
    let functions = options.functions.clone();
    let is_found = move |frame: &Frame| {
        frame
            .function()
            .is_some_and(|name| functions.is_match(name))
    };
    let source = Source::of(FrameFilter::custom(is_found)).limit(options.limit);
    options.destination.write(Content::Text, |out| {
        let source = source.color(out.color).width(out.width);
        Ok(source.write(&snapshot, out)?)
    })
}
