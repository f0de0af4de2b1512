//! Allocation tracing after CPython's `tracemalloc`.

mod collect;
mod config;
mod control;
mod engine;
mod environment;
mod error;
mod external;
mod object;
pub mod report;
mod snapshot;
mod symbols;

pub use config::Config;
pub use control::{
    TracedMemory, clear_traces, get_object_traceback, get_traceback_limit, get_traced_memory,
    get_tracemalloc_memory, is_tracing, reset_peak, start, stop, take_snapshot, traceback_of,
    track, untrack,
};
pub use engine::TraceAlloc;
pub use environment::start_from_env;
pub use error::{Error, ErrorKind};
pub use object::HeapBlock;
pub use snapshot::{
    Domain, Filter, Frame, GroupBy, Losses, Module, Recording, Size, SizeDiff, Snapshot, Statistic,
    StatisticDiff, Trace, Traceback, Traces,
};
