//! (signatures; being written)
use super::frame::Traceback;
use super::trace::Snapshot;
use crate::error::Error;

/// What blocks are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupBy {
    /// The file of the most recent frame.
    File,
    /// The line of the most recent frame.
    Line,
    /// The function of the most recent frame.
    Function,
    /// The crate of the most recent frame.
    Crate,
    /// The whole stack.
    Traceback,
}

/// Blocks of one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Statistic {
    /// What the group shares.
    pub traceback: Traceback,
    /// Bytes.
    pub size: u64,
    /// Blocks.
    pub count: u64,
}

/// One group in two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StatisticDiff {
    /// What the group shares.
    pub traceback: Traceback,
    /// Bytes in the new snapshot.
    pub size: u64,
    /// New minus old.
    pub size_diff: i64,
    /// Blocks in the new snapshot.
    pub count: u64,
    /// New minus old.
    pub count_diff: i64,
}

impl Snapshot {
    /// Groups, largest first.
    pub fn statistics(&self, group_by: GroupBy) -> Vec<Statistic> {
        let _ = group_by;
        todo!()
    }

    /// Groups by every frame, largest first.
    pub fn cumulative_statistics(&self, group_by: GroupBy) -> Result<Vec<Statistic>, Error> {
        let _ = group_by;
        todo!()
    }

    /// Differences, largest first.
    pub fn compare_to(
        &self,
        old: &Snapshot,
        group_by: GroupBy,
    ) -> Result<Vec<StatisticDiff>, Error> {
        let _ = (old, group_by);
        todo!()
    }

    /// Differences of cumulative statistics, largest first.
    pub fn compare_cumulative_to(
        &self,
        old: &Snapshot,
        group_by: GroupBy,
    ) -> Result<Vec<StatisticDiff>, Error> {
        let _ = (old, group_by);
        todo!()
    }
}
