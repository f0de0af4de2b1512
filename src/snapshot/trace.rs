//! Live blocks and the snapshot that holds them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::frame::Module;
use super::history::HistoryRow;
use super::recording::Recording;
use super::runs::{Run, Runs, StackTable};
use super::size::Size;
use super::traceback::Traceback;
use super::unread::Unread;
use super::view::View;
use crate::error::Error;
use crate::sampling::Sampling;

/// Whose memory a block is. Domain 0 is the global allocator; other numbers are the program's own
/// choice, given to [`track`](crate::track).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub u32);

impl Domain {
    /// The global allocator.
    pub const HEAP: Self = Self(0);
}

/// One live memory block.
///
/// Equal when domain, size and traceback are, the depth of a cut stack included. `Display` writes
/// `FILE:LINE: SIZE` of the oldest frame, as CPython does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trace {
    /// Whose memory it is.
    pub domain: Domain,
    /// Requested size in bytes.
    pub size: u64,
    /// Who allocated it.
    pub traceback: Traceback,
}

impl Trace {
    /// A block of `size` bytes in `domain`, allocated at `traceback`.
    pub fn new(domain: Domain, size: u64, traceback: Traceback) -> Self {
        Self {
            domain,
            size,
            traceback,
        }
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain
            && self.size == other.size
            && self.traceback.identical(&other.traceback)
    }
}

impl Eq for Trace {}

impl fmt::Display for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.traceback, Size(self.size))
    }
}

/// A copy of every live block at one moment: a plain value that no longer knows the program it came
/// from.
///
/// Taken by [`take_snapshot`](crate::take_snapshot), read from a file by [`Snapshot::load`], or
/// made from literal traces.
///
/// ```
/// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12));
/// let mut snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 25);
/// snapshot.set_attribute("label", "after warm-up");
/// assert_eq!((snapshot.block_count(), snapshot.total_size()), (1, 640));
/// assert_eq!(snapshot.traces()?.get(0).unwrap().to_string(), "src/main.rs:12: 640 B");
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) stacks: Arc<[Traceback]>,
    pub(super) runs: Vec<Run>,
    pub(super) traceback_limit: u16,
    /// `None`: every allocation was recorded.
    pub(super) sampling: Option<Sampling>,
    pub(super) recording: Recording,
    pub(super) attributes: BTreeMap<String, String>,
    /// `None`: not recorded.
    pub(super) history: Option<Vec<HistoryRow>>,
    /// What the runs stand for.
    pub(super) view: View,
    /// The modules whose names could not be read, and why.
    pub(super) unread: Arc<[(Arc<Module>, Unread)]>,
}

impl Snapshot {
    /// A snapshot of the given blocks, in their order. `traceback_limit` is the number of frames
    /// kept per block; the given stacks are not cut to it. The blocks are taken for all there are,
    /// unless [`with_sample_every`](Self::with_sample_every) says otherwise.
    pub fn from_traces(traces: impl IntoIterator<Item = Trace>, traceback_limit: u16) -> Self {
        let mut stacks = StackTable::default();
        let mut runs = Runs::default();
        for trace in traces {
            runs.push(stacks.intern(trace.traceback), trace.domain, trace.size, 1);
        }
        Self::from_parts(
            stacks.into_stacks(),
            runs,
            traceback_limit,
            Recording::default(),
        )
    }

    pub(crate) fn from_parts(
        stacks: Vec<Traceback>,
        runs: Runs,
        traceback_limit: u16,
        recording: Recording,
    ) -> Self {
        debug_assert!(runs.0.iter().all(|run| (run.stack as usize) < stacks.len()));
        Self {
            stacks: stacks.into(),
            runs: runs.0,
            traceback_limit,
            sampling: None,
            recording,
            attributes: BTreeMap::new(),
            history: None,
            view: View::Live,
            unread: Arc::new([]),
        }
    }

    /// The blocks, in the order in which they were given, or in none that is specified if they were
    /// recorded. Filtering keeps the order, and a file too. Of a [sampled](Self::sample_every)
    /// snapshot these are the blocks of the sample, with their true sizes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSingleBlocks`](crate::ErrorKind::NoSingleBlocks) if the snapshot is a
    /// [view](Self::view) other than of live memory.
    pub fn traces(&self) -> Result<Traces<'_>, Error> {
        self.check_single_blocks("no single blocks")?;
        Ok(Traces {
            snapshot: self,
            range: 0..self.recorded(),
        })
    }

    /// Maximum number of frames that were kept per block.
    pub fn traceback_limit(&self) -> u16 {
        self.traceback_limit
    }

    /// How the snapshot was recorded, and what it could not hold.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Texts of the program's own, by name, which the saved file keeps: a label, a version, a request id.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Sets the attribute `name`, replacing an earlier value.
    pub fn set_attribute(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.attributes.insert(name.into(), value.into());
    }

    /// This snapshot with other blocks of the same stacks, without its history.
    pub(crate) fn with_runs(&self, runs: Runs) -> Self {
        self.with_shared_stacks(Arc::clone(&self.stacks), runs)
    }

    /// This snapshot with other stacks, and blocks of those, without its history.
    pub(crate) fn with_stacks(&self, stacks: Vec<Traceback>, runs: Runs) -> Self {
        self.with_shared_stacks(stacks.into(), runs)
    }

    fn with_shared_stacks(&self, stacks: Arc<[Traceback]>, runs: Runs) -> Self {
        Self {
            stacks,
            runs: runs.0,
            traceback_limit: self.traceback_limit,
            sampling: self.sampling,
            recording: self.recording.clone(),
            attributes: self.attributes.clone(),
            history: None,
            view: self.view,
            unread: Arc::clone(&self.unread),
        }
    }

    /// This snapshot as one that was recorded so.
    pub(crate) fn with_recording(mut self, recording: Recording) -> Self {
        self.recording = recording;
        self
    }

    #[cfg(test)]
    pub(crate) fn with_memory(mut self, current: u64, peak: u64) -> Self {
        (self.recording.current, self.recording.peak) = (current, peak);
        self
    }

    /// Number of recorded blocks.
    pub(super) fn recorded(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// The distinct stacks.
    pub(crate) fn stacks(&self) -> &[Traceback] {
        &self.stacks
    }

    /// Each run with its number of blocks.
    pub(crate) fn counted_runs(&self) -> impl Iterator<Item = (&Run, u64)> {
        let mut start = 0;
        self.runs
            .iter()
            .map(move |run| (run, run.end - std::mem::replace(&mut start, run.end)))
    }

    fn trace(&self, position: u64) -> Option<Trace> {
        let run = self
            .runs
            .get(self.runs.partition_point(|run| run.end <= position))?;
        Some(Trace::new(
            run.domain,
            run.size,
            self.stacks.get(run.stack as usize)?.clone(),
        ))
    }
}

/// The blocks of a snapshot, in its order. Also an iterator over them, from either end.
///
/// Equal to another when it yields equal blocks in the same order. `Debug` writes `<Traces len=N>`.
#[derive(Clone)]
pub struct Traces<'a> {
    snapshot: &'a Snapshot,
    range: Range<u64>,
}

impl Traces<'_> {
    /// The block at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<Trace> {
        let position = self.range.start.checked_add(index as u64)?;
        if position < self.range.end {
            self.snapshot.trace(position)
        } else {
            None
        }
    }

    /// True if there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl Iterator for Traces<'_> {
    type Item = Trace;

    fn next(&mut self) -> Option<Trace> {
        self.range
            .next()
            .and_then(|position| self.snapshot.trace(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = usize::try_from(self.range.end - self.range.start);
        (len.unwrap_or(usize::MAX), len.ok())
    }

    fn nth(&mut self, n: usize) -> Option<Trace> {
        self.range.start = self
            .range
            .start
            .saturating_add(n as u64)
            .min(self.range.end);
        self.next()
    }
}

impl DoubleEndedIterator for Traces<'_> {
    fn next_back(&mut self) -> Option<Trace> {
        self.range
            .next_back()
            .and_then(|position| self.snapshot.trace(position))
    }
}

impl ExactSizeIterator for Traces<'_> {}

impl PartialEq for Traces<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.clone().eq(other.clone())
    }
}

impl Eq for Traces<'_> {}

impl fmt::Debug for Traces<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<Traces len={}>", self.range.end - self.range.start)
    }
}
