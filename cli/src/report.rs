//! A page for a browser.

use std::path::PathBuf;

use clap::Args;
use tracemalloc::report::Html;

use crate::failure::Failure;
use crate::flags::Subject;
use crate::input::Selection;
use crate::output::{Content, Destination};

/// Write a page that shows a snapshot in a browser.
#[derive(Args, Debug)]
#[command(after_help = "\
The page is one file that needs no other and no network.

Examples:
  tracemalloc report app.tmsnap.json.gz -o app.html
  tracemalloc report after.tmsnap.json.gz --diff before.tmsnap.json.gz \\
      -o diff.html --title 'Ten requests'")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// Show what changed since this earlier snapshot.
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,

    /// The title of the page.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Omit source lines, which are read from the files that the snapshot names.
    #[arg(long)]
    no_source: bool,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let selection = &options.selection;
    let (new, old) = selection
        .of_whole_stacks()
        .load_with(&options.subject.path, options.diff.as_deref())?;
    let mut page = Html::new()
        .own_code(selection.own_code())
        .source_lines(!options.no_source);
    if let Some(title) = &options.title {
        page = page.title(title);
    }
    options.destination.write(Content::Document, |out| {
        match &old {
            Some(old) => page.write_diff(&new, old, out)?,
            None => page.write(&new, out)?,
        }
        Ok(())
    })
}
