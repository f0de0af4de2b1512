//! How groups develop over a series of snapshots, and which look like leaks.

mod memory;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tracemalloc::report::{short_function, terminal_text};
use tracemalloc::{
    Generation, GroupBy, MemoryGrowth, ProcessMemory, SiteTrend, Size, SizeDiff, Suspect,
    Traceback, Trend,
};

use crate::failure::Failure;
use crate::flags::{Format, group_by, limit};
use crate::input::{Selection, read, warn};
use crate::output::{Content, Destination};
use crate::place;

/// Show what grows over a series of snapshots, and what looks like a leak.
#[derive(Args, Debug)]
#[command(after_help = "\
A suspect is a group whose floor keeps rising. The floor at a snapshot is the
minimum that the group holds from there to the end of the series, so caches that
have filled and maps that swing are no suspects. Eight snapshots are needed;
twenty, from a program under its usual load, are better evidence.

Examples:
  tracemalloc trend snapshots/*.tmsnap.json.gz
  tracemalloc trend snapshots/*.tmsnap.json.gz --by function -n 20
  tracemalloc trend snapshots/*.tmsnap.json.gz --crate my_service --format json")]
pub(crate) struct Options {
    /// Saved snapshots of one program, in any order.
    #[arg(value_name = "SNAPSHOT", required = true)]
    paths: Vec<PathBuf>,

    /// What blocks are grouped by.
    #[arg(long, value_name = "KEY", default_value = "line", value_parser = group_by())]
    by: GroupBy,

    /// How many groups to show, or `all`.
    #[arg(long, short = 'n', value_name = "N", default_value = "10", value_parser = limit)]
    limit: usize,

    /// The form of the output.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (trend, span, own_code) = trend(options)?;
    let mut sites = trend.sites();
    sites.sort_by(|a, b| b.bytes_per_snapshot.total_cmp(&a.bytes_per_snapshot));
    let mut report = Report {
        by: options.by,
        own_code,
        limit: options.limit,
        width: usize::MAX,
        snapshots: trend.len(),
        span,
        suspects: trend.suspects(),
        sites,
        memory: trend.memory().to_vec(),
        memory_growth: trend.memory_growth(),
    };
    match options.format {
        Format::Text => options.destination.write(Content::Text, |out| {
            report.width = out.width;
            Ok(report.write(out)?)
        }),
        Format::Json => {
            let value = report.as_json();
            options
                .destination
                .write(Content::Data, |out| out.json(&value))
        }
    }
}

/// True if a text shows own code: where a table of the `last` snapshot would.
fn shows_own_code(options: &Options, last: &Path) -> Result<bool, Failure> {
    if options.format != Format::Text {
        return Ok(false);
    }
    let last = options.selection.of_whole_stacks().load(last)?;
    Ok(options.selection.own_code().applies_to(&last, options.by))
}

/// The trend, the seconds from the first snapshot to the last if they are known, and whether it is one of
/// own code.
fn trend(options: &Options) -> Result<(Trend, Option<u64>, bool), Failure> {
    // A snapshot may be large, so one at a time is loaded: first for its time alone.
    let mut paths = Vec::new();
    let mut processes = Vec::new();
    for path in &options.paths {
        if path == Path::new("-") {
            return Err(Failure::new("a series cannot be read from standard input"));
        }
        let snapshot = read(path)?;
        let recording = snapshot.recording();
        paths.push((recording.taken_at, path));
        processes.extend(recording.process_id);
    }
    paths.sort_by_key(|(taken_at, _)| *taken_at);
    processes.sort_unstable();
    processes.dedup();
    if processes.len() > 1 {
        warn("the snapshots are of several processes, which do not go on where others end");
    }
    let own_code = match paths.last() {
        Some((_, last)) => shows_own_code(options, last)?,
        None => false,
    };
    let selection = match own_code {
        true => options.selection.with_own_code(),
        false => options.selection.clone(),
    };
    let mut trend = Trend::new(options.by);
    for (_, path) in &paths {
        let snapshot = selection.load(path)?;
        trend
            .push(&snapshot)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    }
    let ends = [paths.first(), paths.last()].map(|end| end.and_then(|(taken_at, _)| *taken_at));
    let span = match ends {
        [Some(first), Some(last)] => Some(last - first),
        _ => None,
    };
    Ok((trend, span, own_code))
}

struct Report {
    by: GroupBy,
    own_code: bool,
    limit: usize,
    /// Columns of a line.
    width: usize,
    snapshots: usize,
    span: Option<u64>,
    suspects: Vec<Suspect>,
    /// Most growth first.
    sites: Vec<SiteTrend>,
    memory: Vec<ProcessMemory>,
    memory_growth: Option<MemoryGrowth>,
}

impl Report {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let snapshots = self.snapshots;
        match self.span {
            Some(seconds) => writeln!(out, "{snapshots} snapshots over {seconds} s")?,
            None => writeln!(out, "{snapshots} snapshots")?,
        }
        if self.own_code {
            let how =
                "Own code: frames of other packages are left out; --own-code=never shows them";
            writeln!(out, "{how}")?;
        }
        writeln!(out)?;
        memory::write(&self.memory, self.memory_growth, self.width, out)?;
        self.write_suspects(out)?;
        self.write_sites(out)
    }

    fn write_suspects(&self, out: &mut impl Write) -> io::Result<()> {
        if self.snapshots < Trend::MIN_SNAPSHOTS {
            let needed = Trend::MIN_SNAPSHOTS;
            return writeln!(out, "Suspects need {needed} snapshots.\n");
        }
        if self.suspects.is_empty() {
            return writeln!(out, "No suspects: no group keeps growing.\n");
        }
        writeln!(out, "Suspects, by {}\n", self.by)?;
        for (number, suspect) in (1..).zip(self.suspects.iter().take(self.limit)) {
            writeln!(
                out,
                "{number:>3}  {}",
                place(&suspect.site.traceback, self.width.saturating_sub(5))
            )?;
            if let Some(function) = function(&suspect.site.traceback, self.width.saturating_sub(5))
            {
                writeln!(out, "     {function}")?;
            }
            for line in suspect.to_string().split("; ") {
                writeln!(out, "       {line}")?;
            }
            if let Some(shares) = shares(&suspect.site.generations, self.width.saturating_sub(7)) {
                writeln!(out, "       {shares}")?;
            }
        }
        let others = self.suspects.len().saturating_sub(self.limit);
        if others > 0 {
            writeln!(out, "     … {others} more")?;
        }
        writeln!(out)
    }

    fn write_sites(&self, out: &mut impl Write) -> io::Result<()> {
        let growing = self
            .sites
            .iter()
            .filter(|site| site.bytes_per_snapshot > 0.0);
        let growing: Vec<&SiteTrend> = growing.collect();
        if growing.is_empty() {
            return writeln!(out, "Nothing grows.");
        }
        let shown = &growing[..self.limit.min(growing.len())];
        match shown.len() < growing.len() {
            true => writeln!(
                out,
                "Growth by {}, the largest {} of {}\n",
                self.by,
                shown.len(),
                growing.len()
            )?,
            false => writeln!(out, "Growth by {}\n", self.by)?,
        }
        let numbers: Vec<[String; 3]> = shown.iter().map(|site| numbers(site)).collect();
        let headings = ["a snapshot", "now", "blocks"];
        let width = |column: usize| {
            let lengths = numbers.iter().map(|row| row[column].len());
            lengths.fold(headings[column].len(), usize::max)
        };
        let widths = [0, 1, 2].map(width);
        let row = |cells: [&str; 3], place: &str| {
            format!(
                "{:>3$}  {:>4$}  {:>5$}  {place}",
                cells[0], cells[1], cells[2], widths[0], widths[1], widths[2]
            )
        };
        writeln!(out, "{}", row(headings, "place"))?;
        for (site, numbers) in shown.iter().zip(&numbers) {
            let cells = [0, 1, 2].map(|column| numbers[column].as_str());
            let indent = row([""; 3], "").len();
            let room = self.width.saturating_sub(indent);
            writeln!(out, "{}", row(cells, &place(&site.traceback, room)))?;
            if let Some(function) = function(&site.traceback, room) {
                writeln!(out, "{:indent$}{function}", "")?;
            }
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let suspects = self.suspects.iter().take(self.limit).map(|suspect| {
            let mut value = site_as_json(&suspect.site);
            value["evidence"] = json!(suspect.to_string());
            value["kept"] = json!({"size": suspect.kept.size, "count": suspect.kept.count});
            value["rises"] = json!(suspect.rises);
            value["deviations"] = json!(suspect.deviations);
            value
        });
        let sites = self.sites.iter().take(self.limit).map(site_as_json);
        json!({
            "by": self.by.to_string(),
            "snapshots": self.snapshots,
            "seconds": self.span,
            "memory": memory::as_json(&self.memory, self.memory_growth),
            "suspects": suspects.collect::<Vec<_>>(),
            "sites": sites.collect::<Vec<_>>(),
        })
    }
}

/// For each interval the part of its blocks that is still live; only as many of the last intervals as fit.
/// `None` without history.
fn shares(generations: &[Generation], width: usize) -> Option<String> {
    let shares: Option<Vec<f64>> = generations
        .iter()
        .map(|generation| {
            generation
                .allocated
                .map(|_| generation.share().unwrap_or(0.0))
        })
        .collect();
    let text: Vec<String> = shares?.into_iter().map(percent).collect();
    let begin = "interval by interval";
    let mut first = text.len();
    let mut used = begin.len() + " … ".len();
    while first > 0 && used + 1 + text[first - 1].len() <= width {
        first -= 1;
        used += 1 + text[first].len();
    }
    let left_out = if first > 0 { "… " } else { "" };
    (first < text.len()).then(|| format!("{begin} {left_out}{}", text[first..].join(" ")))
}

/// A part of 1, with two significant digits.
fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".to_owned(),
        ..0.01 => "<0.01%".to_owned(),
        percent @ ..0.1 => format!("{percent:.3}%"),
        percent @ ..1.0 => format!("{percent:.2}%"),
        percent @ ..10.0 => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

/// Bytes per snapshot, and bytes and blocks at the end.
fn numbers(site: &SiteTrend) -> [String; 3] {
    let last = site.live.last().copied().unwrap_or_default();
    let growth = SizeDiff(site.bytes_per_snapshot.round() as i64);
    [
        format!("{growth:+}"),
        Size(last.size).to_string(),
        last.count.to_string(),
    ]
}

/// The most recent frame, in `width` columns.
fn place(stack: &Traceback, width: usize) -> String {
    let frame = stack.most_recent();
    let name = place::name(frame);
    match frame.is_named() {
        true => short(&name, width),
        false => fitted(&name, width),
    }
}

/// The function of the most recent frame, where that says more than its place, in `width` columns.
fn function(stack: &Traceback, width: usize) -> Option<String> {
    place::function(stack.most_recent()).map(|name| short(name, width))
}

fn short(function: &str, width: usize) -> String {
    short_function(&terminal_text(function), width).into_owned()
}

/// The end of a text that is too long, because the end of a path says most.
fn fitted(text: &str, width: usize) -> String {
    let text = terminal_text(text);
    match text.chars().count().saturating_sub(width) {
        0 => text.into_owned(),
        left_out => {
            let end: String = text.chars().skip(left_out + 1).collect();
            format!("…{end}")
        }
    }
}

fn site_as_json(site: &SiteTrend) -> Value {
    let frame = site.traceback.most_recent();
    let live = site.live.iter().map(|sum| json!([sum.size, sum.count]));
    let generations = site.generations.iter().map(|generation| {
        json!({
            "kept": [generation.kept.size, generation.kept.count],
            "allocated": generation.allocated.map(|sum| [sum.size, sum.count]),
            "share": generation.share(),
        })
    });
    json!({
        "filename": frame.filename(),
        "lineno": frame.lineno(),
        "function": frame.function(),
        "bytes_per_snapshot": site.bytes_per_snapshot,
        "bytes_per_hour": site.bytes_per_hour,
        "grown": site.grown,
        "grown_for": site.grown_for,
        "oldest": site.oldest,
        "live": live.collect::<Vec<_>>(),
        "generations": generations.collect::<Vec<_>>(),
    })
}
