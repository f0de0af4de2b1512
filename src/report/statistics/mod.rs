//! Statistics for programs: the groups of `Snapshot::statistics` and their differences.

mod csv;
#[cfg(feature = "json")]
mod json;

use crate::error::Error;
use crate::snapshot::{GroupBy, Snapshot, SortBy, Statistic, StatisticDiff};

pub use csv::Csv;
#[cfg(feature = "json")]
pub use json::Json;

/// Which statistics are asked for.
#[derive(Clone, Copy, Debug)]
struct Query {
    group_by: GroupBy,
    cumulative: bool,
    /// Goes before `cumulative`.
    inclusive: bool,
    sort_by: SortBy,
    limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            group_by: GroupBy::Line,
            cumulative: false,
            inclusive: false,
            sort_by: SortBy::Size,
            limit: usize::MAX,
        }
    }
}

impl Query {
    fn statistics(self, snapshot: &Snapshot) -> Result<Vec<Statistic>, Error> {
        let mut statistics = match (self.inclusive, self.cumulative) {
            (true, _) => snapshot.inclusive_statistics(self.group_by)?,
            (false, true) => snapshot.cumulative_statistics(self.group_by)?,
            (false, false) => snapshot.statistics(self.group_by),
        };
        self.sort_by.sort(&mut statistics);
        Ok(statistics)
    }

    fn differences(self, new: &Snapshot, old: &Snapshot) -> Result<Vec<StatisticDiff>, Error> {
        let mut differences = match (self.inclusive, self.cumulative) {
            (true, _) => new.compare_inclusive_to(old, self.group_by)?,
            (false, true) => new.compare_cumulative_to(old, self.group_by)?,
            (false, false) => new.compare_to(old, self.group_by)?,
        };
        self.sort_by.sort_diffs(&mut differences);
        Ok(differences)
    }

    /// The groups that are shown.
    fn shown<T>(self, groups: &[T]) -> &[T] {
        &groups[..self.limit.min(groups.len())]
    }
}
