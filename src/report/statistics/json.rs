//! Statistics as JSON.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::Query;
use crate::error::Error;
use crate::snapshot::{
    Counting, Frame, GroupBy, Snapshot, SortBy, Statistic, StatisticDiff, Traceback,
};

/// Raised when a field changes its meaning. New fields do not raise it.
const VERSION: u32 = 1;

/// Statistics and differences as one JSON object, with the fields of CPython's `Statistic` and
/// `StatisticDiff`. Texts are there as they are, to the character. Numbers are whole and can be
/// beyond 2^53, where readers that keep them as doubles are no longer exact.
///
/// | field | what it is |
/// | --- | --- |
/// | `format` | `"tracemalloc-statistics"` or `"tracemalloc-differences"` |
/// | `version` | 1 |
/// | `group_by` | `file`, `line`, `function`, `crate`, `traceback`, `tag` or `thread` |
/// | `counting` | what a block counts for: `"own"`, `"inclusive"` or `"cumulative"`, as [`Counting`](crate::Counting) |
/// | `snapshot`; of differences `new` and `old` | how it was recorded, see below |
/// | `groups` | number of groups, those beyond the limit too |
/// | `statistics`; of differences `differences` | the groups, largest or most changed first |
///
/// | field of a group | what it is |
/// | --- | --- |
/// | `filename`, `lineno` | the most recent frame of the group; the name of the group and 0 where it stands for no line |
/// | `function`, `crate` | of that frame, where they are known |
/// | `size`, `count` | bytes and blocks; of differences those in the new snapshot |
/// | `size_diff`, `count_diff` | of differences: new minus old |
/// | `traceback` | the frames, oldest first: `filename`, `lineno`, and where they are known `column`, `function`, `crate`, and `path`, the full path of the source file |
/// | `total_nframe` | the depth of the whole stack, where it is known; more than there are frames if it was cut |
/// | `truncated` | true if older frames existed that are not here |
///
/// | field of a snapshot | what it is |
/// | --- | --- |
/// | `size`, `count` | bytes and blocks in all |
/// | `sample_every` | bytes allocated per record, on average: the numbers are estimates then; `null` if every allocation was recorded |
/// | `traceback_limit` | most frames kept per block |
/// | `taken_at` | seconds since the Unix epoch, or `null` |
/// | `process_id` | of the traced process, or `null` |
/// | `peak`, `tracer_memory` | bytes, as in [`Recording`](crate::Recording) |
/// | `resident_memory`, `allocator_memory` | bytes, as in [`Recording`](crate::Recording), or `null` |
/// | `view` | what `size` and `count` are about: `live`, `at_peak`, `allocated` or `temporary` memory, as in [`View`](crate::View) |
/// | `losses` | `blocks`, `stacks`, `replaced`, `incomplete_stacks`, `history_events` and `labels`, as in [`Losses`](crate::Losses) |
/// | `attributes` | [texts of the program's own](crate::Snapshot::attributes), by name |
///
/// ```
/// use tracemalloc::report::Json;
/// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12));
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 25);
/// let mut out = Vec::new();
/// Json::new().group_by(GroupBy::File).limit(10).write(&snapshot, &mut out)?;
/// let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
/// assert_eq!(document["statistics"][0]["filename"], "src/main.rs");
/// assert_eq!(document["statistics"][0]["size"], 640);
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json {
    query: Query,
}

impl Json {
    /// All lines.
    pub fn new() -> Self {
        Self::default()
    }

    setters!();

    /// Writes the groups of `snapshot`, largest first.
    ///
    /// # Errors
    ///
    /// [`CumulativeTraceback`](crate::ErrorKind::CumulativeTraceback) for cumulative statistics by
    /// traceback, and [`Io`](crate::ErrorKind::Io) with what `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> Result<(), Error> {
        let statistics = self.query.statistics(snapshot)?;
        let rows = self.query.shown(&statistics).iter();
        let document = Document {
            format: "tracemalloc-statistics",
            version: VERSION,
            group_by: self.query.group_by.to_string(),
            counting: self.query.counting.to_string(),
            snapshots: Snapshots::One {
                snapshot: SnapshotRow::of(snapshot),
            },
            groups: statistics.len(),
            rows: Rows::Statistics {
                statistics: rows.map(GroupRow::of_statistic).collect(),
            },
        };
        write_document(&document, out)
    }

    /// Writes how the groups of `new` differ from those of `old`, largest change first. Groups that
    /// did not change are there too, as in [`Snapshot::compare_to`].
    ///
    /// # Errors
    ///
    /// [`NotComparable`](crate::ErrorKind::NotComparable) as [`Snapshot::compare_to`], and those of
    /// [`write`](Self::write).
    ///
    /// ```
    /// use tracemalloc::report::Json;
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let old = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 25);
    /// let new = Snapshot::from_traces([], 25);
    /// let mut out = Vec::new();
    /// Json::new().write_diff(&new, &old, &mut out)?;
    /// let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    /// assert_eq!(document["differences"][0]["size_diff"], -640);
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn write_diff(
        &self,
        new: &Snapshot,
        old: &Snapshot,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        let differences = self.query.differences(new, old)?;
        let rows = self.query.shown(&differences).iter();
        let document = Document {
            format: "tracemalloc-differences",
            version: VERSION,
            group_by: self.query.group_by.to_string(),
            counting: self.query.counting.to_string(),
            snapshots: Snapshots::Two {
                new: SnapshotRow::of(new),
                old: SnapshotRow::of(old),
            },
            groups: differences.len(),
            rows: Rows::Differences {
                differences: rows.map(GroupRow::of_difference).collect(),
            },
        };
        write_document(&document, out)
    }
}

fn write_document(document: &Document<'_>, out: &mut impl Write) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(out);
        serde_json::to_writer_pretty(&mut out, document)?;
        writeln!(out)?;
        out.flush()
    };
    write().map_err(|error| Error::io("cannot write", error))
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    group_by: String,
    counting: String,
    #[serde(flatten)]
    snapshots: Snapshots<'a>,
    groups: usize,
    #[serde(flatten)]
    rows: Rows<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Snapshots<'a> {
    One {
        snapshot: SnapshotRow<'a>,
    },
    Two {
        new: SnapshotRow<'a>,
        old: SnapshotRow<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rows<'a> {
    Statistics { statistics: Vec<GroupRow<'a>> },
    Differences { differences: Vec<GroupRow<'a>> },
}

#[derive(Serialize)]
struct SnapshotRow<'a> {
    size: u64,
    count: u64,
    sample_every: Option<u64>,
    traceback_limit: u16,
    taken_at: Option<u64>,
    process_id: Option<u32>,
    peak: u64,
    tracer_memory: u64,
    resident_memory: Option<u64>,
    allocator_memory: Option<u64>,
    view: &'static str,
    losses: BTreeMap<&'static str, u64>,
    attributes: &'a BTreeMap<String, String>,
}

impl<'a> SnapshotRow<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let recording = snapshot.recording();
        Self {
            size: snapshot.total_size(),
            count: snapshot.block_count(),
            sample_every: snapshot.sample_every().map(u64::from),
            traceback_limit: snapshot.traceback_limit(),
            taken_at: recording.taken_at,
            process_id: recording.process_id,
            peak: recording.peak,
            tracer_memory: recording.tracer_memory,
            resident_memory: recording.resident_memory,
            allocator_memory: recording.allocator_memory,
            view: snapshot.viewed().name(),
            losses: recording.losses.by_name().collect(),
            attributes: snapshot.attributes(),
        }
    }
}

#[derive(Serialize)]
struct GroupRow<'a> {
    filename: &'a str,
    lineno: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(rename = "crate", skip_serializing_if = "Option::is_none")]
    crate_name: Option<&'a str>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_diff: Option<i64>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_diff: Option<i64>,
    traceback: FrameRows<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_nframe: Option<u32>,
    truncated: bool,
}

impl<'a> GroupRow<'a> {
    fn of_statistic(statistic: &'a Statistic) -> Self {
        Self::new(&statistic.traceback, statistic.size, statistic.count)
    }

    fn of_difference(diff: &'a StatisticDiff) -> Self {
        Self {
            size_diff: Some(diff.size_diff),
            count_diff: Some(diff.count_diff),
            ..Self::new(&diff.traceback, diff.size, diff.count)
        }
    }

    fn new(traceback: &'a Traceback, size: u64, count: u64) -> Self {
        let frame = traceback.most_recent();
        Self {
            filename: frame.filename(),
            lineno: frame.lineno(),
            function: frame.function(),
            crate_name: frame.crate_name(),
            size,
            size_diff: None,
            count,
            count_diff: None,
            traceback: FrameRows(traceback),
            total_nframe: traceback.total_nframe(),
            truncated: traceback.is_truncated(),
        }
    }
}

/// The frames of a stack, made when they are written.
struct FrameRows<'a>(&'a Traceback);

impl Serialize for FrameRows<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut frames = Vec::new();
        self.0.list_into(&mut frames);
        serializer.collect_seq(frames.into_iter().map(FrameRow::of))
    }
}

#[derive(Serialize)]
struct FrameRow<'a> {
    filename: &'a str,
    lineno: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(rename = "crate", skip_serializing_if = "Option::is_none")]
    crate_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

impl<'a> FrameRow<'a> {
    fn of(frame: &'a Frame) -> Self {
        Self {
            filename: frame.filename(),
            lineno: frame.lineno(),
            column: (frame.column() != 0).then_some(frame.column()),
            function: frame.function(),
            crate_name: frame.crate_name(),
            path: frame.path(),
        }
    }
}
