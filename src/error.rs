//! The one error type.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, as one word to match on. The text of an [`Error`] says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The number of frames is not in 1..=65535.
    InvalidFrameCount,
    /// The sampling period is 0 bytes.
    InvalidSamplingPeriod,
    /// [`TraceAlloc`](crate::TraceAlloc) is not this program's global allocator.
    NotInstalled,
    /// The call needs tracing to be on.
    NotTracing,
    /// Tracing was started, stopped or cleared while a scope recorded its blocks.
    SessionChanged,
    /// Which blocks a scope owns was asked in a session that samples.
    Sampled,
    /// The domain belongs to the global allocator; the program's own domains start at 1.
    ReservedDomain,
    /// The thread is inside the tracer already, which happens in a signal handler only; or another
    /// one was when this process was forked from such a handler.
    Busy,
    /// The tracer could not get the memory that it needs, or its limit is reached.
    OutOfMemory,
    /// A text names no way of grouping.
    UnknownKey,
    /// A text is no number of bytes.
    InvalidSize,
    /// Cumulative statistics cannot be grouped by traceback.
    CumulativeTraceback,
    /// Two snapshots were recorded too differently for their difference to mean anything.
    NotComparable,
    /// The snapshot does not hold the view that was asked for: its session recorded no history, or only a
    /// sample.
    ViewNotRecorded,
    /// A view has sums for each stack. Single blocks and their sizes are not known.
    NoSingleBlocks,
    /// An environment variable holds a value that means nothing.
    InvalidVariable,
    /// The number is no signal, or one that a program cannot handle.
    InvalidSignal,
    /// The time between two snapshots is 0.
    InvalidPeriod,
    /// A threshold, or the step to the next one, is 0 bytes.
    InvalidThreshold,
    /// A thread that does this runs already.
    AlreadyRunning,
    /// A file could not be read or written, or a thread not be started.
    Io,
    /// A file is not a snapshot, or not an intact one.
    InvalidFile,
    /// A file of debug information is of another build than the modules of the snapshot.
    OtherBuild,
    /// A snapshot file was written by a newer major version of the format.
    UnsupportedVersion,
}

/// Why a call failed: a [kind](Error::kind) to act on and a sentence to show.
///
/// `Display` writes the sentence, behind the path of the file that it is about, if it is about one.
/// `source` is the operating system's error, where there is one.
///
/// ```
/// use tracemalloc::ErrorKind;
///
/// let error = tracemalloc::take_snapshot().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotTracing);
/// assert_eq!(error.to_string(), "tracing is off: call tracemalloc::start first");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    source: Option<io::Error>,
}

impl Error {
    /// The program allocates past the tracer.
    #[cold]
    pub(crate) fn not_installed() -> Self {
        Self::new(
            ErrorKind::NotInstalled,
            "tracemalloc::TraceAlloc is not this program's global allocator: add \
             `#[global_allocator] static ALLOC: tracemalloc::TraceAlloc = \
             tracemalloc::TraceAlloc::system();`",
        )
    }

    #[cold]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            path: None,
            source: None,
        }))
    }

    /// An operating system's error while doing `what` ("cannot write").
    #[cold]
    pub(crate) fn io(what: &str, error: io::Error) -> Self {
        Self(Box::new(Inner {
            kind: ErrorKind::Io,
            message: format!("{what}: {error}"),
            path: None,
            source: Some(error),
        }))
    }

    /// This error, with the path of the file that it is about.
    #[must_use]
    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_path_buf());
        self
    }

    /// What went wrong, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file that the error is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.0.path {
            write!(out, "{}: ", path.display())?;
        }
        out.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Error({:?}: {self})", self.kind())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|error| error as _)
    }
}
