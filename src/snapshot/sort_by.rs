//! Other orders of statistics than the one of CPython.

use std::cmp::Reverse;

use super::statistics::{Statistic, StatisticDiff};

/// What groups are ordered by, greatest first. Groups that are equal in it keep the order that
/// [`Snapshot::statistics`](crate::Snapshot::statistics) and
/// [`compare_to`](crate::Snapshot::compare_to) give them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SortBy {
    /// Bytes; of differences the absolute change in bytes, as in CPython.
    #[default]
    Size,
    /// Blocks; of differences the absolute change in blocks.
    Blocks,
    /// The change in bytes with its sign, so that what shrank comes last. Within one snapshot the
    /// same as [`Self::Size`].
    Growth,
}

impl SortBy {
    pub(crate) fn sort(self, statistics: &mut [Statistic]) {
        match self {
            Self::Size | Self::Growth => {}
            Self::Blocks => statistics.sort_by_key(|statistic| Reverse(statistic.count)),
        }
    }

    pub(crate) fn sort_diffs(self, diffs: &mut [StatisticDiff]) {
        match self {
            Self::Size => {}
            Self::Blocks => diffs.sort_by_key(|diff| Reverse(diff.count_diff.unsigned_abs())),
            Self::Growth => diffs.sort_by_key(|diff| Reverse(diff.size_diff)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::frame::Frame;
    use crate::snapshot::group_by::GroupBy;
    use crate::snapshot::trace::{Domain, Snapshot, Trace};
    use crate::snapshot::traceback::Traceback;

    fn snapshot(blocks: &[(&str, u64, usize)]) -> Snapshot {
        let traces = blocks.iter().flat_map(|&(file, size, count)| {
            let stack = Traceback::of(Frame::new(file, 1));
            std::iter::repeat_n(Trace::new(Domain::HEAP, size, stack), count)
        });
        Snapshot::from_traces(traces, 1)
    }

    #[track_caller]
    fn check(sort_by: SortBy, order: &str, diff_order: &str) {
        let old = snapshot(&[("a", 900, 1), ("b", 10, 7), ("c", 1, 2)]);
        let new = snapshot(&[("a", 100, 1), ("b", 20, 9), ("c", 5, 9), ("d", 600, 1)]);
        let mut statistics = new.statistics(GroupBy::File);
        sort_by.sort(&mut statistics);
        let name = |stack: &Traceback| stack.most_recent().filename().to_owned();
        let found: String = statistics.iter().map(|s| name(&s.traceback)).collect();
        assert_eq!(found, order, "{sort_by:?}");
        let mut diffs = new.compare_to(&old, GroupBy::File).unwrap();
        sort_by.sort_diffs(&mut diffs);
        let found: String = diffs.iter().map(|d| name(&d.traceback)).collect();
        assert_eq!(found, diff_order, "{sort_by:?}");
    }

    #[test]
    fn groups_are_ordered_as_asked() {
        check(SortBy::Size, "dbac", "adbc");
        check(SortBy::Blocks, "bcda", "cbda");
        check(SortBy::Growth, "dbac", "dbca");
    }
}
