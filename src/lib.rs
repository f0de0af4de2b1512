//! Records every allocation of a program with its call stack, and shows which lines hold the memory:
//! CPython's `tracemalloc` for Rust.
//!
//! Install [`TraceAlloc`] as the global allocator, [`start`] tracing, and take snapshots around the code in
//! question. No flags and no frame pointers are needed.
//!
//! ```standalone_crate
//! use tracemalloc::GroupBy;
//!
//! #[global_allocator]
//! static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
//!
//! fn main() -> Result<(), tracemalloc::Error> {
//!     tracemalloc::start(25)?;
//!     let before = tracemalloc::take_snapshot()?;
//!     let kept: Vec<String> = (0..1000).map(|n| format!("request {n}")).collect();
//!     let after = tracemalloc::take_snapshot()?;
//!     for line in after.compare_to(&before, GroupBy::Line)?.iter().take(10) {
//!         println!("{line}");
//!     }
//!     drop(kept);
//!     Ok(())
//! }
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | choose frames, sampling, a memory limit | [`Config`] |
//! | start from variables, without a change of the program's code | [`start_from_env`] |
//! | know how much is live now and at most | [`get_traced_memory`] |
//! | measure a section, a value, variants of it | [`measure`], [`freed_by`], [`measure_each`], [`Variants`] |
//! | ask who allocated one block | [`block_of`], [`traceback_of`] |
//! | hold a test to limits, and find leaks in it | [`Budget`], [`NoGrowth`] |
//! | label the blocks of a task or a cache | [`tag`], [`Tag`], [`InTag`] |
//! | watch what grows beyond every snapshot before | [`Growth`] |
//! | read names before the first snapshot needs them | [`load_names`] |
//! | know what the program could do better | [`Snapshot::advice`] |
//! | find what looks like a leak in a series of snapshots | [`Trend`] |
//! | count memory that is not the allocator's | [`Tracked`] |
//! | group, compare and filter | [`Snapshot`], [`GroupBy`], [`Counting`], [`Filter`], [`FrameFilter`] |
//! | show and export | [`report`] |
//!
//! With the feature `file` (default) snapshots are saved and loaded: `Snapshot::dump`, `Snapshot::load`, and
//! `Series`, `dump_on_panic` and `dump_every` for programs that save them by themselves.
//!
//! The [`guide`] has a chapter for each question: a program, what it prints, and what follows from that.
//! [`coming_from_python`] lists the calls of Python's memory tools with their counterparts here.

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/GUIDE.md")]
pub mod guide {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/COMING_FROM_PYTHON.md")]
pub mod coming_from_python {}

/// The program of the README is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

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
mod scope;
mod sections;
mod snapshot;
mod symbols;
#[cfg(any(feature = "file", feature = "html"))]
mod utc;

// The wrapper, and what turns tracing on and off.
pub use config::{Config, Names};
pub use control::{clear_traces, is_tracing, reset_peak, start, stop, unload};
pub use engine::TraceAlloc;
pub use environment::start_from_env;

// What a running program can be asked.
pub use control::{
    Growth, TracedMemory, TracedMemoryDiff, Trend, block_of, get_object_traceback,
    get_traceback_limit, get_traced_memory, get_tracemalloc_memory, load_names, take_snapshot,
    traceback_of,
};
pub use object::HeapBlock;
pub use process::set_allocator_memory;

// Memory that is not the allocator's.
pub use control::{Tracked, track, untrack};

// What a section of the program allocates, and what its blocks are called.
pub use scope::{
    Budget, BudgetError, Grown, InScope, NoGrowth, Scope, ScopeHandle, Scoped, Usage, measure,
};
pub use scope::{InTag, Tag, TagGuard, Tagged, tag};
pub use scope::{PerObject, Variants, freed_by, measure_each};

// Snapshots, and what they are made of.
#[cfg(feature = "file")]
pub use snapshot::FileHeader;
pub use snapshot::{BlockSum, Domain, Losses, Module, Recording, Snapshot, StackHistory, View};
pub use snapshot::{Frame, FrameOrigin, MostRecentFirst, Trace, Traceback, Traces};
pub use snapshot::{UnnamedPlaces, Unread};
pub use symbols::{Symbolized, SymbolizedModule, Symbolizer};

// Snapshots that the program saves by itself.
#[cfg(all(unix, feature = "signal"))]
pub use dump::dump_on_signal;
#[cfg(feature = "file")]
pub use dump::{Above, DumpThread, Series, dump_above, dump_every, dump_on_panic};

// The questions that a snapshot answers.
pub use snapshot::{Advice, Generation, Pattern, SiteTrend, Suspect};
pub use snapshot::{CallNode, CallOrder, CallTree, DomainTotal, SizeClass};
pub use snapshot::{Counting, GroupBy, Size, SizeDiff, SortBy, Statistic, StatisticDiff};
pub use snapshot::{Filter, FrameFilter};
pub use snapshot::{GrowthCause, MemoryGrowth, ProcessMemory};

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
    pub use crate::symbols::fuzzing::{code, names};
}
