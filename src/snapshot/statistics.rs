//! Sums of blocks per group, and how they differ between two snapshots.

use std::fmt;

use super::counting::Counting;
use super::group_by::GroupBy;
use super::grouping::{Group, Grouping};
use super::size::{Bytes, Size, SizeDiff, difference};
use super::total::Total;
use super::trace::Snapshot;
use super::traceback::Traceback;
use crate::error::{Error, ErrorKind};

/// The blocks of one group, summed.
///
/// `Display` writes CPython's form, `FILE:LINE: size=S, count=N, average=A`, where `FILE:LINE` is
/// the oldest frame of `traceback`, and the average is left out of an empty group.
///
/// ```
/// use tracemalloc::{Frame, Statistic, Traceback};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12));
/// let statistic = Statistic::new(line, 20_480, 10);
/// assert_eq!(statistic.to_string(), "src/main.rs:12: size=20.0 KiB, count=10, average=2048 B");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Statistic {
    /// What the blocks share: the whole stack, or one frame that stands for a line, file, function
    /// or crate.
    pub traceback: Traceback,
    /// Bytes.
    pub size: u64,
    /// Blocks.
    pub count: u64,
}

impl Statistic {
    /// A group of `count` blocks that hold `size` bytes together.
    pub fn new(traceback: Traceback, size: u64, count: u64) -> Self {
        Self {
            traceback,
            size,
            count,
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            traceback,
            size,
            count,
        } = self;
        write!(out, "{traceback}: size={}, count={count}", Size(*size))?;
        write_average(out, *size, *count)
    }
}

/// The blocks of one group in a new snapshot, and the difference to an old one.
///
/// `Display` writes CPython's form, `FILE:LINE: size=S (±D), count=N (±M), average=A`, where
/// `FILE:LINE` is the oldest frame of `traceback`, and the average is left out of an empty group.
///
/// ```
/// use tracemalloc::{Frame, StatisticDiff, Traceback};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12));
/// let diff = StatisticDiff::new(line, 64, -36, 2, 0);
/// assert_eq!(diff.to_string(), "src/main.rs:12: size=64 B (-36 B), count=2 (+0), average=32 B");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StatisticDiff {
    /// What the blocks share, as in [`Statistic`].
    pub traceback: Traceback,
    /// Bytes in the new snapshot.
    pub size: u64,
    /// Bytes in the new snapshot minus bytes in the old one.
    pub size_diff: i64,
    /// Blocks in the new snapshot.
    pub count: u64,
    /// Blocks in the new snapshot minus blocks in the old one.
    pub count_diff: i64,
}

impl StatisticDiff {
    /// A group with its bytes and blocks in the new snapshot, and their differences to the old one.
    pub fn new(
        traceback: Traceback,
        size: u64,
        size_diff: i64,
        count: u64,
        count_diff: i64,
    ) -> Self {
        Self {
            traceback,
            size,
            size_diff,
            count,
            count_diff,
        }
    }
}

impl fmt::Display for StatisticDiff {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: size={} ({:+}), count={} ({:+})",
            self.traceback,
            Size(self.size),
            SizeDiff(self.size_diff),
            self.count,
            self.count_diff,
        )?;
        write_average(out, self.size, self.count)
    }
}

fn write_average(out: &mut fmt::Formatter<'_>, size: u64, count: u64) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    write!(out, ", average={}", Bytes(size as f64 / count as f64))
}

/// A group in two snapshots.
struct Change {
    new: Total,
    old: Total,
}

impl Change {
    fn size_diff(&self) -> i64 {
        difference(self.new.size, self.old.size)
    }

    fn count_diff(&self) -> i64 {
        difference(self.new.count, self.old.count)
    }

    /// What changes are ordered by.
    fn amounts(&self) -> (u64, u64, u64, u64) {
        (
            self.size_diff().unsigned_abs(),
            self.new.size,
            self.count_diff().unsigned_abs(),
            self.new.count,
        )
    }

    fn of(self, traceback: Traceback) -> StatisticDiff {
        let (size_diff, count_diff) = (self.size_diff(), self.count_diff());
        StatisticDiff::new(
            traceback,
            self.new.size,
            size_diff,
            self.new.count,
            count_diff,
        )
    }
}

/// The groups with what `sums` says of each, by its number. Greatest `amounts` first; of equal ones
/// the greater traceback.
fn descending<T, A: Ord>(
    groups: Vec<Group>,
    sums: impl Fn(usize) -> T,
    amounts: impl Fn(&T) -> A,
) -> impl Iterator<Item = (T, Traceback)> {
    let numbered = groups.into_iter().enumerate();
    let mut rows: Vec<(T, Group)> = numbered
        .map(|(number, group)| (sums(number), group))
        .collect();
    rows.sort_unstable_by(|(a, a_group), (b, b_group)| {
        amounts(b)
            .cmp(&amounts(a))
            .then_with(|| b_group.cmp_traceback(a_group))
    });
    rows.into_iter()
        .map(|(sums, group)| (sums, group.traceback))
}

impl Snapshot {
    /// The blocks summed per group. Every block is counted once, in the group of the frame that
    /// made the allocation, or of its whole stack ([`GroupBy::Traceback`]).
    ///
    /// Largest first: by size in bytes, then number of blocks, then traceback, all descending. Sums
    /// stop at `u64::MAX`. They are estimates if the snapshot is [sampled](Self::sample_every).
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let block = Trace::new(Domain::HEAP, 100, line);
    /// let snapshot = Snapshot::from_traces([block.clone(), block], 1);
    /// let top = &snapshot.statistics(GroupBy::File)[0];
    /// assert_eq!(top.to_string(), "src/main.rs:0: size=200 B, count=2, average=100 B");
    /// ```
    pub fn statistics(&self, group_by: GroupBy) -> Vec<Statistic> {
        self.summed(group_by, Counting::Own)
    }

    /// The blocks summed per group, where a block counts for the groups that `counting` says.
    /// [`Counting::Own`] makes the groups of [`statistics`](Self::statistics).
    ///
    /// Largest first, as `statistics`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CumulativeTraceback`] for [`Counting::Cumulative`] by [`GroupBy::Traceback`]: a
    /// whole stack is not in a stack several times.
    ///
    /// ```
    /// use tracemalloc::{Counting, Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let frames = [("main", 3), ("parse", 40)]
    ///     .map(|(name, line)| Frame::new("src/main.rs", line).with_function(name));
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 100, stack)], 3);
    /// let functions = snapshot.statistics_with(GroupBy::Function, Counting::Inclusive)?;
    /// assert_eq!(functions[1].to_string(), "main: size=100 B, count=1, average=100 B");
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn statistics_with(
        &self,
        group_by: GroupBy,
        counting: Counting,
    ) -> Result<Vec<Statistic>, Error> {
        check_counting(group_by, counting)?;
        Ok(self.summed(group_by, counting))
    }

    /// How the groups of [`statistics`](Self::statistics) differ from those of an `old` snapshot.
    /// Every group of either snapshot is there, also those that are gone or did not change.
    ///
    /// Largest change first: by absolute difference in bytes, then size, then absolute difference
    /// in blocks, then number of blocks, then traceback, all descending. Differences stop at the
    /// limits of `i64`.
    ///
    /// A [sampled](Self::sample_every) snapshot may be compared with one of another period and with
    /// an exact one, since each side estimates the whole. A difference is as far off as both sides
    /// together: of a group with few records it can be chance alone.
    ///
    /// The snapshots may be those of different runs, machines or builds: groups are distinguished by
    /// names alone. Where a source file has changed, compare by [`GroupBy::Function`]: code that has
    /// moved is gone at its old line and new at the other, and may meet there what stood in that line
    /// before. A traceback holds lines, so one that has moved makes it another one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotComparable`] if one snapshot kept the frames of the standard library and the
    /// other did not: their stacks would differ everywhere.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let at = |size| Trace::new(Domain::HEAP, size, line.clone());
    /// let old = Snapshot::from_traces([at(100)], 1);
    /// let new = Snapshot::from_traces([at(100), at(50)], 1);
    /// let top = &new.compare_to(&old, GroupBy::Line)?[0];
    /// let text = "src/main.rs:12: size=150 B (+50 B), count=2 (+1), average=75 B";
    /// assert_eq!(top.to_string(), text);
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn compare_to(
        &self,
        old: &Snapshot,
        group_by: GroupBy,
    ) -> Result<Vec<StatisticDiff>, Error> {
        self.compared(old, group_by, Counting::Own)
    }

    /// How the groups of [`statistics_with`](Self::statistics_with) differ from those of an `old`
    /// snapshot. Otherwise as [`compare_to`](Self::compare_to).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CumulativeTraceback`] as `statistics_with`, and
    /// [`ErrorKind::NotComparable`] as `compare_to`.
    ///
    /// ```
    /// use tracemalloc::{Counting, Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let frame = |name: &str| Frame::new("src/tree.rs", 1).with_function(name);
    /// let stack = Traceback::from_oldest_first(["main", "walk", "walk"].map(frame)).unwrap();
    /// let old = Snapshot::from_traces([], 3);
    /// let new = Snapshot::from_traces([Trace::new(Domain::HEAP, 100, stack)], 3);
    /// let top = &new.compare_with(&old, GroupBy::Function, Counting::Inclusive)?[0];
    /// assert_eq!((top.traceback.to_string(), top.size_diff), ("walk".to_owned(), 100));
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn compare_with(
        &self,
        old: &Snapshot,
        group_by: GroupBy,
        counting: Counting,
    ) -> Result<Vec<StatisticDiff>, Error> {
        check_counting(group_by, counting)?;
        self.compared(old, group_by, counting)
    }

    fn summed(&self, group_by: GroupBy, counting: Counting) -> Vec<Statistic> {
        let mut grouping = Grouping::new(group_by, counting);
        let totals = grouping.totals(self);
        descending(
            grouping.into_groups(),
            |group| totals[group],
            |total| (total.size, total.count),
        )
        .map(|(total, traceback)| Statistic::new(traceback, total.size, total.count))
        .collect()
    }

    fn compared(
        &self,
        old: &Snapshot,
        group_by: GroupBy,
        counting: Counting,
    ) -> Result<Vec<StatisticDiff>, Error> {
        self.check_comparable(old)?;
        let mut grouping = Grouping::new(group_by, counting);
        let (new_totals, old_totals) = (grouping.totals(self), grouping.totals(old));
        let total_of = |totals: &[Total], group| totals.get(group).copied().unwrap_or_default();
        let change = |group| Change {
            new: total_of(&new_totals, group),
            old: total_of(&old_totals, group),
        };
        let rows = descending(grouping.into_groups(), change, Change::amounts);
        Ok(rows
            .map(|(change, traceback)| change.of(traceback))
            .collect())
    }

    /// # Errors
    ///
    /// As [`compare_to`](Self::compare_to).
    pub(crate) fn check_comparable(&self, old: &Snapshot) -> Result<(), Error> {
        let unnamed = [self, old].map(|snapshot| snapshot.recording().unnamed.is_some());
        if unnamed[0] != unnamed[1] {
            let without = if unnamed[0] { "new" } else { "old" };
            return Err(Error::new(
                ErrorKind::NotComparable,
                format!(
                    "cannot compare: the names of the {without} snapshot were not read; \
                     `tracemalloc symbolize FILE` reads them"
                ),
            ));
        }
        let (with, without) = match (
            self.recording().runtime_frames,
            old.recording().runtime_frames,
        ) {
            (true, false) => ("new", "old"),
            (false, true) => ("old", "new"),
            _ => return Ok(()),
        };
        Err(Error::new(
            ErrorKind::NotComparable,
            format!(
                "cannot compare: the {with} snapshot was recorded with the frames of the standard \
                 library, the {without} one without"
            ),
        ))
    }
}

fn check_counting(group_by: GroupBy, counting: Counting) -> Result<(), Error> {
    if (group_by, counting) == (GroupBy::Traceback, Counting::Cumulative) {
        return Err(Error::new(
            ErrorKind::CumulativeTraceback,
            "cumulative statistics cannot be grouped by traceback: \
             choose file, line, function or crate",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
