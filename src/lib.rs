#![doc = include_str!("../README.md")]

/// The programs of the guide are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/GUIDE.md")]
mod guide {}

mod collect;
mod config;
mod control;
#[cfg(feature = "file")]
mod dump;
mod engine;
mod environment;
mod error;
mod external;
#[cfg(any(feature = "file", feature = "pprof"))]
mod gzip;
mod object;
mod process;
pub mod report;
mod sampling;
mod sections;
mod snapshot;
mod symbols;
#[cfg(any(feature = "file", feature = "html"))]
mod utc;

// The wrapper, and what turns tracing on and off.
pub use config::Config;
pub use control::{clear_traces, is_tracing, reset_peak, start, stop};
pub use engine::TraceAlloc;
pub use environment::start_from_env;

// What a running program can be asked.
pub use control::{
    TracedMemory, TracedMemoryDiff, block_of, get_object_traceback, get_traceback_limit,
    get_traced_memory, get_tracemalloc_memory, take_snapshot, traceback_of,
};
pub use object::HeapBlock;

// Memory that is not the allocator's.
pub use control::{Tracked, track, untrack};

// Snapshots, and what they are made of.
#[cfg(feature = "file")]
pub use snapshot::FileHeader;
pub use snapshot::{Domain, Losses, Module, Recording, Snapshot};
pub use snapshot::{Frame, FrameOrigin, MostRecentFirst, Trace, Traceback, Traces};

// Snapshots that the program saves by itself.
#[cfg(all(unix, feature = "signal"))]
pub use dump::dump_on_signal;
#[cfg(feature = "file")]
pub use dump::{DumpThread, Series, dump_every, dump_on_panic};

// The questions that a snapshot answers.
pub use snapshot::{CallNode, CallOrder, CallTree, DomainTotal, SizeClass};
pub use snapshot::{Counting, GroupBy, Size, SizeDiff, SortBy, Statistic, StatisticDiff};
pub use snapshot::{Filter, FrameFilter};

#[cfg(tracemalloc_failpoints)]
#[doc(hidden)]
pub mod failpoints {
    pub use crate::engine::{mappings, refuse_mappings, refused};
}

pub use error::{Error, ErrorKind};

/// Ways in for the fuzzer, which builds the crate with `--cfg fuzzing`; nobody else does.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::engine::fuzzing::{headers, rules, walk};
    pub use crate::environment::fuzzing::environment;
    pub use crate::symbols::fuzzing::names;
}
