//! Which frames of a stack a block counts for.

use std::fmt;

/// Which groups of its stack a block counts for.
///
/// `Display` writes `own`, `inclusive` or `cumulative`.
///
/// ```
/// use tracemalloc::{Counting, Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
///
/// let frame = |name: &str| Frame::new("src/tree.rs", 1).with_function(name);
/// let stack = Traceback::from_oldest_first(["main", "walk", "walk"].map(frame)).unwrap();
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 100, stack)], 3);
/// let sizes = |counting| -> Result<Vec<String>, tracemalloc::Error> {
///     let statistics = snapshot.statistics_with(GroupBy::Function, counting)?;
///     Ok(statistics.iter().map(|stat| format!("{} {}", stat.traceback, stat.size)).collect())
/// };
/// assert_eq!(sizes(Counting::Own)?, ["walk 100"]);
/// assert_eq!(sizes(Counting::Inclusive)?, ["walk 100", "main 100"]);
/// assert_eq!(sizes(Counting::Cumulative)?, ["walk 200", "main 100"]);
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counting {
    /// The group of the frame that made the allocation. The groups add up to the whole.
    #[default]
    Own,
    /// Every group in the stack once, however often recursion repeats it: the callers too. No group
    /// is larger than the whole, and groups overlap.
    Inclusive,
    /// Every group in the stack as often as it occurs there: CPython's `cumulative=True`. Recursion
    /// can make a group larger than the whole.
    Cumulative,
}

impl fmt::Display for Counting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Own => "own",
            Self::Inclusive => "inclusive",
            Self::Cumulative => "cumulative",
        })
    }
}
