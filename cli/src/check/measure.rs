//! What a check has measured.

use tracemalloc::{Frame, GroupBy, Size, SizeDiff, Snapshot, Statistic, StatisticDiff, View};

use crate::failure::Verdict;
use crate::limits::Growth;
use crate::place;

/// The outcome of a check.
pub(super) struct Outcome {
    pub(super) measures: Vec<Measure>,
    pub(super) by: GroupBy,
    pub(super) view: View,
    /// How many sites are shown, at most.
    pub(super) limit: usize,
    /// Those beyond their own limit if there is one, else those that grew; without a base those
    /// that hold most.
    pub(super) sites: Vec<Site>,
    /// What makes the numbers less than certain.
    pub(super) notes: Vec<String>,
}

impl Outcome {
    pub(super) fn verdict(&self) -> Verdict {
        match self.measures.iter().all(Measure::passed) {
            true => Verdict::Passed,
            false => Verdict::OverBudget,
        }
    }

    /// What to look at after a failure.
    pub(super) fn shown(&self) -> &[Site] {
        match self.verdict() {
            Verdict::Passed => &[],
            Verdict::OverBudget => &self.sites[..self.limit.min(self.sites.len())],
        }
    }
}

/// A number and its limit.
pub(super) enum Measure {
    Held {
        view: View,
        size: u64,
        max: u64,
    },
    Growth {
        old: u64,
        new: u64,
        max: Growth,
    },
    PerSite {
        /// Sites beyond the limit, of those that grew at all.
        over: usize,
        grown: usize,
        by: GroupBy,
        max: Growth,
    },
}

impl Measure {
    pub(super) fn passed(&self) -> bool {
        match *self {
            Self::Held { size, max, .. } => size <= max,
            Self::Growth { old, new, max } => !max.is_exceeded(old, new),
            Self::PerSite { over, .. } => over == 0,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Held { view, .. } => view.to_string(),
            Self::Growth { .. } => "growth".to_owned(),
            Self::PerSite { by, .. } => format!("growth per {by}"),
        }
    }

    pub(super) fn measured(&self) -> String {
        match *self {
            Self::Held { size, .. } => Size(size).to_string(),
            Self::Growth { old: 0, new, .. } => format!("{:+}", SizeDiff::between(new, 0)),
            Self::Growth { old, new, .. } => {
                let difference = SizeDiff::between(new, old);
                let percent = difference.0 as f64 / old as f64 * 100.0;
                format!("{:+} ({percent:+.1}%)", difference)
            }
            Self::PerSite { over: 0, .. } => "none beyond".to_owned(),
            Self::PerSite { over, grown, .. } => format!("{over} of {grown} beyond"),
        }
    }

    pub(super) fn limit(&self) -> String {
        match self {
            Self::Held { max, .. } => Size(*max).to_string(),
            Self::Growth { max, .. } | Self::PerSite { max, .. } => max.to_string(),
        }
    }
}

/// A line, a function, or what else blocks were grouped by.
pub(super) struct Site {
    frame: Frame,
    pub(super) size: u64,
    pub(super) count: u64,
    /// Bytes and blocks more than in the base, if there is one.
    pub(super) growth: Option<(i64, i64)>,
}

impl Site {
    pub(super) fn grown(diff: StatisticDiff) -> Self {
        Self {
            frame: diff.traceback.most_recent().clone(),
            size: diff.size,
            count: diff.count,
            growth: Some((diff.size_diff, diff.count_diff)),
        }
    }

    pub(super) fn held(statistic: Statistic) -> Self {
        Self {
            frame: statistic.traceback.most_recent().clone(),
            size: statistic.size,
            count: statistic.count,
            growth: None,
        }
    }

    pub(super) fn name(&self) -> String {
        place::name(&self.frame)
    }

    pub(super) fn function(&self) -> Option<&str> {
        place::function(&self.frame)
    }
}

pub(super) fn notes(new: &Snapshot, base: Option<&Snapshot>) -> Vec<String> {
    let snapshots = [("", Some(new)), ("base ", base)];
    let snapshots = snapshots
        .into_iter()
        .filter_map(|(which, snapshot)| Some((which, snapshot?)));
    let mut notes = Vec::new();
    for (which, snapshot) in snapshots {
        if let Some(period) = snapshot.sample_every() {
            let period = Size(period.get());
            notes.push(format!(
                "The {which}snapshot is a sample, one record per {period}: its numbers are estimates."
            ));
        }
        let lost = snapshot.recording().losses.blocks;
        if lost > 0 {
            notes.push(format!(
                "The {which}snapshot lacks {lost} blocks that could not be recorded."
            ));
        }
    }
    notes
}
