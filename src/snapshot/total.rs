//! Sums of blocks: exact ones, and those that a sample lets estimate.

use std::num::NonZeroU64;

use super::runs::Run;

use super::trace::{Domain, Snapshot};
use super::view::View;
use crate::sampling::{Fixed, Sampling};

/// Something that blocks add up to, in any order.
pub(crate) trait Sum: Copy + Default {
    fn add(&mut self, other: Self);

    /// True of the sum of no blocks.
    fn is_of_nothing(&self) -> bool;
}

/// Bytes and blocks. Sums stop at the greatest number instead of wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) size: u64,
    pub(super) count: u64,
}

impl Total {
    /// `count` blocks of a run, as they are.
    pub(super) fn of(run: &Run, count: u64) -> Self {
        let size = run.size.saturating_mul(count);
        Self { size, count }
    }
}

impl Sum for Total {
    fn add(&mut self, other: Self) {
        self.size = self.size.saturating_add(other.size);
        self.count = self.count.saturating_add(other.count);
    }

    fn is_of_nothing(&self) -> bool {
        self.count == 0
    }
}

/// Bytes and blocks that recorded blocks stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimate {
    pub(crate) size: Fixed,
    pub(crate) count: Fixed,
}

impl Estimate {
    /// What `count` blocks of a run stand for. The allocator's blocks are a sample; of the
    /// program's own domains every block is recorded.
    pub(super) fn of(sampling: Sampling, run: &Run, count: u64) -> Self {
        let weight = match run.domain {
            Domain::HEAP => sampling.weight(run.size),
            _ => return Self::exactly(run, count),
        };
        let count = weight.times(count);
        let size = count.times(run.size);
        Self { size, count }
    }

    /// The blocks alone.
    fn exactly(run: &Run, count: u64) -> Self {
        let count = Fixed::ONE.times(count);
        let size = count.times(run.size);
        Self { size, count }
    }

    pub(super) fn rounded(self) -> Total {
        Total {
            size: self.size.rounded(),
            count: self.count.rounded(),
        }
    }
}

impl Sum for Estimate {
    fn add(&mut self, other: Self) {
        self.size = self.size.plus(other.size);
        self.count = self.count.plus(other.count);
    }

    fn is_of_nothing(&self) -> bool {
        // A block stands for one at least.
        self.count == Fixed::default()
    }
}

impl Snapshot {
    /// The sampling period: bytes allocated per record, on average. `None` if every allocation was recorded.
    ///
    /// In a sampled snapshot every size and number of blocks is an estimate of the whole: in
    /// [`total_size`](Self::total_size), [`block_count`](Self::block_count), all statistics and differences,
    /// and reports. A block of `s` bytes was recorded with the probability
    /// `p = 1 - exp(-s / period)`, so it stands for `1 / p` blocks and `s / p` bytes. That makes the
    /// estimate of any group right on average; Go's heap profiles use the same formula. A sum is
    /// rounded once, at its end, to the nearest whole number, halves up; groups may therefore add up
    /// to a little more or less than the whole, and the average of a group is that of rounded
    /// numbers.
    ///
    /// The fewer records an estimate is made from, the further off it may be: by about a tenth with
    /// a hundred records of small blocks, by its own size with one. Blocks of five periods and more
    /// are recorded in more than 99 % of all cases. A group without a record does not appear.
    ///
    /// [`traces`](Self::traces) are the recorded blocks as they are, and `traces().len()` is their
    /// number. Regions that were [tracked](crate::track) are all recorded and count as they are,
    /// and so does a block of no bytes.
    ///
    /// ```
    /// use std::num::NonZeroU64;
    /// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let region = Trace::new(Domain(1), 50, line.clone());
    /// let blocks = [Trace::new(Domain::HEAP, 1024, line), region];
    /// let period = NonZeroU64::new(512 * 1024).unwrap();
    /// let snapshot = Snapshot::from_traces(blocks, 1).with_sample_every(period);
    /// assert_eq!(snapshot.sample_every(), Some(period));
    /// assert_eq!(snapshot.traces().unwrap().len(), 2);
    /// // 1 / (1 - exp(-1/512)) = 512.5 blocks of 1024 bytes, and one of 50.
    /// assert_eq!((snapshot.block_count(), snapshot.total_size()), (514, 524_850));
    /// assert_eq!(snapshot.statistics(GroupBy::Line)[0].count, 514);
    /// ```
    pub fn sample_every(&self) -> Option<NonZeroU64> {
        self.sampling.map(|sampling| sampling.every)
    }

    /// How blocks are weighed; `None` where each stands for itself. Sums of a view are weighed already.
    pub(super) fn weights(&self) -> Option<Sampling> {
        self.sampling.filter(|_| self.viewed() == View::Live)
    }

    /// These blocks as a sample, of on average one record per `bytes` bytes allocated.
    ///
    /// For snapshots made from literal traces, as in tests; recorded ones know their period. See
    /// [`sample_every`](Self::sample_every) for what it means and an example.
    #[must_use]
    pub fn with_sample_every(mut self, bytes: NonZeroU64) -> Self {
        self.sampling = Some(Sampling { every: bytes });
        self
    }

    /// Bytes in all blocks together; stops at `u64::MAX`. An estimate if the snapshot is
    /// [sampled](Self::sample_every).
    pub fn total_size(&self) -> u64 {
        self.total().size
    }

    /// Number of blocks. An estimate if the snapshot is [sampled](Self::sample_every):
    /// `traces().len()` is the number of those recorded.
    pub fn block_count(&self) -> u64 {
        match self.weights() {
            None => self.recorded(),
            Some(_) => self.total().count,
        }
    }

    /// What `count` blocks of a run stand for; the blocks themselves unless the snapshot is sampled.
    pub(crate) fn stands_for(&self, run: &Run, count: u64) -> Estimate {
        match self.weights() {
            None => Estimate::exactly(run, count),
            Some(sampling) => Estimate::of(sampling, run, count),
        }
    }

    fn total(&self) -> Total {
        match self.weights() {
            None => self.sum_of(Total::of),
            Some(sampling) => self
                .sum_of(|run, count| Estimate::of(sampling, run, count))
                .rounded(),
        }
    }

    fn sum_of<S: Sum>(&self, amount: impl Fn(&Run, u64) -> S) -> S {
        self.counted_runs()
            .fold(S::default(), |mut sum, (run, count)| {
                sum.add(amount(run, count));
                sum
            })
    }
}
