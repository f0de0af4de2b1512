//! Live blocks and the snapshot that holds them.
//!
//! A program has few distinct stacks and many blocks, so a snapshot keeps each stack once, and the
//! blocks as runs. A run is a number of blocks of one size and one stack. It costs 24 bytes however many
//! blocks it stands for.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::frame::Module;
use super::history::HistoryRow;
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

/// What a recording could not hold. All zero in a complete one; shown in every report otherwise.
///
/// Of a [sampled](Snapshot::sample_every) recording these are numbers of records, not estimates:
/// blocks that sampling left out are no losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// Blocks that were allocated while tracing but not recorded: out of memory for the record, or
    /// over the limit.
    pub blocks: u64,
    /// Blocks recorded without their stack: the table of stacks was full, or there was no memory
    /// to read or keep it.
    pub stacks: u64,
    /// Records that were replaced by a later block at the same address: the tracer did not see the earlier
    /// block freed.
    pub replaced: u64,
    /// Blocks whose stack ends too early: in code without call-frame information, such as code that
    /// the program has generated. Their callers beyond it are not known. Counted on Linux with glibc.
    pub incomplete_stacks: u64,
    /// Allocations, reallocations and frees that the [history](Snapshot::has_history) does not hold:
    /// there was no memory for the record of their stack.
    pub history_events: u64,
    /// Labels that blocks lack because there was no memory for them: a [tag](crate::Tag), or the
    /// [name of a thread](crate::Config::thread_names).
    pub labels: u64,
}

impl Losses {
    /// Every number with the name of its field, in the order of the fields: for programs that show
    /// them all, later ones too.
    ///
    /// ```
    /// let losses = tracemalloc::Losses::default();
    /// assert!(losses.by_name().any(|(name, count)| (name, count) == ("blocks", 0)));
    /// ```
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self {
            blocks,
            stacks,
            replaced,
            incomplete_stacks,
            history_events,
            labels,
        } = *self;
        [
            ("blocks", blocks),
            ("stacks", stacks),
            ("replaced", replaced),
            ("incomplete_stacks", incomplete_stacks),
            ("history_events", history_events),
            ("labels", labels),
        ]
        .into_iter()
    }
}

/// How a snapshot was recorded. Every field is 0 or `None` in a snapshot made by
/// [`Snapshot::from_traces`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recording {
    /// Seconds since the Unix epoch when the snapshot was taken.
    pub taken_at: Option<u64>,
    /// The process that was traced.
    pub process_id: Option<u32>,
    /// The name of the program's executable file, without its folder.
    pub program: Option<String>,
    /// Bytes of the process in physical memory, including those of the tracer and of the snapshot; `None`
    /// if the system does not report them.
    pub resident_memory: Option<u64>,
    /// Bytes that the C library's allocator holds from the system, in use or free; only glibc 2.33 and newer
    /// report them. If this grows and `current` does not, memory is fragmented or kept for reuse. Another
    /// allocator that the program wraps is not included.
    pub allocator_memory: Option<u64>,
    /// Traced bytes live when the snapshot was taken; an estimate of a
    /// [sampled](Snapshot::sample_every) recording, as `peak` is.
    pub current: u64,
    /// Highest number of traced bytes live at one time since tracing started, or since the last reset.
    pub peak: u64,
    /// Bytes that the tracer itself held.
    pub tracer_memory: u64,
    /// True if frames of the standard library at either end of a stack were kept.
    pub runtime_frames: bool,
    /// Why no names were read; `None` if they were. Frames without names are places in machine code. They
    /// include the runtime's, and may exceed the limit. [`Symbolizer`](crate::Symbolizer) names them later.
    pub unnamed: Option<Unread>,
    /// What the recording does not hold.
    pub losses: Losses,
}

/// `blocks` blocks of one size, stack and domain that follow each other in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes of one block.
    pub(crate) size: u64,
    /// Position after the run's last block, so that a block is found by binary search.
    pub(crate) end: u64,
    /// Index into the snapshot's stacks.
    pub(crate) stack: u32,
    pub(crate) domain: Domain,
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

/// Runs under construction: neighbours that are alike become one.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    /// Adds `count` blocks at the end.
    pub(crate) fn push(&mut self, stack: u32, domain: Domain, size: u64, count: u64) {
        if count == 0 {
            return;
        }
        let end = self.0.last().map_or(0, |run| run.end).saturating_add(count);
        match self.0.last_mut() {
            Some(last) if (last.stack, last.domain, last.size) == (stack, domain, size) => {
                last.end = end
            }
            _ => self.0.push(Run {
                size,
                end,
                stack,
                domain,
            }),
        }
    }
}

/// Distinct stacks under construction, numbered by first appearance. Stacks that differ only in
/// their depth are two.
#[derive(Debug, Default)]
pub(crate) struct StackTable {
    ids: HashMap<StackKey, u32>,
    stacks: Vec<Traceback>,
}

/// A stack with a hash of it.
#[derive(Debug)]
struct StackKey(u64, Traceback);

impl PartialEq for StackKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 && self.1.identical(&other.1)
    }
}

impl Eq for StackKey {}

impl Hash for StackKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl StackTable {
    pub(crate) fn intern(&mut self, stack: Traceback) -> u32 {
        let mut state = self.ids.hasher().build_hasher();
        stack.hash(&mut state);
        stack.hash_labels(&mut state);
        self.intern_hashed(state.finish(), stack)
    }

    /// As [`StackTable::intern`], where a hash is known that equal stacks have in common.
    pub(crate) fn intern_hashed(&mut self, hash: u64, stack: Traceback) -> u32 {
        let next = u32::try_from(self.stacks.len()).unwrap_or(u32::MAX);
        let id = *self
            .ids
            .entry(StackKey(hash, stack.clone()))
            .or_insert(next);
        if id == next {
            self.stacks.push(stack);
        }
        id
    }

    /// Adds a stack that is another one than those before, whatever it is equal to.
    pub(crate) fn push(&mut self, stack: Traceback) -> u32 {
        let id = u32::try_from(self.stacks.len()).unwrap_or(u32::MAX);
        self.stacks.push(stack);
        id
    }

    pub(crate) fn into_stacks(self) -> Vec<Traceback> {
        self.stacks
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
