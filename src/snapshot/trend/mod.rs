//! How groups develop over a series of snapshots, and which groups look like leaks.
//!
//! ```text
//! bytes │      ╱╲    ╱╲╱        Each group is a curve. Its floor at a snapshot is the minimum that it
//!       │  ╱╲ ╱  ╲╱╲╱           holds from there to the end: what came and stayed. A full cache and a
//!       │ ╱__╲____╱__ floor     map that swings have a level floor. The floor of a leak keeps rising,
//!       └──────────── time      however much comes and goes above it.
//! ```

mod memory;
mod site;
mod suspect;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use memory::{GrowthCause, MemoryGrowth, ProcessMemory};
pub use site::{Generation, SiteTrend};
pub use suspect::Suspect;

use super::group_by::GroupBy;
use super::history::BlockSum;
use super::statistics::Statistic;
use super::trace::Snapshot;
use super::traceback::Traceback;
use super::view::View;
use crate::error::{Error, ErrorKind};

/// The groups of snapshots that follow each other, as far as a trend needs them.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    group_by: GroupBy,
    moments: Vec<Moment>,
    memory: Vec<ProcessMemory>,
    groups: HashMap<Traceback, Curve>,
}

/// One snapshot of a series.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// Seconds since the Unix epoch.
    taken_at: Option<u64>,
    runtime_frames: bool,
    is_unnamed: bool,
    has_history: bool,
}

/// What one group held at each snapshot, from the first one that it was in.
#[derive(Clone, Debug)]
struct Curve {
    /// Snapshots before it.
    start: usize,
    live: Vec<BlockSum>,
    /// All that it had allocated by then; empty without history.
    allocated: Vec<BlockSum>,
}

impl Series {
    pub(crate) const MIN_SNAPSHOTS: usize = suspect::MIN_SNAPSHOTS;

    pub(crate) fn new(group_by: GroupBy) -> Self {
        Self {
            group_by,
            moments: Vec::new(),
            memory: Vec::new(),
            groups: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.moments.len()
    }

    /// Adds a later snapshot.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotComparable`] if it was taken before the last one, or recorded otherwise.
    pub(crate) fn push(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        let recording = snapshot.recording();
        let moment = Moment {
            taken_at: recording.taken_at,
            runtime_frames: recording.runtime_frames,
            is_unnamed: recording.unnamed.is_some(),
            has_history: snapshot.has_history(),
        };
        self.check(moment)?;
        let index = self.moments.len();
        self.moments.push(moment);
        self.memory.push(ProcessMemory::of(recording));
        for group in snapshot.statistics(self.group_by) {
            let sum = sum(&group);
            let curve = self.curve(group.traceback, index);
            curve.live.resize(index - curve.start, BlockSum::default());
            curve.live.push(sum);
        }
        if let Ok(allocated) = snapshot.view(View::Allocated) {
            for group in allocated.statistics(self.group_by) {
                let sum = sum(&group);
                let curve = self.curve(group.traceback, index);
                let last = curve.allocated.last().copied().unwrap_or_default();
                curve.allocated.resize(index - curve.start, last);
                curve.allocated.push(sum);
            }
        }
        Ok(())
    }

    fn check(&self, new: Moment) -> Result<(), Error> {
        let Some(last) = self.moments.last() else {
            return Ok(());
        };
        let problem = if last.runtime_frames != new.runtime_frames {
            "some snapshots were recorded with the frames of the standard library, others without"
        } else if last.is_unnamed != new.is_unnamed {
            "the names of some snapshots were not read; `tracemalloc symbolize FILE` reads them"
        } else if new.taken_at < last.taken_at {
            "a snapshot was taken before the one that it follows"
        } else {
            return Ok(());
        };
        let text = format!("no trend: {problem}");
        Err(Error::new(ErrorKind::NotComparable, text))
    }

    fn curve(&mut self, group: Traceback, index: usize) -> &mut Curve {
        self.groups.entry(group).or_insert_with(|| Curve {
            start: index,
            live: Vec::new(),
            allocated: Vec::new(),
        })
    }

    /// The groups, by how much they hold at the end.
    pub(crate) fn sites(&self) -> Vec<SiteTrend> {
        let times = self.times();
        let has_history = !self.moments.is_empty() && self.moments.iter().all(|m| m.has_history);
        let groups = self.groups.iter();
        let mut sites: Vec<SiteTrend> = groups
            .map(|(group, curve)| {
                let live = curve.padded(&curve.live, self.len(), |_| BlockSum::default());
                let allocated =
                    has_history.then(|| curve.padded(&curve.allocated, self.len(), |last| last));
                SiteTrend::new(group.clone(), &times, live, allocated)
            })
            .collect();
        sites.sort_by(|a, b| {
            let last = |site: &SiteTrend| site.last();
            let key = |site: &SiteTrend| (last(site).size, last(site).count);
            key(b)
                .cmp(&key(a))
                .then_with(|| b.traceback.cmp(&a.traceback))
        });
        sites
    }

    pub(crate) fn suspects(&self) -> Vec<Suspect> {
        suspect::suspects(self.sites())
    }

    /// The memory of the process at each snapshot.
    pub(crate) fn memory(&self) -> &[ProcessMemory] {
        &self.memory
    }

    /// `None` if resident memory is not known of every snapshot, or there are too few.
    pub(crate) fn memory_growth(&self) -> Option<MemoryGrowth> {
        let is_long = self.len() >= Self::MIN_SNAPSHOTS;
        is_long.then(|| MemoryGrowth::of(&self.memory)).flatten()
    }

    /// Seconds from the first snapshot to each; `None` if it is not known of all, or all are of one
    /// second.
    fn times(&self) -> Option<Vec<u64>> {
        let first = self.moments.first()?.taken_at?;
        let times = self
            .moments
            .iter()
            .map(|moment| Some(moment.taken_at? - first));
        let times: Vec<u64> = times.collect::<Option<_>>()?;
        times.last().is_some_and(|last| *last > 0).then_some(times)
    }
}

impl Curve {
    /// The sums of all snapshots, also of those before the group's first and after its last.
    fn padded(
        &self,
        sums: &[BlockSum],
        len: usize,
        after: impl Fn(BlockSum) -> BlockSum,
    ) -> Vec<BlockSum> {
        let mut all = vec![BlockSum::default(); self.start];
        all.extend(sums);
        let last = after(sums.last().copied().unwrap_or_default());
        all.resize(len, last);
        all
    }
}

fn sum(group: &Statistic) -> BlockSum {
    BlockSum::new(group.size, group.count)
}
