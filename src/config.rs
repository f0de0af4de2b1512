//! How to trace.

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
    memory_limit: usize,
    runtime_frames: bool,
}

impl Config {
    /// Frames kept per block unless [`Config::frames`] says otherwise.
    pub const DEFAULT_FRAMES: usize = 25;

    /// The default settings.
    pub const fn new() -> Self {
        Self {
            frames: Self::DEFAULT_FRAMES,
            memory_limit: usize::MAX,
            runtime_frames: false,
        }
    }

    /// Keeps the `frames` most recent frames per block, 1 to 65535, counted after trimming. Another
    /// number is an error of [`Config::start`].
    pub const fn frames(mut self, frames: usize) -> Self {
        self.frames = frames;
        self
    }

    /// Lets the tracer's tables take at most `bytes` of address space, of which only what is used
    /// takes memory; the directories that lead to them do not count. Unlimited unless this is
    /// called. What does not fit is counted and said in every report ([`Losses`](crate::Losses));
    /// the traced program never notices. The tables stay for the life of the process, so a later
    /// session with a lower limit keeps what there is and adds nothing.
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

    pub(crate) fn memory_limit_bytes(&self) -> usize {
        self.memory_limit
    }

    pub(crate) fn runtime_frames(&self) -> bool {
        self.runtime_frames
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
