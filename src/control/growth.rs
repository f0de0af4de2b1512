//! What has grown beyond all that was seen before, in a series of snapshots.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::engine::Guard;
use crate::snapshot::{GroupBy, Snapshot, SortBy, Statistic, StatisticDiff, Traceback, difference};

/// Says of each snapshot which groups hold more than in any snapshot before it: the counterpart of
/// objgraph's `show_growth`.
///
/// A group is compared with the highest that it has held, so a cache that is emptied and filled
/// again, or a map that swings, is quiet once it has been at its highest. What leaks is not.
///
/// ```
/// use tracemalloc::{Domain, Frame, Growth, GroupBy, Snapshot, Trace, Traceback};
///
/// let holding = |blocks: &[u64]| {
///     let line = Traceback::of(Frame::new("src/main.rs", 12));
///     Snapshot::from_traces(blocks.iter().map(|size| Trace::new(Domain::HEAP, *size, line.clone())), 1)
/// };
/// let mut growth = Growth::new(GroupBy::Line);
/// assert_eq!(growth.beyond_highest(&holding(&[100, 100])).len(), 1);
/// assert!(growth.beyond_highest(&holding(&[])).is_empty());
/// let grown = growth.beyond_highest(&holding(&[100, 150]));
/// assert_eq!((grown[0].size_diff, grown[0].count_diff), (50, 0));
/// ```
#[derive(Clone, Debug)]
pub struct Growth {
    group_by: GroupBy,
    highest: HashMap<Traceback, Highest>,
}

/// The highest that a group has held: bytes, and blocks, each by itself.
#[derive(Clone, Copy, Debug)]
struct Highest {
    size: u64,
    count: u64,
}

impl Growth {
    /// Nothing seen yet: the first snapshot is growth from zero.
    pub fn new(group_by: GroupBy) -> Self {
        let highest = HashMap::new();
        Self { group_by, highest }
    }

    /// The groups of `snapshot` that hold more bytes or more blocks than in any snapshot before, and
    /// by how much. Greatest growth in bytes first; of equal growth as
    /// [`Snapshot::statistics`] orders them.
    ///
    /// A difference is negative where only the other figure has grown. What is allocated here, the
    /// result too, is not recorded: no snapshot shows it as growth.
    pub fn beyond_highest(&mut self, snapshot: &Snapshot) -> Vec<StatisticDiff> {
        let _unrecorded = Guard::enter();
        let groups = snapshot.statistics(self.group_by).into_iter();
        let mut grown: Vec<_> = groups.filter_map(|group| self.record(group)).collect();
        SortBy::Growth.sort_diffs(&mut grown);
        grown
    }

    /// Raises the highest to what `group` holds; how much it has grown, if it has.
    fn record(&mut self, group: Statistic) -> Option<StatisticDiff> {
        let Statistic {
            traceback,
            size,
            count,
            ..
        } = group;
        let now = Highest { size, count };
        let before = match self.highest.entry(traceback.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(now);
                Highest { size: 0, count: 0 }
            }
            Entry::Occupied(mut entry) => {
                let Highest { size, count } = *entry.get();
                let (size, count) = (size.max(now.size), count.max(now.count));
                entry.insert(Highest { size, count })
            }
        };
        let (size_diff, count_diff) = (
            difference(size, before.size),
            difference(count, before.count),
        );
        let has_grown = size_diff > 0 || count_diff > 0;
        has_grown.then(|| StatisticDiff::new(traceback, size, size_diff, count, count_diff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Domain, Frame, Trace};

    fn holding(blocks: &[(u32, u64)]) -> Snapshot {
        let trace = |&(line, size)| {
            let line = Traceback::of(Frame::new("a.rs", line));
            Trace::new(Domain::HEAP, size, line)
        };
        Snapshot::from_traces(blocks.iter().map(trace), 1)
    }

    fn grown(growth: &mut Growth, blocks: &[(u32, u64)]) -> Vec<(u32, i64, i64)> {
        let grown = growth.beyond_highest(&holding(blocks)).into_iter();
        grown
            .map(|diff| {
                (
                    diff.traceback.most_recent().lineno(),
                    diff.size_diff,
                    diff.count_diff,
                )
            })
            .collect()
    }

    #[test]
    fn growth_is_measured_against_the_highest() {
        let mut growth = Growth::new(GroupBy::Line);
        assert_eq!(
            grown(&mut growth, &[(1, 100), (2, 300)]),
            [(2, 300, 1), (1, 100, 1)]
        );
        // A map that swings is quiet; what is new or larger than ever is not.
        assert_eq!(grown(&mut growth, &[(1, 10), (3, 5)]), [(3, 5, 1)]);
        assert_eq!(grown(&mut growth, &[(1, 100), (2, 300), (3, 5)]), []);
        assert_eq!(grown(&mut growth, &[(1, 101), (2, 300)]), [(1, 1, 0)]);
        assert_eq!(grown(&mut growth, &[(1, 101)]), []);
    }

    #[test]
    fn bytes_and_blocks_are_measured_each_by_itself() {
        let mut growth = Growth::new(GroupBy::Line);
        grown(&mut growth, &[(1, 100)]);
        assert_eq!(grown(&mut growth, &[(1, 20), (1, 20)]), [(1, -60, 1)]);
        assert_eq!(grown(&mut growth, &[(1, 50), (1, 50)]), []);
        assert_eq!(grown(&mut growth, &[(1, 101)]), [(1, 1, -1)]);
    }
}
