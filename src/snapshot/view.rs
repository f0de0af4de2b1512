//! What a snapshot's sums are about: live blocks, the peak, all that was allocated, what lived short.
//!
//! A view is a snapshot with runs that stand for sums. A sum of `size` bytes in `count` blocks becomes
//! blocks of the average size. Some of them are a byte larger, so that they add up to the byte:
//!
//! ```text
//! 103 bytes in 10 blocks  ──>  7 blocks of 10 bytes and 3 of 11
//! ```
//!
//! Statistics, filters by name and exports need no more than that. What would show such a block as one
//! that was allocated is refused.

use std::fmt;

use super::history::{BlockSum, StackHistory};
use super::runs::Runs;
use super::trace::{Domain, Snapshot};
use crate::error::{Error, ErrorKind};

/// What the sums of a snapshot are about.
///
/// `Display` writes what a title needs: `live memory`, `memory at the peak`, `allocated memory`,
/// `temporary memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum View {
    /// The blocks that were live when the snapshot was taken.
    #[default]
    Live,
    /// What was live when the memory of the whole program was at its highest, since tracing started
    /// or since the last [`reset_peak`](crate::reset_peak).
    AtPeak,
    /// All that was allocated since tracing started, freed or not.
    Allocated,
    /// What was freed again soon after it was allocated. A session that samples does not know it.
    Temporary,
}

impl fmt::Display for View {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Live => "live memory",
            Self::AtPeak => "memory at the peak",
            Self::Allocated => "allocated memory",
            Self::Temporary => "temporary memory",
        })
    }
}

impl View {
    /// The name that files and JSON have for it: `live`, `at_peak`, `allocated`, `temporary`.
    ///
    /// ```
    /// assert_eq!(tracemalloc::View::AtPeak.name(), "at_peak");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::AtPeak => "at_peak",
            Self::Allocated => "allocated",
            Self::Temporary => "temporary",
        }
    }
}

impl Snapshot {
    /// A snapshot of the same stacks whose bytes and blocks are those of `view`: for every statistic,
    /// comparison, filter, report and export.
    ///
    /// [`View::Live`] is the snapshot itself. The other views are sums per stack and domain: single
    /// blocks and their sizes are not known, and asking for them is an error. A
    /// [custom filter](crate::Filter::include_if) sees blocks of the average size. The view of the
    /// peak may add up to a little less or more than [`Recording::peak`](crate::Recording::peak) where
    /// several threads allocate. Views of a [sampled](Self::sample_every) snapshot are estimates.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ViewNotRecorded`] if the session did not record [history](Self::has_history), if this
    /// snapshot is another view, or for [`View::Temporary`] of a sampled one.
    ///
    /// ```
    /// use tracemalloc::{BlockSum, Domain, Frame, GroupBy, Snapshot, StackHistory, Traceback, View};
    ///
    /// let mut history = StackHistory::default();
    /// history.at_peak = BlockSum::new(640, 10);
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// // Nothing is live any more.
    /// let snapshot = Snapshot::from_traces([], 25).with_history([(line, Domain::HEAP, history)]);
    /// let peak = snapshot.view(View::AtPeak)?;
    /// let top = &peak.statistics(GroupBy::Line)[0];
    /// assert_eq!(top.to_string(), "src/main.rs:12: size=640 B, count=10, average=64 B");
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn view(&self, view: View) -> Result<Snapshot, Error> {
        if view == self.viewed() {
            return Ok(self.clone());
        }
        let sum: fn(&StackHistory) -> BlockSum = match view {
            View::Live => return Err(self.other_view(view)),
            View::AtPeak => |history| history.at_peak,
            View::Allocated => |history| history.allocated,
            View::Temporary => |history| history.temporary,
        };
        if !self.has_history() {
            return Err(self.other_view(view));
        }
        if view == View::Temporary && self.sample_every().is_some() {
            return Err(Error::new(
                ErrorKind::ViewNotRecorded,
                "no temporary memory: a sample does not tell which blocks lived for a few allocations",
            ));
        }
        let mut rows = self.history_rows().to_vec();
        rows.sort_unstable_by_key(|row| (row.stack, row.domain));
        let mut runs = Runs::default();
        for same in rows.chunk_by(|a, b| (a.stack, a.domain) == (b.stack, b.domain)) {
            let sums = same.iter().map(|row| sum(&row.totals));
            let sum = sums.fold(BlockSum::default(), BlockSum::plus);
            if let Some(row) = same.first() {
                runs.push_sum(row.stack, row.domain, sum);
            }
        }
        let mut snapshot = self.with_runs(runs);
        snapshot.view = view;
        snapshot.history = None;
        Ok(snapshot)
    }

    /// What the bytes and blocks of this snapshot are about.
    ///
    /// ```
    /// use tracemalloc::{Snapshot, View};
    ///
    /// assert_eq!(Snapshot::from_traces([], 25).viewed(), View::Live);
    /// ```
    pub fn viewed(&self) -> View {
        self.view
    }

    /// # Errors
    ///
    /// [`ErrorKind::NoSingleBlocks`] for a view that has sums alone.
    pub(crate) fn check_single_blocks(&self, what: &str) -> Result<(), Error> {
        match self.viewed() {
            View::Live => Ok(()),
            view => Err(Error::new(
                ErrorKind::NoSingleBlocks,
                format!("{what}: a view of {view} has sums alone"),
            )),
        }
    }

    #[cold]
    fn other_view(&self, view: View) -> Error {
        let text = match self.viewed() {
            View::Live => format!(
                "no {view}: the session recorded no history; set TRACEMALLOC_HISTORY=1 or \
                 Config::history(true)"
            ),
            viewed => format!(
                "no {view}: this is a view of {viewed}; ask the snapshot that it was made from"
            ),
        };
        Error::new(ErrorKind::ViewNotRecorded, text)
    }
}

impl Runs {
    /// Adds `sum` as blocks of its average size. Bytes without blocks, which no session records, are
    /// one block: no byte goes unseen.
    fn push_sum(&mut self, stack: u32, domain: Domain, sum: BlockSum) {
        let BlockSum { size, count } = sum;
        let count = count.max(u64::from(size > 0));
        let (Some(average), Some(larger)) = (size.checked_div(count), size.checked_rem(count))
        else {
            return;
        };
        self.push(stack, domain, average, count - larger);
        self.push(stack, domain, average + 1, larger);
    }
}

#[cfg(test)]
mod tests;
