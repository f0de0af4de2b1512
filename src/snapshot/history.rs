//! What a session with history knows beyond the live blocks: sums for each stack and domain.
//!
//! ```text
//! engine's record of a stack ──> HistoryRow { stack, domain, totals }  ──┬─> view (view.rs)
//! (history of the session)       a snapshot keeps them beside its runs   └─> exports, advice
//! ```

use super::runs::{Run, Runs, StackTable};

use super::trace::{Domain, Snapshot};
use super::traceback::Traceback;

/// Bytes and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BlockSum {
    /// Bytes.
    pub size: u64,
    /// Blocks.
    pub count: u64,
}

impl BlockSum {
    /// `size` bytes in `count` blocks.
    pub const fn new(size: u64, count: u64) -> Self {
        Self { size, count }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            size: self.size.saturating_add(other.size),
            count: self.count.saturating_add(other.count),
        }
    }
}

/// What one stack has done in one domain since tracing started, or since traces were cleared.
///
/// Recorded by sessions with history. Sums stop at `u64::MAX`. In a
/// [sampled](Snapshot::sample_every) session they are estimates already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackHistory {
    /// What was live when the memory of the whole program was at its highest.
    pub at_peak: BlockSum,
    /// The highest number of bytes from this stack that were live at one time, and the blocks that held them.
    pub highest: BlockSum,
    /// All that was allocated. A reallocation counts as an allocation of its new size.
    pub allocated: BlockSum,
    /// What was allocated and freed again soon after, within the next few allocations of its thread.
    pub temporary: BlockSum,
    /// Reallocations that grew or shrank a block.
    pub reallocations: u64,
    /// Bytes that reallocations copied because the block moved.
    pub bytes_copied: u64,
    /// Microseconds that the blocks have lived, added up over all blocks: freed ones until they were
    /// freed, live ones until the snapshot was taken.
    pub lifetime: u64,
}

impl StackHistory {
    /// This history and another one, added up. What two stacks had together at their highest is not
    /// known; it is at most the sum, which stands there.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            at_peak: self.at_peak.plus(other.at_peak),
            highest: self.highest.plus(other.highest),
            allocated: self.allocated.plus(other.allocated),
            temporary: self.temporary.plus(other.temporary),
            reallocations: self.reallocations.saturating_add(other.reallocations),
            bytes_copied: self.bytes_copied.saturating_add(other.bytes_copied),
            lifetime: self.lifetime.saturating_add(other.lifetime),
        }
    }
}

/// The history of one stack and domain of a snapshot. Several rows of one stack and domain add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryRow {
    /// Index into the snapshot's stacks.
    pub(crate) stack: u32,
    pub(crate) domain: Domain,
    pub(crate) totals: StackHistory,
}

impl HistoryRow {
    /// One block of the average size, for conditions that look at blocks.
    pub(super) fn as_run(&self) -> Run {
        let BlockSum { size, count } = self.totals.allocated;
        Run {
            size: size.checked_div(count).unwrap_or(0),
            end: 1,
            stack: self.stack,
            domain: self.domain,
        }
    }
}

impl Snapshot {
    /// True if the session recorded history: totals, peak and lifetimes of each stack.
    ///
    /// ```
    /// assert!(!tracemalloc::Snapshot::from_traces([], 25).has_history());
    /// ```
    pub fn has_history(&self) -> bool {
        self.history.is_some()
    }

    /// This snapshot with the given history, for snapshots made from literal traces, as in tests;
    /// recorded ones have what their session recorded.
    ///
    /// ```
    /// use tracemalloc::{BlockSum, Domain, Frame, Snapshot, StackHistory, Traceback};
    ///
    /// let mut history = StackHistory::default();
    /// history.allocated = BlockSum::new(640, 10);
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let snapshot = Snapshot::from_traces([], 25).with_history([(line, Domain::HEAP, history)]);
    /// assert!(snapshot.has_history());
    /// ```
    #[must_use]
    pub fn with_history(
        self,
        rows: impl IntoIterator<Item = (Traceback, Domain, StackHistory)>,
    ) -> Self {
        let mut table = StackTable::default();
        let known = self.stacks().iter();
        let numbers: Vec<u32> = known.map(|stack| table.intern(stack.clone())).collect();
        let mut runs = Runs::default();
        for (run, count) in self.counted_runs() {
            let stack = numbers[run.stack as usize];
            runs.push(stack, run.domain, run.size, count);
        }
        let rows = rows.into_iter().map(|(stack, domain, totals)| HistoryRow {
            stack: table.intern(stack),
            domain,
            totals,
        });
        let rows = rows.collect();
        let snapshot = self.with_stacks(table.into_stacks(), runs);
        snapshot.with_history_rows(rows)
    }

    /// This snapshot with history, whose rows refer to its stacks.
    pub(crate) fn with_history_rows(mut self, rows: Vec<HistoryRow>) -> Self {
        debug_assert!(
            rows.iter()
                .all(|row| (row.stack as usize) < self.stacks.len())
        );
        self.history = Some(rows);
        self
    }

    /// The history of each stack and domain, in no order that is specified; `None` if none was recorded.
    /// A stack and domain may be there several times; its sums add up.
    ///
    /// ```
    /// use tracemalloc::{Domain, Snapshot, StackHistory, Traceback};
    ///
    /// let mut history = StackHistory::default();
    /// history.reallocations = 17;
    /// let rows = [(Traceback::unknown(), Domain::HEAP, history)];
    /// let snapshot = Snapshot::from_traces([], 25).with_history(rows);
    /// let reallocations: u64 = snapshot.history().unwrap().map(|row| row.2.reallocations).sum();
    /// assert_eq!(reallocations, 17);
    /// ```
    pub fn history(
        &self,
    ) -> Option<impl Iterator<Item = (&Traceback, Domain, &StackHistory)> + Clone> {
        let rows = self.history.as_ref()?.iter();
        Some(rows.filter_map(|row| {
            let stack = self.stacks().get(row.stack as usize)?;
            Some((stack, row.domain, &row.totals))
        }))
    }

    /// As [`history`](Self::history), with numbers for stacks; nothing if none was recorded.
    pub(crate) fn history_rows(&self) -> &[HistoryRow] {
        self.history.as_deref().unwrap_or_default()
    }
}
