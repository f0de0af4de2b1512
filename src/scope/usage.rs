//! What happened in a scope.

use std::fmt;

use super::total::Sums;
use crate::snapshot::{Size, SizeDiff, difference};

/// What the threads of a [`Scope`](super::Scope) allocated, freed and held at most while they were in
/// it. Bytes are those that the program asked for.
///
/// Every event of such a thread counts, whichever thread allocated a freed block. So a section that frees
/// older blocks has more frees than allocations, and a negative net.
///
/// `Display` writes a line for people; with the feature `file` or `json`, serde writes the fields.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let (text, usage) = tracemalloc::measure(|| {
///     let mut text = String::with_capacity(100);
///     text.reserve_exact(300);
///     text
/// });
/// assert_eq!((usage.allocations, usage.reallocations, usage.frees), (1, 1, 0));
/// assert_eq!((usage.net_bytes(), usage.net_blocks()), (300, 1));
/// assert_eq!(
///     usage.to_string(),
///     "1 allocation and 1 reallocation of 300 B, 0 frees of 0 B; net +300 B in +1 block; peak 300 B"
/// );
/// # drop(text);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(any(feature = "file", feature = "json"), derive(serde::Serialize))]
#[non_exhaustive]
pub struct Usage {
    /// Blocks allocated.
    pub allocations: u64,
    /// Blocks resized.
    pub reallocations: u64,
    /// Blocks freed.
    pub frees: u64,
    /// Bytes allocated, and added by reallocations.
    pub allocated: u64,
    /// Bytes freed, and taken away by reallocations.
    pub freed: u64,
    /// The highest number of bytes that the scope held at one time, beyond what it began with.
    ///
    /// Exact if only one thread at a time was in the scope. Otherwise it is an upper bound of the true peak:
    /// while a thread is in the scope, the highest that it holds during its stay counts, instead of what it
    /// holds at the moment. So short stays, one for each task, give a closer bound than one stay for the life
    /// of a thread.
    pub peak: u64,
    /// Whether several threads were in the scope at one time, so that `peak` is an upper bound.
    pub peak_is_bound: bool,
}

impl Usage {
    pub(super) fn of(sums: &Sums) -> Self {
        let counts = sums.counts;
        Self {
            allocations: counts.allocations,
            reallocations: counts.reallocations,
            frees: counts.frees,
            allocated: counts.allocated,
            freed: counts.freed,
            peak: sums.peak().max(0) as u64,
            peak_is_bound: sums.overlapped,
        }
    }

    /// Bytes allocated and not freed; negative if more was freed.
    pub fn net_bytes(&self) -> i64 {
        difference(self.allocated, self.freed)
    }

    /// Blocks allocated and not freed; negative if more were freed.
    pub fn net_blocks(&self) -> i64 {
        difference(self.allocations, self.frees)
    }
}

/// `count` of what is called `name`.
pub(super) fn counted(count: u64, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

impl Usage {
    /// What came and went.
    fn write_events(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", counted(self.allocations, "allocation"))?;
        if self.reallocations > 0 {
            write!(out, " and {}", counted(self.reallocations, "reallocation"))?;
        }
        let (allocated, freed) = (Size(self.allocated), Size(self.freed));
        let frees = counted(self.frees, "free");
        write!(out, " of {allocated}, {frees} of {freed}")
    }

    /// What stayed, and was held at most.
    fn write_held(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = self.net_blocks();
        let plural = if blocks.unsigned_abs() == 1 { "" } else { "s" };
        let bound = if self.peak_is_bound { "at most " } else { "" };
        let (net, peak) = (SizeDiff(self.net_bytes()), Size(self.peak));
        write!(
            out,
            "net {net:+} in {blocks:+} block{plural}; peak {bound}{peak}"
        )
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_events(out)?;
        out.write_str("; ")?;
        self.write_held(out)
    }
}

/// A usage in two lines, for a narrow screen.
pub(super) struct Narrow(pub(super) Usage);

impl fmt::Display for Narrow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_events(out)?;
        out.write_str("\n      ")?;
        self.0.write_held(out)
    }
}
