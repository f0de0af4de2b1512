//! What a snapshot is and every question it answers: pure values, no pointers, no locks, no `unsafe`.

#[cfg(feature = "file")]
mod file;
mod filter;
mod frame;
mod size;
mod statistics;
mod trace;

pub use filter::Filter;
pub use frame::{Frame, Module, Traceback};
pub use statistics::{GroupBy, Statistic, StatisticDiff};
pub use trace::{Domain, Losses, Recording, Snapshot, Trace, Traces};

pub(crate) use frame::UNKNOWN;
pub(crate) use size::Bytes;
pub(crate) use trace::{Runs, StackTable};
