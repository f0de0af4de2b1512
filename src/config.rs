//! How to trace.

use std::num::NonZeroU64;

use crate::error::{Error, ErrorKind};

/// The settings of a session of tracing. [`Config::start`] begins one.
///
/// The default traces every allocation with 25 frames and without a memory limit.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::Config::new().frames(40).memory_limit(256 << 20).start()?;
/// assert_eq!(tracemalloc::get_traceback_limit(), Some(40));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "settings do nothing until `start` is called"]
pub struct Config {
    frames: usize,
    sample_every: Option<u64>,
    memory_limit: usize,
    runtime_frames: bool,
    history: bool,
    thread_names: bool,
    names: Names,
    resident_memory: bool,
}

/// When the names of a snapshot's frames are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// When the snapshot is taken, from the files of the running program.
    #[default]
    Now,
    /// Later, from the snapshot's file, on any host that has the program's files or a copy of them.
    Later,
}

impl Config {
    /// Frames kept per block unless [`Config::frames`] says otherwise.
    pub const DEFAULT_FRAMES: usize = 25;

    /// The default settings.
    pub const fn new() -> Self {
        Self {
            frames: Self::DEFAULT_FRAMES,
            sample_every: None,
            memory_limit: usize::MAX,
            runtime_frames: false,
            history: false,
            thread_names: false,
            names: Names::Now,
            resident_memory: true,
        }
    }

    /// Keeps the `frames` most recent frames per block, 1 to 65535, counted after trimming. Another
    /// number is an error of [`Config::start`].
    pub const fn frames(mut self, frames: usize) -> Self {
        self.frames = frames;
        self
    }

    /// Records a sample of the allocations instead of all: one record per `bytes` bytes that a
    /// thread allocates, on average. 0 is an error of [`Config::start`].
    ///
    /// An allocation of `s` bytes is recorded with the probability `1 - exp(-s / bytes)`, whatever
    /// was recorded before it: large blocks nearly always, small ones now and then. The record has
    /// the block's true size. What snapshots and reports show are estimates of the whole, and they
    /// say so; see [`Snapshot::sample_every`](crate::Snapshot::sample_every) for how good those
    /// are. Nothing is known of a block without a record:
    /// [`get_object_traceback`](crate::get_object_traceback) is `None` for it. Regions that are
    /// [tracked](crate::track) are not sampled.
    ///
    /// The heap profilers of Go and jemalloc sample every 512 KiB by default. A period of 1 byte is not an
    /// exact recording: it omits 37 % of the blocks of 1 byte.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// tracemalloc::Config::new().sample_every(512 * 1024).start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn sample_every(mut self, bytes: u64) -> Self {
        self.sample_every = Some(bytes);
        self
    }

    /// Limits the tracer's tables to `bytes` of address space. Only the part in use takes memory, and the
    /// directories that lead to the tables do not count. There is no limit unless this is called. What does
    /// not fit is counted and shown in every report ([`Losses`](crate::Losses)); the program's own
    /// allocations never fail because of it. Tables stay for the life of the process, so a later session
    /// with a lower limit keeps them and adds nothing.
    pub const fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Keeps the frames of the allocator and of the standard library at both ends of a stack, which
    /// are otherwise left out so that a traceback begins at the line that people recognise.
    /// Snapshots with and without them cannot be compared.
    pub const fn keep_runtime_frames(mut self, keep: bool) -> Self {
        self.runtime_frames = keep;
        self
    }

    /// Also counts, for every stack, what was live at the peak, what it has allocated since the start,
    /// and what lived short: what a snapshot of live blocks cannot say, above all where a program has
    /// given everything back. Off unless this is called; an allocation then costs nothing more.
    ///
    /// Every allocating stack takes 128 bytes more of the tracer's memory, and another 128 if several
    /// threads allocate or free its blocks. What does not fit under a
    /// [limit](Config::memory_limit) is counted.
    ///
    /// - The peak is that of [`get_traced_memory`](crate::get_traced_memory), when it was first reached.
    ///   It is exact while one thread allocates. With several, a thread records a new peak when it sees a
    ///   total that is higher by 64 KiB or by 1/256, whichever is less. Events in progress at that moment may
    ///   or may not count.
    /// - [`clear_traces`](crate::clear_traces) sets everything to 0;
    ///   [`reset_peak`](crate::reset_peak) makes the present moment the peak and leaves the rest.
    /// - `realloc` is an allocation where it is called, of all bytes of the new size, and the end of the
    ///   block where it was allocated before.
    /// - A block is temporary if the thread that has allocated it frees it before it has allocated four
    ///   more. `realloc` counts as an allocation, and not as a free.
    /// - In a session that samples, all sums are estimates, and no block counts as temporary, because most of
    ///   the thread's next allocations are not recorded.
    /// - Memory that is [tracked](crate::track) counts for its domain as blocks do.
    pub const fn history(mut self, record: bool) -> Self {
        self.history = record;
        self
    }

    /// Records with every block the name of the thread that allocated it, for
    /// [`GroupBy::Thread`](crate::GroupBy::Thread).
    ///
    /// The name is the one that the system knows: on Linux at most 15 bytes of it, `main` for the main
    /// thread, and the name of the thread that started it for one without a name. It is read once for each
    /// thread and session, and threads of one name count as one. Known on Linux and on Apple's systems.
    /// A traced allocation then takes a look-up more, and each distinct stack of each name a context.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// tracemalloc::Config::new().thread_names(true).start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn thread_names(mut self, record: bool) -> Self {
        self.thread_names = record;
        self
    }

    /// Says when names are read. [`Names::Later`] makes snapshots cheap: the process reads no debug
    /// information, and a snapshot holds addresses, modules and build ids alone. Its stacks are not trimmed
    /// and longer than the [limit](Config::frames), because names tell where they begin; the limit counts
    /// when they are named.
    ///
    /// The tool names a saved snapshot with `tracemalloc symbolize FILE`, a program with
    /// [`Symbolizer`](crate::Symbolizer).
    /// Reports of a snapshot without names show places such as `app+0x11d7`, and say so.
    ///
    /// Where modules and build ids are not known (Windows, Apple's systems), the process reads the names when
    /// the snapshot is taken.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// use tracemalloc::Names;
    ///
    /// tracemalloc::Config::new().names(Names::Later).start()?;
    /// tracemalloc::take_snapshot()?.dump("app.tmsnap.json.gz")?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Says whether the system is asked which memory is resident. It is by default.
    ///
    /// A sandbox may end the process for system calls that it does not expect. With `false` and
    /// [`Names::Later`], [`take_snapshot`](crate::take_snapshot) and
    /// [`get_tracemalloc_memory`](crate::get_tracemalloc_memory) make no system call that tracing does not
    /// make, except those of the allocator and of the standard library's hash maps (`getrandom`). The tracer's memory is
    /// then that which counts for the [memory limit](Config::memory_limit), mostly more than is resident, and
    /// [`resident_memory`](crate::Recording::resident_memory) is unknown.
    ///
    /// ```standalone_crate
    /// use tracemalloc::Names;
    /// # #[global_allocator]
    /// # static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
    ///
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// tracemalloc::Config::new().names(Names::Later).resident_memory(false).start()?;
    /// let snapshot = tracemalloc::take_snapshot()?;
    /// assert_eq!(snapshot.recording().resident_memory, None);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn resident_memory(mut self, ask: bool) -> Self {
        self.resident_memory = ask;
        self
    }

    pub(crate) fn asks_resident_memory(&self) -> bool {
        self.resident_memory
    }

    pub(crate) fn names_later(&self) -> bool {
        self.names == Names::Later
    }

    pub(crate) fn valid_frames(&self) -> Result<u16, Error> {
        match u16::try_from(self.frames) {
            Ok(frames) if frames > 0 => Ok(frames),
            _ => Err(Error::new(
                ErrorKind::InvalidFrameCount,
                format!(
                    "the number of frames must be in range 1 to 65535, not {}",
                    self.frames
                ),
            )),
        }
    }

    /// The sampling period; `None` for every allocation.
    pub(crate) fn valid_sample_every(&self) -> Result<Option<NonZeroU64>, Error> {
        let valid = |bytes| {
            NonZeroU64::new(bytes).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidSamplingPeriod,
                    "the sampling period must be 1 byte at least, not 0",
                )
            })
        };
        self.sample_every.map(valid).transpose()
    }

    pub(crate) fn memory_limit_bytes(&self) -> usize {
        self.memory_limit
    }

    pub(crate) fn runtime_frames(&self) -> bool {
        self.runtime_frames
    }

    pub(crate) fn has_history(&self) -> bool {
        self.history
    }

    pub(crate) fn records_thread_names(&self) -> bool {
        self.thread_names
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampling_period_is_kept_unless_it_is_nothing() {
        let period = |config: Config| config.valid_sample_every();
        assert_eq!(period(Config::new()).unwrap(), None);
        for bytes in [1, 512 * 1024, u64::MAX] {
            let config = Config::new().sample_every(bytes);
            assert_eq!(period(config).unwrap(), NonZeroU64::new(bytes));
        }
        let error = period(Config::new().sample_every(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSamplingPeriod);
        assert_eq!(
            error.to_string(),
            "the sampling period must be 1 byte at least, not 0"
        );
    }
}
