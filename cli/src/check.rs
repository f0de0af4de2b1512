//! Limits on memory, for continuous integration.

mod measure;
mod show;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use tracemalloc::{GroupBy, Snapshot, StatisticDiff};

use crate::failure::{Failure, Verdict};
use crate::flags::{Subject, limit};
use crate::input::Selection;
use crate::limits::{Growth, bytes};
use crate::output::{Content, Destination};
use measure::{Measure, Outcome, Site};

/// Check a snapshot against limits: exit code 1 if one is exceeded.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("limits").required(true).multiple(true).args([
        "max_live", "max_growth", "per_site",
    ])),
    override_usage = "tracemalloc check [OPTIONS] <SNAPSHOT>, with at least one limit",
    after_help = "\
A limit on growth is a number of bytes (65536, 64KiB, 1.5MiB) or a percentage of
what the base snapshot holds (5%). Of nothing, every percentage is nothing.

Examples:
  tracemalloc check app.tmsnap.json.gz --max-live 64MiB
  tracemalloc check new.tmsnap.json.gz --base main.tmsnap.json.gz \\
      --max-growth 5%
  tracemalloc check new.tmsnap.json.gz --base main.tmsnap.json.gz \\
      --per-site 256KiB --format markdown >> \"$GITHUB_STEP_SUMMARY\"

Exit codes: 0 within the limits, 1 a limit exceeded, 2 wrong usage or unusable
input or output."
)]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// The snapshot that growth is measured from.
    #[arg(long, value_name = "OLD")]
    base: Option<PathBuf>,

    /// Maximum of live bytes, or of the bytes that --at-peak, --allocated or --temporary shows.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Limits")]
    max_live: Option<u64>,

    /// Maximum growth of all live bytes together.
    #[arg(
        long,
        value_name = "GROWTH",
        requires = "base",
        help_heading = "Limits"
    )]
    max_growth: Option<Growth>,

    /// Maximum growth of any one line, or of any other group that --by selects.
    #[arg(
        long,
        value_name = "GROWTH",
        requires = "base",
        help_heading = "Limits"
    )]
    per_site: Option<Growth>,

    /// What a site is.
    #[arg(long, value_name = "KEY", default_value = "line", value_parser = sites())]
    by: GroupBy,

    /// How many sites to show after a failure, or `all`.
    #[arg(long, short = 'n', value_name = "N", default_value = "10", value_parser = limit)]
    limit: usize,

    /// The form of the output; Markdown is for a pull request.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
}

fn sites() -> impl TypedValueParser<Value = GroupBy> {
    PossibleValuesParser::new(["file", "line", "function", "crate"])
        .try_map(|name| name.parse::<GroupBy>())
}

pub(crate) fn run(options: &Options) -> Result<Verdict, Failure> {
    let (new, base) = options
        .selection
        .load_with(&options.subject.path, options.base.as_deref())?;
    let outcome = outcome(options, &new, base.as_ref())?;
    let written = match options.format {
        Format::Text => options.destination.write(Content::Text, |out| {
            Ok(show::text(&outcome, out.color, out)?)
        }),
        Format::Markdown => options
            .destination
            .write(Content::Data, |out| Ok(show::markdown(&outcome, out)?)),
        Format::Json => options
            .destination
            .write(Content::Data, |out| out.json(&show::json(&outcome))),
    };
    match written {
        // The exit code says it all the same.
        Ok(()) | Err(Failure::ClosedPipe) => Ok(outcome.verdict()),
        Err(failure) => Err(failure),
    }
}

fn outcome(options: &Options, new: &Snapshot, base: Option<&Snapshot>) -> Result<Outcome, Failure> {
    let mut changes = match base {
        Some(base) => grown(new, base, options.by)?,
        None => Vec::new(),
    };
    let sites = changes.len();
    let mut measures = Vec::new();
    if let Some(max) = options.max_live {
        let size = new.total_size();
        let view = new.viewed();
        measures.push(Measure::Held { view, size, max });
    }
    if let (Some(max), Some(base)) = (options.max_growth, base) {
        let (old, new) = (base.total_size(), new.total_size());
        measures.push(Measure::Growth { old, new, max });
    }
    if let Some(max) = options.per_site {
        changes.retain(|site| max.is_exceeded(old_size(site), site.size));
        measures.push(Measure::PerSite {
            over: changes.len(),
            grown: sites,
            by: options.by,
            max,
        });
    }
    let sites: Vec<Site> = match base {
        Some(_) => changes.into_iter().map(Site::grown).collect(),
        None => new
            .statistics(options.by)
            .into_iter()
            .map(Site::held)
            .collect(),
    };
    Ok(Outcome {
        measures,
        by: options.by,
        view: new.viewed(),
        limit: options.limit,
        sites,
        notes: measure::notes(new, base),
    })
}

/// The sites that hold more than in `base`, most growth first.
fn grown(new: &Snapshot, base: &Snapshot, by: GroupBy) -> Result<Vec<StatisticDiff>, Failure> {
    let mut changes = new.compare_to(base, by)?;
    // What is left is in the order of growth, since that is the absolute change.
    changes.retain(|site| site.size_diff > 0);
    Ok(changes)
}

fn old_size(site: &StatisticDiff) -> u64 {
    site.size.saturating_sub(site.size_diff.unsigned_abs())
}
