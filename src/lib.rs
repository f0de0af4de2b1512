//! Allocation tracing after CPython's `tracemalloc`.

mod error;
pub mod report;
mod snapshot;

pub use error::{Error, ErrorKind};
pub use snapshot::{
    Domain, Filter, Frame, GroupBy, Losses, Module, Recording, Size, SizeDiff, Snapshot, Statistic,
    StatisticDiff, Trace, Traceback, Traces,
};
