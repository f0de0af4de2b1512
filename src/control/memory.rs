//! Bytes of traced memory, and how they change.

use std::fmt;

use crate::snapshot::{Size, SizeDiff, difference};

/// Bytes of traced memory.
///
/// `Display` writes both numbers for people.
///
/// ```
/// let memory = tracemalloc::get_traced_memory();
/// assert_eq!(memory.to_string(), "0 B, peak 0 B");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TracedMemory {
    /// Bytes live now, as they were requested.
    pub current: u64,
    /// Highest number of bytes live at one time since tracing started, since
    /// [`clear_traces`](crate::clear_traces), or since [`reset_peak`](crate::reset_peak).
    pub peak: u64,
}

impl TracedMemory {
    /// The change since `earlier`, with its sign: memory may shrink, and a peak falls when it is
    /// reset. Differences stop at the limits of `i64`.
    ///
    /// ```standalone_crate
    /// #[global_allocator]
    /// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
    ///
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// tracemalloc::start(1)?;
    /// let block = vec![1_u8; 5000];
    /// let before = tracemalloc::get_traced_memory();
    /// drop(block);
    /// let change = tracemalloc::get_traced_memory().since(before);
    /// assert_eq!((change.current, change.peak), (-5000, 0));
    /// assert_eq!(change.to_string(), "-5000 B, peak +0 B");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn since(self, earlier: Self) -> TracedMemoryDiff {
        TracedMemoryDiff {
            current: difference(self.current, earlier.current),
            peak: difference(self.peak, earlier.peak),
        }
    }
}

impl fmt::Display for TracedMemory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, peak {}", Size(self.current), Size(self.peak))
    }
}

/// The difference of two [`TracedMemory`], as [`TracedMemory::since`] makes it.
///
/// `Display` writes both numbers for people, with their signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TracedMemoryDiff {
    /// Live bytes, later minus earlier.
    pub current: i64,
    /// The peak in bytes, later minus earlier.
    pub peak: i64,
}

impl fmt::Display for TracedMemoryDiff {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (current, peak) = (SizeDiff(self.current), SizeDiff(self.peak));
        write!(out, "{current:+}, peak {peak:+}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign_and_stop_at_the_limits() {
        let of = |current, peak| TracedMemory { current, peak };
        let change = of(10, u64::MAX).since(of(30, 0));
        assert_eq!((change.current, change.peak), (-20, i64::MAX));
        let change = of(0, 20_480).since(of(u64::MAX, 0));
        assert_eq!((change.current, change.peak), (i64::MIN, 20_480));
        assert_eq!(of(17, 20_480).to_string(), "17 B, peak 20.0 KiB");
        assert_eq!(of(5, 2).since(of(3, 2)).to_string(), "+2 B, peak +0 B");
    }
}
