//! How a snapshot was recorded, and what the recording lacks.

use super::unread::Unread;

/// What a recording could not hold. All zero in a complete one; shown in every report otherwise.
///
/// Of a [sampled](crate::Snapshot::sample_every) recording these are numbers of records, not estimates:
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
    /// Allocations, reallocations and frees that the [history](crate::Snapshot::has_history) does not hold:
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
/// [`Snapshot::from_traces`](crate::Snapshot::from_traces).
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
    /// Bytes that the allocator had got from the system, blocks in use and free ones: as
    /// [`set_allocator_memory`](crate::set_allocator_memory) says, or the C library's allocator where blocks come from
    /// it and it tells. glibc does, from 2.33 on. Where this grows and `current` does not, memory is fragmented
    /// or kept for later.
    pub allocator_memory: Option<u64>,
    /// Traced bytes live when the snapshot was taken; an estimate of a
    /// [sampled](crate::Snapshot::sample_every) recording, as `peak` is.
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
