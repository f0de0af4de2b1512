//! Allocation tracing after CPython's `tracemalloc`.

mod error;
pub mod report;
mod snapshot;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the collector that asks for names comes next"
    )
)]
mod symbols;

pub use error::{Error, ErrorKind};
pub use snapshot::{
    Domain, Filter, Frame, GroupBy, Losses, Module, Recording, Snapshot, Statistic, StatisticDiff,
    Trace, Traceback, Traces,
};
