//! Flags that several commands share.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use tracemalloc::report::{Csv, Json, Text};
use tracemalloc::{Counting, GroupBy, SortBy, View};

use crate::failure::Failure;
use crate::input::Selection;
use crate::output::{Content, Out};

/// The one snapshot that a command is about.
#[derive(Args, Debug)]
pub(crate) struct Subject {
    /// A saved snapshot; `-` is standard input.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) path: PathBuf,
}

/// What the numbers are about, if not live memory.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
#[command(next_help_heading = "Which blocks and frames")]
pub(crate) struct ViewFlags {
    /// Show what was live at the peak of the program's memory. This and the next
    /// two need a snapshot that was recorded with TRACEMALLOC_HISTORY=1.
    #[arg(long)]
    at_peak: bool,

    /// Show all that was allocated since tracing started, freed or not.
    #[arg(long)]
    allocated: bool,

    /// Show what was freed soon after its allocation.
    #[arg(long)]
    temporary: bool,
}

impl ViewFlags {
    pub(crate) fn view(&self) -> View {
        match (self.at_peak, self.allocated, self.temporary) {
            (true, _, _) => View::AtPeak,
            (_, true, _) => View::Allocated,
            (_, _, true) => View::Temporary,
            _ => View::Live,
        }
    }
}

/// A text that begins a title.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.clone()).collect()
}

/// How a table of groups is made.
#[derive(Args, Debug)]
#[command(next_help_heading = "Table")]
pub(crate) struct Grouping {
    /// What blocks are grouped by.
    #[arg(long, value_name = "KEY", default_value = "line", value_parser = group_by())]
    pub(crate) by: GroupBy,

    /// How many groups to show, or `all`.
    #[arg(long, short = 'n', value_name = "N", default_value = "10", value_parser = limit)]
    pub(crate) limit: usize,

    /// Count a block for all of its callers too, not only for the frame that
    /// made the allocation.
    #[arg(long)]
    pub(crate) inclusive: bool,

    /// Do not read source lines from the files that the snapshot names.
    #[arg(long)]
    pub(crate) no_source: bool,

    /// The form of the output.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: TableFormat,
}

impl Grouping {
    /// Refuses what the library would have to ignore.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.inclusive && self.by == GroupBy::Traceback {
            return Err(Failure::new(
                "--inclusive cannot be used with --by traceback: choose file, line, function or \
                 crate",
            ));
        }
        Ok(())
    }

    /// What a table is made of: a text leaves frames out itself.
    pub(crate) fn stacks(&self, selection: &Selection) -> Selection {
        match self.format {
            TableFormat::Text => selection.of_whole_stacks(),
            TableFormat::Json | TableFormat::Csv => selection.clone(),
        }
    }

    fn counting(&self) -> Counting {
        match self.inclusive {
            true => Counting::Inclusive,
            false => Counting::Own,
        }
    }

    pub(crate) fn text(&self, selection: &Selection, sort_by: SortBy, out: &Out) -> Text {
        Text::new()
            .own_code(selection.own_code())
            .group_by(self.by)
            .counting(self.counting())
            .sort_by(sort_by)
            .limit(self.limit)
            .source_lines(!self.no_source)
            .color(out.color)
            .width(out.width)
    }

    pub(crate) fn json(&self, sort_by: SortBy) -> Json {
        Json::new()
            .group_by(self.by)
            .counting(self.counting())
            .sort_by(sort_by)
            .limit(self.limit)
    }

    pub(crate) fn csv(&self, sort_by: SortBy) -> Csv {
        Csv::new()
            .group_by(self.by)
            .counting(self.counting())
            .sort_by(sort_by)
            .limit(self.limit)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    Text,
    Json,
    Csv,
}

impl TableFormat {
    pub(crate) fn content(self) -> Content {
        match self {
            Self::Text => Content::Text,
            Self::Json | Self::Csv => Content::Data,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What the groups of one snapshot are ordered by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Sort {
    Size,
    Blocks,
}

impl From<Sort> for SortBy {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Size => Self::Size,
            Sort::Blocks => Self::Blocks,
        }
    }
}

/// What the size of something in a picture or a tree stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weight {
    Bytes,
    Blocks,
}

impl From<Weight> for tracemalloc::report::Weight {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Bytes => Self::Bytes,
            Weight::Blocks => Self::Blocks,
        }
    }
}

pub(crate) fn group_by() -> impl TypedValueParser<Value = GroupBy> {
    PossibleValuesParser::new([
        "file",
        "line",
        "function",
        "crate",
        "type",
        "traceback",
        "tag",
        "thread",
    ])
    .try_map(|name| name.parse::<GroupBy>())
}

pub(crate) fn limit(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text
            .parse()
            .map_err(|_| "expected a number or `all`".to_owned()),
    }
}
