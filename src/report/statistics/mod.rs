//! Statistics for programs: the groups of `Snapshot::statistics` and their differences.

/// The methods that choose the [`Query`] of a format.
macro_rules! setters {
    () => {
        /// What blocks are grouped by.
        #[must_use]
        pub fn group_by(mut self, group_by: GroupBy) -> Self {
            self.query.group_by = group_by;
            self
        }

        /// Which groups of its stack a block counts for.
        #[must_use]
        pub fn counting(mut self, counting: Counting) -> Self {
            self.query.counting = counting;
            self
        }

        /// What groups are ordered by.
        #[must_use]
        pub fn sort_by(mut self, sort_by: SortBy) -> Self {
            self.query.sort_by = sort_by;
            self
        }

        /// How many groups are written, at most.
        #[must_use]
        pub fn limit(mut self, limit: usize) -> Self {
            self.query.limit = limit;
            self
        }
    };
}

mod csv;
#[cfg(feature = "json")]
mod json;

use crate::error::Error;
use crate::snapshot::{Counting, GroupBy, Snapshot, SortBy, Statistic, StatisticDiff};

pub use csv::Csv;
#[cfg(feature = "json")]
pub use json::Json;

/// Which statistics are asked for.
#[derive(Clone, Copy, Debug)]
struct Query {
    group_by: GroupBy,
    counting: Counting,
    sort_by: SortBy,
    limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            group_by: GroupBy::Line,
            counting: Counting::Own,
            sort_by: SortBy::Size,
            limit: usize::MAX,
        }
    }
}

impl Query {
    fn statistics(self, snapshot: &Snapshot) -> Result<Vec<Statistic>, Error> {
        let mut statistics = snapshot.statistics_with(self.group_by, self.counting)?;
        self.sort_by.sort(&mut statistics);
        Ok(statistics)
    }

    fn differences(self, new: &Snapshot, old: &Snapshot) -> Result<Vec<StatisticDiff>, Error> {
        let mut differences = new.compare_with(old, self.group_by, self.counting)?;
        self.sort_by.sort_diffs(&mut differences);
        Ok(differences)
    }

    /// The groups that are shown.
    fn shown<T>(self, groups: &[T]) -> &[T] {
        &groups[..self.limit.min(groups.len())]
    }
}
