//! One group over a series.

use crate::snapshot::history::BlockSum;
use crate::snapshot::traceback::Traceback;

/// How one group developed over a series of snapshots.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SiteTrend {
    /// What the blocks share, as in [`Statistic`](crate::Statistic).
    pub traceback: Traceback,
    /// What was live at each snapshot.
    pub live: Vec<BlockSum>,
    /// Bytes that the group grows by from one snapshot to the next: the median of the last third of the
    /// series minus that of the first third, by the snapshots between them. Negative if it shrinks.
    pub bytes_per_snapshot: f64,
    /// Bytes that the group grows by in an hour, if the snapshots say when they were taken.
    pub bytes_per_hour: Option<f64>,
    /// The snapshots between which the floor rose; `None` if it never did. The floor at a snapshot is the
    /// minimum that the group holds from there to the end.
    pub grown: Option<(usize, usize)>,
    /// Seconds between those two, if the snapshots say when they were taken.
    pub grown_for: Option<u64>,
    /// What was allocated between each snapshot and the next.
    pub generations: Vec<Generation>,
    /// Minimum age in seconds of the oldest live blocks, if the snapshots say when they were taken. Known if
    /// history was recorded, and if fewer blocks were allocated since than are live.
    pub oldest: Option<u64>,
}

/// What was allocated between two snapshots that follow each other, and how much of it is still live at
/// the end of the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generation {
    /// All that was allocated; `None` without history.
    pub allocated: Option<BlockSum>,
    /// How far the floor rose: blocks that came, without others that went since. Most likely they are those
    /// that were allocated in this interval, but that is not certain.
    pub kept: BlockSum,
}

impl Generation {
    /// The part of its blocks that is kept, from 0 to 1; `None` without history, and where nothing was
    /// allocated.
    pub fn share(&self) -> Option<f64> {
        let allocated = self.allocated.filter(|sum| sum.count > 0)?;
        Some((self.kept.count as f64 / allocated.count as f64).min(1.0))
    }
}

impl SiteTrend {
    pub(super) fn new(
        traceback: Traceback,
        times: &Option<Vec<u64>>,
        live: Vec<BlockSum>,
        allocated: Option<Vec<BlockSum>>,
    ) -> Self {
        let floors = floors(&live);
        let rises = |index: &usize| floors[*index + 1].size > floors[*index].size;
        let mut rising = (0..floors.len().saturating_sub(1)).filter(rises);
        let first = rising.next();
        let grown = first.map(|first| (first, rising.next_back().unwrap_or(first) + 1));
        let between = |from: usize, to: usize| times.as_ref().map(|times| times[to] - times[from]);
        let sizes: Vec<u64> = live.iter().map(|sum| sum.size).collect();
        let (risen, span) = growth_of_thirds(&sizes);
        let seconds = span
            .and_then(|(from, to)| between(from, to))
            .filter(|time| *time > 0);
        Self {
            bytes_per_snapshot: span.map_or(0.0, |(from, to)| risen / (to - from) as f64),
            bytes_per_hour: seconds.map(|seconds| risen * 3600.0 / seconds as f64),
            grown,
            grown_for: grown.and_then(|(from, to)| between(from, to)),
            generations: generations(&floors, allocated.as_deref()),
            oldest: allocated
                .as_deref()
                .and_then(|allocated| oldest(&live, allocated))
                .and_then(|index| between(index, live.len() - 1)),
            traceback,
            live,
        }
    }

    /// What is live at the end.
    pub(crate) fn last(&self) -> BlockSum {
        self.live.last().copied().unwrap_or_default()
    }

    /// What was allocated over the whole series and what of it is kept, with history.
    pub(super) fn turnover(&self) -> Option<Generation> {
        let mut generations = self.generations.iter();
        let first = *generations.next()?;
        generations.try_fold(first, |sum, generation| {
            Some(Generation {
                allocated: Some(sum.allocated?.plus(generation.allocated?)),
                kept: sum.kept.plus(generation.kept),
            })
        })
    }
}

/// For each snapshot the minimum that is held from there to the end, bytes and blocks each by itself.
fn floors(live: &[BlockSum]) -> Vec<BlockSum> {
    let mut floors = live.to_vec();
    for index in (1..floors.len()).rev() {
        let later = floors[index];
        let floor = &mut floors[index - 1];
        floor.size = floor.size.min(later.size);
        floor.count = floor.count.min(later.count);
    }
    floors
}

fn generations(floors: &[BlockSum], allocated: Option<&[BlockSum]>) -> Vec<Generation> {
    let difference = |sums: &[BlockSum]| {
        let (old, new) = (sums[0], sums[1]);
        BlockSum::new(
            new.size.saturating_sub(old.size),
            new.count.saturating_sub(old.count),
        )
    };
    let kept = floors.windows(2).map(difference);
    let mut allocated = allocated.map(|sums| sums.windows(2).map(difference));
    kept.map(|kept| Generation {
        allocated: allocated.as_mut().and_then(Iterator::next),
        kept,
    })
    .collect()
}

/// The last snapshot that some blocks are older than: not all that is live can have been allocated since.
fn oldest(live: &[BlockSum], allocated: &[BlockSum]) -> Option<usize> {
    let last = live.len().checked_sub(1)?;
    let since = |index: usize| allocated[last].count.saturating_sub(allocated[index].count);
    (0..last).find(|index| live[last].count > since(*index))
}

/// Growth in bytes from the first third of a series to the last, and the middles of the thirds; no growth
/// and no middles of less than two. Medians, since single snapshots may be of any moment.
pub(super) fn growth_of_thirds(sizes: &[u64]) -> (f64, Option<(usize, usize)>) {
    let third = sizes.len().div_ceil(3);
    if sizes.len() < 2 {
        return (0.0, None);
    }
    let (from, to) = ((third - 1) / 2, sizes.len() - 1 - (third - 1) / 2);
    let median = |sizes: &[u64]| {
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable();
        (sizes[(sizes.len() - 1) / 2] as f64 + sizes[sizes.len() / 2] as f64) / 2.0
    };
    let growth = median(&sizes[sizes.len() - third..]) - median(&sizes[..third]);
    (growth, Some((from, to)))
}
