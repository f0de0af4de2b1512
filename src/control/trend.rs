//! How groups develop over a series of snapshots.

use crate::engine::Guard;
use crate::error::Error;
use crate::snapshot::{GroupBy, MemoryGrowth, ProcessMemory, Series, SiteTrend, Snapshot, Suspect};

/// Follows groups over a series of snapshots, and says which look like leaks.
///
/// Push snapshots in the order in which they were taken. They are not kept: a trend stores a few numbers
/// for each group and snapshot. It needs eight snapshots to name suspects. Twenty, from a program under its
/// usual load, are better evidence. With [history](crate::Config::history) the evidence includes the share
/// of a group's allocations that stays, and the age of its blocks.
///
/// The floor of a group at a snapshot is the minimum that the group holds from there to the end of the
/// series. A suspect is a group whose floor keeps rising:
///
/// - from each quarter of the series to the next
/// - in the last quarter by at least a quarter of its rise in the first, and still at the end
/// - by at least 1 KiB in all
/// - so steadily that a series without a trend does it once in a thousand times
///
/// A cache that is still filling when the series ends looks like a leak: give it time to fill.
///
/// ```
/// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback, Trend};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12));
/// let mut trend = Trend::new(GroupBy::Line);
/// for blocks in 1..=20 {
///     let block = Trace::new(Domain::HEAP, 640, line.clone());
///     trend.push(&Snapshot::from_traces(vec![block; blocks], 1))?;
/// }
/// let suspects = trend.suspects();
/// assert_eq!(suspects[0].site.traceback, line);
/// assert_eq!(
///     suspects[0].to_string(),
///     "kept 11.9 KiB in 19 blocks; the floor rose in 19 of 19 intervals",
/// );
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trend(Series);

impl Trend {
    /// Minimum number of snapshots for suspects.
    pub const MIN_SNAPSHOTS: usize = Series::MIN_SNAPSHOTS;

    /// No snapshots yet.
    pub fn new(group_by: GroupBy) -> Self {
        Self(Series::new(group_by))
    }

    /// Adds a snapshot that was taken after the others.
    ///
    /// What is allocated here is not recorded: no snapshot shows it as growth.
    ///
    /// # Errors
    ///
    /// [`NotComparable`](crate::ErrorKind::NotComparable) if the snapshot was taken before the last
    /// one, or if only one of them kept the frames of the standard library.
    pub fn push(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        let _unrecorded = Guard::enter();
        self.0.push(snapshot)
    }

    /// Number of snapshots.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are no snapshots yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every group that was in any snapshot: by bytes at the end, then blocks, then traceback, all
    /// descending.
    pub fn sites(&self) -> Vec<SiteTrend> {
        self.0.sites()
    }

    /// The groups that look like leaks, most bytes kept first.
    pub fn suspects(&self) -> Vec<Suspect> {
        self.0.suspects()
    }

    /// The memory of the process at each snapshot: live blocks, resident memory, the allocator's, the
    /// tracer's.
    pub fn memory(&self) -> &[ProcessMemory] {
        self.0.memory()
    }

    /// How resident memory grew over the series, and what explains it: live blocks, the tracer, what the
    /// allocator keeps, or none of these.
    ///
    /// `None` if there are fewer than [`MIN_SNAPSHOTS`](Self::MIN_SNAPSHOTS), or resident memory is not
    /// [known](crate::Recording::resident_memory) of each.
    ///
    /// ```
    /// use tracemalloc::{GroupBy, Snapshot, Trend};
    ///
    /// let mut trend = Trend::new(GroupBy::Line);
    /// for _ in 0..8 {
    ///     trend.push(&Snapshot::from_traces([], 25))?;
    /// }
    /// // These were not recorded.
    /// assert_eq!(trend.memory_growth(), None);
    /// assert_eq!(trend.memory().len(), 8);
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn memory_growth(&self) -> Option<MemoryGrowth> {
        self.0.memory_growth()
    }
}
