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

        /// Whether blocks count for every frame of their stack, as in
        /// [`Snapshot::cumulative_statistics`].
        #[must_use]
        pub fn cumulative(mut self, cumulative: bool) -> Self {
            self.query.cumulative = cumulative;
            self
        }

        /// Whether a block counts once for every group in its stack, as in
        /// [`Snapshot::inclusive_statistics`].
        #[must_use]
        pub fn inclusive(mut self, inclusive: bool) -> Self {
            self.query.inclusive = inclusive;
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
