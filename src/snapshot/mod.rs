//! What a snapshot is and every question it answers: pure values, no pointers, no locks, no
//! `unsafe`.

mod advice;
mod breakdown;
mod call_tree;
mod counting;
#[cfg(feature = "file")]
mod file;
mod filter;
mod frame;
mod frame_filter;
mod glob;
mod group_by;
mod grouping;
mod hidden_frames;
mod history;
mod identity;
mod most_recent_first;
mod origin;
mod own_code;
mod parse_size;
mod recording;
mod runs;
mod shared;
mod sites;
mod size;
mod sort_by;
mod source;
mod statistics;
mod total;
mod trace;
mod traceback;
mod trend;
mod type_label;
mod unnamed;
mod unread;
mod view;

pub use advice::{Advice, Pattern};
pub use breakdown::{DomainTotal, SizeClass};
pub use call_tree::{CallNode, CallOrder, CallTree};
pub use counting::Counting;
#[cfg(feature = "file")]
pub use file::FileHeader;
pub use filter::Filter;
pub use frame::{Frame, Module};
pub use frame_filter::FrameFilter;
pub use group_by::GroupBy;
pub(crate) use history::HistoryRow;
pub use history::{BlockSum, StackHistory};
pub use most_recent_first::MostRecentFirst;
pub use origin::FrameOrigin;
pub use recording::{Losses, Recording};
pub use size::{Size, SizeDiff};
pub use sort_by::SortBy;
pub use statistics::{Statistic, StatisticDiff};
pub use trace::{Domain, Snapshot, Trace, Traces};
pub use traceback::Traceback;
pub use trend::{Generation, GrowthCause, MemoryGrowth, ProcessMemory, SiteTrend, Suspect};
pub use unnamed::UnnamedPlaces;
pub use unread::Unread;
pub use view::View;

pub(crate) use frame::UNKNOWN;
#[cfg(feature = "pprof")]
pub(crate) use identity::IdentityMap;
pub(crate) use own_code::{CodeShares, NO_OWN_CODE, is_own_code};
pub(crate) use runs::{Runs, StackTable};
pub(crate) use sites::Site;
pub(crate) use size::{Bytes, difference};
#[cfg(feature = "html")]
pub(crate) use source::lines_of;
pub(crate) use source::read as source_text;
pub(crate) use total::{Estimate, Sum};
pub(crate) use trend::Series;
#[cfg(feature = "html")]
pub(crate) use type_label::type_labels;
