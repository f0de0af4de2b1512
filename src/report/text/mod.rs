//! A table of the largest groups, for a terminal.
//!
//! [`rows`] turns statistics into rows, [`table`] aligns them, [`notes`] says what stands below.
//! Texts come from symbol tables and files of other machines: [`visible`] shows them so that none
//! can steer the terminal.

mod columns;
mod layout;
mod rows;
mod source;
mod style;
mod summary;
mod table;
mod tree;

use std::io::{self, Write};

use super::notes::{self, Whose};
use super::own_code::OwnCode;
use super::visible;
use crate::error::Error;
use crate::snapshot::{
    CodeShares, Counting, GroupBy, Size, SizeDiff, Snapshot, SortBy, Statistic, StatisticDiff, View,
};
use layout::Layout;
use style::Paint;
use table::Table;

pub(super) use rows::share;
pub use source::Source;
pub use style::terminal_color;
pub use summary::Summary;
pub use tree::Tree;

/// A table of the largest groups, as text of 80 columns or of a [width](Self::width) of your choice.
///
/// One row per group, largest first: its rank, bytes, share of all bytes, blocks, average bytes per
/// block and place; below it the function and the source line, where they are known. Below the
/// table: the groups left out, the totals, whether they are estimates, the tracer's own memory, and
/// what the snapshot does not hold.
///
/// Long places are shortened with `…`: paths at their start, functions in their generic arguments and
/// never in the name of the method while that fits. Control characters are shown as escapes. A character counts
/// as one column, so lines with east Asian or combining characters may look longer or shorter.
///
/// ```
/// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback, report::Text};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12).with_function("app::main"));
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 1);
/// let mut out = Vec::new();
/// Text::new().group_by(GroupBy::Function).limit(3).write(&snapshot, &mut out)?;
/// assert!(String::from_utf8_lossy(&out).contains("app::main"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Text {
    group_by: GroupBy,
    counting: Counting,
    sort_by: SortBy,
    own_code: OwnCode,
    limit: usize,
    layout: Layout,
    source_lines: bool,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            group_by: GroupBy::Line,
            counting: Counting::Own,
            sort_by: SortBy::Size,
            own_code: OwnCode::Auto,
            limit: 10,
            layout: Layout::default(),
            source_lines: true,
        }
    }
}

impl Text {
    /// The ten largest lines, without color.
    pub fn new() -> Self {
        Self::default()
    }

    /// What blocks are grouped by. [`GroupBy::Traceback`] shows the whole stack below each row,
    /// oldest frame first.
    #[must_use]
    pub fn group_by(mut self, group_by: GroupBy) -> Self {
        self.group_by = group_by;
        self
    }

    /// Which groups of its stack a block counts for. Has no effect on [`GroupBy::Traceback`], whose
    /// groups have their callers already.
    #[must_use]
    pub fn counting(mut self, counting: Counting) -> Self {
        self.counting = counting;
        self
    }

    /// What groups are ordered by.
    #[must_use]
    pub fn sort_by(mut self, sort_by: SortBy) -> Self {
        self.sort_by = sort_by;
        self
    }

    /// Whether blocks are in the group of the nearest frame of the program's own packages, or of the frame
    /// that made the allocation. A block without own code is in the group `<no own code>`, below which the
    /// crates stand that allocated there. [`OwnCode::Auto`] unless this is called.
    #[must_use]
    pub fn own_code(mut self, own_code: OwnCode) -> Self {
        self.own_code = own_code;
        self
    }

    /// How many groups are shown, at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// How many columns a line may have; 60 at least, 80 unless this is called. Characters count, each as
    /// one column.
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        self.layout = self.layout.with_width(columns);
        self
    }

    /// Whether to set parts of the text off by color. See [`terminal_color`] for whether a writer
    /// shows it.
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.layout = self.layout.with_color(color);
        self
    }

    /// Whether to show source lines, which are read from the files that the snapshot names, as they
    /// are now. Switch it off for a snapshot from someone who is not trusted to name files.
    #[must_use]
    pub fn source_lines(mut self, source_lines: bool) -> Self {
        self.source_lines = source_lines;
        self
    }

    /// Writes the largest groups of `snapshot`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let own = self.own_code.of(snapshot, self.group_by);
        let statistics = match own {
            Some(_) => self.statistics(&snapshot.own_code()),
            None => self.statistics(snapshot),
        };
        if statistics.is_empty() {
            let nothing = match (snapshot.viewed(), snapshot.sample_every()) {
                (View::Live, None) => "No live blocks.".to_owned(),
                (View::Live, Some(_)) => "No live block was sampled.".to_owned(),
                (view, _) => format!("No {view}."),
            };
            writeln!(out, "{nothing}")?;
        } else {
            let (shown, others) = statistics.split_at(self.limit.min(statistics.len()));
            let table = rows::of_statistics(self, shown, snapshot.total_size(), own.as_ref());
            let title = self.title(&notes::heading(snapshot), [shown.len(), statistics.len()]);
            self.write_table(title, &table, own.as_ref(), "the bytes", out)?;
            self.write_others(others, out)?;
            writeln!(out, "{}", notes::total(snapshot))?;
        }
        notes::write_recording(snapshot, Whose::Only, out)?;
        notes::write_peak_hint(snapshot, out)?;
        notes::write_hint([snapshot], out)
    }

    /// Writes the groups that changed most from the snapshot `old` to `new`.
    ///
    /// One row per group, largest change first: its rank, difference in bytes, bytes in `new`,
    /// difference in blocks, blocks in `new`, and place. Groups without a change are not shown.
    ///
    /// # Errors
    ///
    /// [`NotComparable`](crate::ErrorKind::NotComparable) as [`Snapshot::compare_to`], and
    /// [`Io`](crate::ErrorKind::Io) with what `out` returns.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback, report::Text};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let old = Snapshot::from_traces([], 1);
    /// let new = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 1);
    /// let mut out = Vec::new();
    /// Text::new().write_diff(&new, &old, &mut out)?;
    /// assert!(String::from_utf8_lossy(&out).contains("+640 B"));
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn write_diff(
        &self,
        new: &Snapshot,
        old: &Snapshot,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        let own = self.own_code.of_change(new, old, self.group_by)?;
        let diffs = match own {
            Some(_) => self.diffs(&new.own_code(), &old.own_code())?,
            None => self.diffs(new, old)?,
        };
        self.write_changes(&diffs, own.as_ref(), [new, old], out)
            .map_err(|error| Error::io("cannot write", error))
    }

    fn statistics(&self, snapshot: &Snapshot) -> Vec<Statistic> {
        let mut statistics = match self.counts_callers() {
            true => snapshot
                .statistics_with(self.group_by, self.counting)
                .unwrap_or_default(),
            false => snapshot.statistics(self.group_by),
        };
        self.sort_by.sort(&mut statistics);
        statistics
    }

    fn diffs(&self, new: &Snapshot, old: &Snapshot) -> Result<Vec<StatisticDiff>, Error> {
        let mut diffs = match self.counts_callers() {
            true => new.compare_with(old, self.group_by, self.counting)?,
            false => new.compare_to(old, self.group_by)?,
        };
        self.sort_by.sort_diffs(&mut diffs);
        Ok(diffs)
    }

    fn counts_callers(&self) -> bool {
        self.counting != Counting::Own && self.group_by != GroupBy::Traceback
    }

    fn write_changes(
        &self,
        diffs: &[StatisticDiff],
        own: Option<&CodeShares>,
        [new, old]: [&Snapshot; 2],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let changed: Vec<&StatisticDiff> = diffs.iter().filter(|diff| has_changed(diff)).collect();
        if changed.is_empty() {
            writeln!(out, "No change.")?;
        } else {
            let (shown, others) = changed.split_at(self.limit.min(changed.len()));
            let what = match new.sample_every().or(old.sample_every()) {
                None => "Change",
                Some(_) => "Estimated change",
            };
            let what = match new.viewed() {
                View::Live => what.to_owned(),
                view => format!("{what} of {view}"),
            };
            let title = self.title(&what, [shown.len(), changed.len()]);
            let table = rows::of_diffs(self, shown, own);
            self.write_table(title, &table, own, "the change", out)?;
            if !others.is_empty() {
                let size = others
                    .iter()
                    .fold(0, |sum: i64, diff| sum.saturating_add(diff.size_diff));
                match self.counts_callers() {
                    true => writeln!(out, "{} other", others.len())?,
                    false => writeln!(out, "{} other: {:+}", others.len(), SizeDiff(size))?,
                }
            }
        }
        writeln!(out, "{}", notes::total_change(new, old))?;
        notes::write_recording(new, Whose::New, out)?;
        notes::write_recording(old, Whose::Old, out)?;
        notes::write_hint([new, old], out)
    }

    /// `shown` of `all` groups stand below it.
    fn title(&self, what: &str, [shown, all]: [usize; 2]) -> String {
        let mut title = format!("{what} by {}", self.group_by);
        if self.counts_callers() {
            title += ", callers included";
        }
        if let Some(order) = self.unusual_order() {
            title += &format!(", {order} first");
        }
        if shown < all {
            let which = match self.unusual_order() {
                None => "the largest ",
                Some(_) => "",
            };
            title += &format!(", {which}{shown} of {all}");
        }
        title
    }

    fn write_table(
        &self,
        title: String,
        table: &Table,
        own: Option<&CodeShares>,
        what: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if table.rows.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}", self.layout.paint(Paint::Strong, &title))?;
        if let Some(shares) = own {
            for line in self.own_code.header(shares, what, self.group_by) {
                writeln!(out, "{line}")?;
            }
        }
        writeln!(out)?;
        table::write(table, self.layout, out)
    }

    /// What the first groups have most of, if that is not bytes.
    fn unusual_order(&self) -> Option<&'static str> {
        match self.sort_by {
            SortBy::Size => None,
            SortBy::Blocks => Some("most blocks"),
            SortBy::Growth => Some("most growth"),
        }
    }

    fn write_others(&self, others: &[Statistic], out: &mut impl Write) -> io::Result<()> {
        if others.is_empty() {
            return Ok(());
        }
        let size = others
            .iter()
            .fold(0, |sum: u64, other| sum.saturating_add(other.size));
        if self.counts_callers() {
            // Groups overlap: their sum means nothing.
            return writeln!(out, "{} other", others.len());
        }
        writeln!(out, "{} other: {}", others.len(), Size(size))
    }
}

fn has_changed(diff: &StatisticDiff) -> bool {
    diff.size_diff != 0 || diff.count_diff != 0
}
