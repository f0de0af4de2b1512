//! The memory of the process beside a series: what grows if live memory does not.

use std::fmt;

use super::site::growth_of_thirds;
use crate::snapshot::recording::Recording;
use crate::snapshot::size::SizeDiff;

/// Less growth than this is none: in bytes, and as a part of what was resident at first, a divisor.
const MIN_GROWTH: i64 = 1 << 20;
const GROWTH_PART: i64 = 50;

/// The memory of the process when one snapshot of a series was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessMemory {
    /// Seconds since the Unix epoch.
    pub taken_at: Option<u64>,
    /// Traced bytes that were live, whatever filters have left of them.
    pub live: u64,
    /// As [`Recording::resident_memory`](crate::Recording::resident_memory).
    pub resident: Option<u64>,
    /// As [`Recording::allocator_memory`](crate::Recording::allocator_memory).
    pub allocator: Option<u64>,
    /// Bytes that the tracer itself held.
    pub tracer: u64,
}

impl ProcessMemory {
    pub(super) fn of(recording: &Recording) -> Self {
        Self {
            taken_at: recording.taken_at,
            live: recording.current,
            resident: recording.resident_memory,
            allocator: recording.allocator_memory,
            tracer: recording.tracer_memory,
        }
    }
}

/// How the memory of the process grew over a series, and what explains it. `Display` says it in words.
///
/// Each number is the median of the last third of the series minus that of the first third, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryGrowth {
    /// Of what was in physical memory.
    pub resident: i64,
    /// Of the traced live blocks.
    pub live: i64,
    /// Of what the C library's allocator had got from the system, where it tells.
    pub allocator: Option<i64>,
    /// Of the tracer's own memory.
    pub tracer: i64,
    /// What explains at least half of the growth.
    pub cause: GrowthCause,
}

/// Why resident memory grows: what has grown by at least half as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrowthCause {
    /// It does not: by less than 1 MiB, or than a fiftieth of what was resident at first.
    Level,
    /// Traced live blocks.
    LiveBlocks,
    /// The tracer's own tables.
    Tracer,
    /// What the C library's allocator holds beyond the live blocks: freed memory that it keeps, gaps
    /// between blocks, or blocks of C code.
    Allocator,
    /// None of these: another allocator, mapped files, stacks of threads.
    Elsewhere,
    /// Not the live blocks and not the tracer. What the allocator holds is not known.
    Unknown,
}

impl GrowthCause {
    /// The name that JSON has for it: `level`, `live_blocks`, `tracer`, `allocator`, `elsewhere`, `unknown`.
    ///
    /// ```
    /// assert_eq!(tracemalloc::GrowthCause::LiveBlocks.name(), "live_blocks");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::LiveBlocks => "live_blocks",
            Self::Tracer => "tracer",
            Self::Allocator => "allocator",
            Self::Elsewhere => "elsewhere",
            Self::Unknown => "unknown",
        }
    }
}

impl MemoryGrowth {
    /// `None` if resident memory is not known of every snapshot.
    pub(super) fn of(series: &[ProcessMemory]) -> Option<Self> {
        let resident: Option<Vec<u64>> = series.iter().map(|memory| memory.resident).collect();
        let resident = resident?;
        let allocator: Option<Vec<u64>> = series.iter().map(|memory| memory.allocator).collect();
        let live: Vec<u64> = series.iter().map(|memory| memory.live).collect();
        let tracer: Vec<u64> = series.iter().map(|memory| memory.tracer).collect();
        let first = i64::try_from(*resident.first()?).unwrap_or(i64::MAX);
        let mut growth = Self {
            resident: growth_of(&resident),
            live: growth_of(&live),
            allocator: allocator.map(|sizes| growth_of(&sizes)),
            tracer: growth_of(&tracer),
            cause: GrowthCause::Level,
        };
        if growth.resident >= MIN_GROWTH.max(first / GROWTH_PART) {
            growth.cause = growth.explained();
        }
        Some(growth)
    }

    fn explained(&self) -> GrowthCause {
        let explains = |part: i64| part >= self.resident / 2;
        let beyond_live = self
            .allocator
            .map(|allocator| allocator.saturating_sub(self.live.max(0)));
        match beyond_live {
            _ if explains(self.live) => GrowthCause::LiveBlocks,
            _ if explains(self.tracer) => GrowthCause::Tracer,
            Some(beyond_live) if explains(beyond_live) => GrowthCause::Allocator,
            Some(_) => GrowthCause::Elsewhere,
            None => GrowthCause::Unknown,
        }
    }
}

/// From the first third of a series to the last.
fn growth_of(sizes: &[u64]) -> i64 {
    let (growth, _) = growth_of_thirds(sizes);
    growth as i64
}

impl fmt::Display for MemoryGrowth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, live] = [self.resident, self.live].map(SizeDiff);
        if self.cause == GrowthCause::Level {
            return write!(out, "resident memory is level ({resident:+})");
        }
        write!(
            out,
            "from the first third to the last resident memory grew by {resident:+}, live memory by {live:+}; "
        )?;
        match self.cause {
            GrowthCause::Level | GrowthCause::LiveBlocks => {
                out.write_str("live blocks explain it")
            }
            GrowthCause::Tracer => {
                let tracer = SizeDiff(self.tracer);
                write!(out, "the tracer's own tables explain it ({tracer:+})")
            }
            GrowthCause::Allocator => out.write_str(
                "the C library's allocator has it: freed memory that it keeps, gaps between blocks, or \
                 blocks of C code",
            ),
            GrowthCause::Elsewhere => out.write_str(
                "it is not traced, and not the C library's allocator's: another allocator, mapped files, \
                 or stacks of threads",
            ),
            GrowthCause::Unknown => out.write_str(
                "it is not traced: freed memory that the allocator keeps, C code, mapped files, or stacks \
                 of threads",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Nine snapshots: a quantity of MiB at first, and a fixed number more at each.
    fn grown(
        resident: [u64; 2],
        live: [u64; 2],
        allocator: Option<[u64; 2]>,
        tracer: [u64; 2],
    ) -> MemoryGrowth {
        let series = (0..9).map(|moment| {
            let at = |[first, step]: [u64; 2]| (first + step * moment) * MIB;
            ProcessMemory {
                resident: Some(at(resident)),
                live: at(live),
                allocator: allocator.map(at),
                tracer: at(tracer),
                ..ProcessMemory::default()
            }
        });
        let series: Vec<ProcessMemory> = series.collect();
        MemoryGrowth::of(&series).expect("resident memory is known")
    }

    #[track_caller]
    fn check(growth: MemoryGrowth, cause: GrowthCause, text: &str) {
        assert_eq!((growth.cause, &*growth.to_string()), (cause, text));
    }

    #[test]
    fn growth_has_a_cause() {
        let (level, steep) = ([10, 0], [10, 4]);
        check(
            grown(level, level, Some(level), level),
            GrowthCause::Level,
            "resident memory is level (+0 B)",
        );
        check(
            grown(steep, [10, 2], None, level),
            GrowthCause::LiveBlocks,
            "from the first third to the last resident memory grew by +24.0 MiB, live memory by +12.0 MiB; live blocks explain it",
        );
        check(
            grown(steep, level, Some(level), [0, 3]),
            GrowthCause::Tracer,
            "from the first third to the last resident memory grew by +24.0 MiB, live memory by +0 B; the tracer's own tables explain it \
             (+18.0 MiB)",
        );
        check(
            grown(steep, level, Some([10, 3]), level),
            GrowthCause::Allocator,
            "from the first third to the last resident memory grew by +24.0 MiB, live memory by +0 B; the C library's allocator has it: \
             freed memory that it keeps, gaps between blocks, or blocks of C code",
        );
        // What the allocator got for live blocks explains nothing beyond them.
        check(
            grown(steep, [10, 1], Some([10, 2]), level),
            GrowthCause::Elsewhere,
            "from the first third to the last resident memory grew by +24.0 MiB, live memory by +6144 KiB; it is not traced, and not the C \
             library's allocator's: another allocator, mapped files, or stacks of threads",
        );
        check(
            grown(steep, level, None, level),
            GrowthCause::Unknown,
            "from the first third to the last resident memory grew by +24.0 MiB, live memory by +0 B; it is not traced: freed memory that \
             the allocator keeps, C code, mapped files, or stacks of threads",
        );
    }

    #[test]
    fn little_growth_is_none() {
        // Two MiB for each snapshot are twelve from third to third: a fiftieth of 600, and less of 650.
        let level = [10, 0];
        assert_ne!(
            grown([600, 2], level, None, level).cause,
            GrowthCause::Level
        );
        assert_eq!(
            grown([650, 2], level, None, level).cause,
            GrowthCause::Level
        );
        assert_eq!(
            grown([10, 0], [10, 4], None, level).cause,
            GrowthCause::Level
        );
    }

    #[test]
    fn without_resident_memory_nothing_is_said() {
        let known = ProcessMemory {
            resident: Some(MIB),
            ..ProcessMemory::default()
        };
        assert!(MemoryGrowth::of(&[known, known]).is_some());
        assert_eq!(MemoryGrowth::of(&[known, ProcessMemory::default()]), None);
        assert_eq!(MemoryGrowth::of(&[]), None);
    }
}
