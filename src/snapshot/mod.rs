//! What a snapshot is and every question it answers: pure values, no pointers, no locks, no
//! `unsafe`.

#[cfg(feature = "file")]
mod file;
mod filter;
mod frame;
mod glob;
mod group_by;
mod grouping;
mod identity;
mod sites;
mod size;
mod source;
mod statistics;
mod total;
mod trace;

pub use filter::Filter;
pub use frame::{Frame, Module, Traceback};
pub use group_by::GroupBy;
pub use size::{Size, SizeDiff};
pub use statistics::{Statistic, StatisticDiff};
pub use trace::{Domain, Losses, Recording, Snapshot, Trace, Traces};

pub(crate) use frame::UNKNOWN;
#[cfg(feature = "pprof")]
pub(crate) use identity::IdentityMap;
pub(crate) use sites::Site;
pub(crate) use size::Bytes;
pub(crate) use trace::{Runs, StackTable};
