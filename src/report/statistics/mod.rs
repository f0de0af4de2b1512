//! Statistics for programs: the groups of `Snapshot::statistics` and their differences.

mod csv;
#[cfg(feature = "json")]
mod json;

use crate::error::Error;
use crate::snapshot::{GroupBy, Snapshot, Statistic, StatisticDiff};

pub use csv::Csv;
#[cfg(feature = "json")]
pub use json::Json;

/// Which statistics are asked for.
#[derive(Clone, Copy, Debug)]
struct Query {
    group_by: GroupBy,
    cumulative: bool,
    limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            group_by: GroupBy::Line,
            cumulative: false,
            limit: usize::MAX,
        }
    }
}

impl Query {
    fn statistics(self, snapshot: &Snapshot) -> Result<Vec<Statistic>, Error> {
        if self.cumulative {
            snapshot.cumulative_statistics(self.group_by)
        } else {
            Ok(snapshot.statistics(self.group_by))
        }
    }

    fn differences(self, new: &Snapshot, old: &Snapshot) -> Result<Vec<StatisticDiff>, Error> {
        if self.cumulative {
            new.compare_cumulative_to(old, self.group_by)
        } else {
            new.compare_to(old, self.group_by)
        }
    }

    /// The groups that are shown.
    fn shown<T>(self, groups: &[T]) -> &[T] {
        &groups[..self.limit.min(groups.len())]
    }
}
