//! What a program could do better, with the numbers that say so. Few and right: each kind has thresholds
//! that ordinary code does not reach, and at most [`MAX_LINES`] lines.

use std::collections::HashMap;
use std::fmt;

use super::group_by::GroupBy;
use super::history::{BlockSum, StackHistory};
use super::runs::Runs;
use super::size::Size;
use super::trace::Snapshot;
use super::traceback::Traceback;
use super::view::View;

/// Lines of one kind.
const MAX_LINES: usize = 3;

/// Growth: bytes copied, the part of all allocated bytes that they are at least, as a divisor, and
/// reallocations for each block.
const MIN_COPIED: u64 = 1 << 20;
const COPIED_PART: u64 = 100;
const MIN_GROWTHS: u64 = 2;

/// Temporaries: blocks, the part of all allocations that they are at least, as a divisor, and of ten of
/// the line's own.
const MIN_TEMPORARY: u64 = 10_000;
const TEMPORARY_PART: u64 = 20;
const TEMPORARY_TENTHS: u64 = 9;

/// Tiny blocks: bytes of one, how many of one size, and the part of all live blocks as a divisor.
const TINY: u64 = 32;
const MIN_TINY: u64 = 10_000;
const TINY_PART: u64 = 10;

/// How many times what is live was live at the peak, where tiny blocks of then count.
const PEAK_PART: u64 = 10;

/// Something that a line of a program could do better. `Display` writes the evidence and the advice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advice {
    /// The line that allocates.
    pub traceback: Traceback,
    /// What it does.
    pub pattern: Pattern,
}

/// A way of allocating that costs more than it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// Blocks grow step by step, and are copied: at least 1 MiB and a hundredth of all bytes that were
    /// allocated, in two reallocations or more for each block. Needs [history](Snapshot::has_history).
    Growth {
        /// Reallocations.
        reallocations: u64,
        /// Bytes that they copied.
        bytes_copied: u64,
        /// Blocks that grew.
        blocks: u64,
    },
    /// Blocks live for a few allocations: at least 10,000, nine of ten of the line's, and a twentieth of
    /// all allocations. Needs [history](Snapshot::has_history).
    Temporaries {
        /// Those that lived short.
        temporary: BlockSum,
        /// All that the line allocated.
        allocated: BlockSum,
    },
    /// Live blocks of one size of at most 32 bytes: at least 10,000, and a tenth of all live blocks.
    TinyBlocks {
        /// Bytes of one.
        size: u64,
        /// Live blocks.
        count: u64,
    },
    /// As `TinyBlocks`, of what was live at the peak, if that was ten times what is live now. Sizes are the
    /// averages of stacks; a stack whose average is no whole number has blocks of several sizes and does not
    /// count. Needs [history](Snapshot::has_history).
    TinyBlocksAtPeak {
        /// Bytes of one.
        size: u64,
        /// Blocks at the peak.
        count: u64,
    },
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Growth {
                reallocations,
                bytes_copied,
                blocks,
            } => write!(
                out,
                "{reallocations} reallocations of {blocks} block{} copied {}: give a capacity \
                 (with_capacity, reserve)",
                if blocks == 1 { "" } else { "s" },
                Size(bytes_copied)
            ),
            Self::Temporaries {
                temporary,
                allocated,
            } => write!(
                out,
                "{} of {} blocks, {} in all, lived for a few allocations: use one buffer again",
                temporary.count,
                allocated.count,
                Size(temporary.size)
            ),
            Self::TinyBlocks { size, count } => write!(
                out,
                "{count} live blocks of {size} B: keep them in one Vec, in an arena, or inline"
            ),
            Self::TinyBlocksAtPeak { size, count } => write!(
                out,
                "{count} blocks of {size} B at the peak: keep them in one Vec, in an arena, or inline"
            ),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.traceback, self.pattern)
    }
}

impl Snapshot {
    /// What the program could do better, by line: growth by repeated reallocation, blocks that live
    /// for a few allocations, many equal tiny blocks. For each kind the three lines with the most of it.
    ///
    /// [`Pattern`] has the thresholds. Without [history](Self::has_history) only live tiny blocks are
    /// known, and of a [view](Self::view) nothing. Of a [sampled](Self::sample_every) snapshot the
    /// numbers are estimates.
    ///
    /// ```
    /// use tracemalloc::{BlockSum, Domain, Frame, Snapshot, StackHistory, Traceback};
    ///
    /// let mut history = StackHistory::default();
    /// history.allocated = BlockSum::new(6_400_000, 100_000);
    /// history.temporary = BlockSum::new(6_400_000, 100_000);
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let snapshot = Snapshot::from_traces([], 25).with_history([(line, Domain::HEAP, history)]);
    /// assert_eq!(
    ///     snapshot.advice()[0].to_string(),
    ///     "src/main.rs:12: 100000 of 100000 blocks, 6250 KiB in all, lived for a few allocations: \
    ///      use one buffer again",
    /// );
    /// ```
    pub fn advice(&self) -> Vec<Advice> {
        if self.viewed() != View::Live {
            return Vec::new();
        }
        let mut advice = Vec::new();
        let histories = self.histories_by_line();
        let mut all = BlockSum::default();
        for (_, history) in &histories {
            all = all.plus(history.allocated);
        }
        let growth = histories.iter().filter_map(|(line, history)| {
            let (pattern, copied) = growth(history, all)?;
            Some((copied, line, pattern))
        });
        advice.extend(largest(growth.collect()));
        let temporaries = histories.iter().filter_map(|(line, history)| {
            let pattern = temporaries(history, all)?;
            Some((history.temporary.count, line, pattern))
        });
        advice.extend(largest(temporaries.collect()));
        advice.extend(self.tiny_blocks());
        advice.extend(self.tiny_blocks_at_peak());
        advice
    }

    /// The history of each line. A line is what [`GroupBy::Line`] calls one.
    fn histories_by_line(&self) -> Vec<(Traceback, StackHistory)> {
        let mut lines: HashMap<Traceback, StackHistory> = HashMap::new();
        for (stack, _, totals) in self.history().into_iter().flatten() {
            let sums = lines.entry(line_of(stack)).or_default();
            *sums = sums.plus(*totals);
        }
        lines.into_iter().collect()
    }

    fn tiny_blocks(&self) -> Vec<Advice> {
        let all = self.block_count();
        let mut sizes: Vec<u64> = self
            .counted_runs()
            .map(|(run, _)| run.size)
            .filter(|size| (1..=TINY).contains(size))
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut found = Vec::new();
        for size in sizes {
            let mut runs = Runs::default();
            for (run, count) in self.counted_runs().filter(|(run, _)| run.size == size) {
                runs.push(run.stack, run.domain, run.size, count);
            }
            for line in self.with_runs(runs).statistics(GroupBy::Line) {
                let count = line.count;
                if count >= MIN_TINY && count >= all / TINY_PART {
                    found.push((count, line.traceback, Pattern::TinyBlocks { size, count }));
                }
            }
        }
        largest(
            found
                .iter()
                .map(|(count, line, pattern)| (*count, line, *pattern))
                .collect(),
        )
    }

    fn tiny_blocks_at_peak(&self) -> Vec<Advice> {
        let mut all = BlockSum::default();
        let mut lines: HashMap<(Traceback, u64), u64> = HashMap::new();
        for (stack, _, history) in self.history().into_iter().flatten() {
            let BlockSum { size, count } = history.at_peak;
            all = all.plus(history.at_peak);
            let average = size.checked_div(count).unwrap_or(0);
            if (1..=TINY).contains(&average) && size == average.saturating_mul(count) {
                let blocks = lines.entry((line_of(stack), average)).or_default();
                *blocks = blocks.saturating_add(count);
            }
        }
        if self.total_size() >= all.size / PEAK_PART {
            return Vec::new();
        }
        let lines = lines.iter().filter(|(_, count)| {
            let count = **count;
            count >= MIN_TINY && count >= all.count / TINY_PART
        });
        let found = lines.map(|((line, size), count)| {
            let (size, count) = (*size, *count);
            (count, line, Pattern::TinyBlocksAtPeak { size, count })
        });
        largest(found.collect())
    }
}

/// What [`GroupBy::Line`] calls the line that allocated.
fn line_of(stack: &Traceback) -> Traceback {
    Traceback::of(GroupBy::Line.label(stack.most_recent()))
}

fn growth(history: &StackHistory, all: BlockSum) -> Option<(Pattern, u64)> {
    let StackHistory {
        reallocations,
        bytes_copied,
        allocated,
        ..
    } = *history;
    // A reallocation is an allocation too.
    let blocks = allocated.count.saturating_sub(reallocations);
    let is_much = bytes_copied >= MIN_COPIED && bytes_copied >= all.size / COPIED_PART;
    let pattern = Pattern::Growth {
        reallocations,
        bytes_copied,
        blocks,
    };
    (is_much && reallocations >= blocks.saturating_mul(MIN_GROWTHS))
        .then_some((pattern, bytes_copied))
}

fn temporaries(history: &StackHistory, all: BlockSum) -> Option<Pattern> {
    let StackHistory {
        temporary,
        allocated,
        ..
    } = *history;
    let is_much = temporary.count >= MIN_TEMPORARY && temporary.count >= all.count / TEMPORARY_PART;
    let is_most = temporary.count >= allocated.count / 10 * TEMPORARY_TENTHS;
    let pattern = Pattern::Temporaries {
        temporary,
        allocated,
    };
    (is_much && is_most).then_some(pattern)
}

/// Those with most of it, of equal ones the greater line first.
fn largest(mut found: Vec<(u64, &Traceback, Pattern)>) -> Vec<Advice> {
    found.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
    let largest = found.into_iter().take(MAX_LINES);
    largest
        .map(|(_, line, pattern)| Advice {
            traceback: line.clone(),
            pattern,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Domain, Frame, Trace};

    fn line(number: u32) -> Traceback {
        Traceback::of(Frame::new("src/main.rs", number))
    }

    fn lines(advice: &[Advice]) -> Vec<u32> {
        let lines = advice
            .iter()
            .map(|advice| advice.traceback.most_recent().lineno());
        lines.collect()
    }

    #[track_caller]
    fn check(history: StackHistory, is_advised: bool) {
        let snapshot =
            Snapshot::from_traces([], 1).with_history([(line(1), Domain::HEAP, history)]);
        assert_eq!(
            snapshot.advice().len(),
            usize::from(is_advised),
            "{history:?}"
        );
        let view = snapshot
            .view(View::Allocated)
            .expect("history was recorded");
        assert!(view.advice().is_empty());
    }

    fn grown(reallocations: u64, blocks: u64, bytes_copied: u64, allocated: u64) -> StackHistory {
        StackHistory {
            allocated: BlockSum::new(allocated, blocks + reallocations),
            reallocations,
            bytes_copied,
            ..StackHistory::default()
        }
    }

    #[test]
    fn growth_is_advised_where_much_is_copied() {
        check(grown(20, 10, 1 << 20, 100 << 20), true);
        check(grown(19, 10, 1 << 20, 100 << 20), false);
        check(grown(20, 10, (1 << 20) - 1, 100 << 20), false);
        check(grown(20, 10, 1 << 20, 102 << 20), false);
    }

    fn temporary(temporary: u64, allocated: u64) -> StackHistory {
        StackHistory {
            allocated: BlockSum::new(64 * allocated, allocated),
            temporary: BlockSum::new(64 * temporary, temporary),
            ..StackHistory::default()
        }
    }

    #[test]
    fn temporaries_are_advised_where_most_are() {
        check(temporary(10_000, 11_000), true);
        check(temporary(9_999, 9_999), false);
        check(temporary(10_000, 12_000), false);
        let other = (line(2), Domain::HEAP, temporary(0, 200_000));
        let snapshot = Snapshot::from_traces([], 1)
            .with_history([(line(1), Domain::HEAP, temporary(10_000, 10_000)), other]);
        assert!(snapshot.advice().is_empty(), "less than a twentieth of all");
    }

    #[test]
    fn stacks_of_a_line_add_up() {
        let stack = |caller| {
            let frames = [
                Frame::new("src/main.rs", caller),
                Frame::new("src/main.rs", 9),
            ];
            Traceback::from_oldest_first(frames).expect("two frames")
        };
        let half = |caller| (stack(caller), Domain::HEAP, temporary(5_000, 5_000));
        let advice = Snapshot::from_traces([], 2)
            .with_history([half(1), half(2)])
            .advice();
        assert_eq!(lines(&advice), [9]);
    }

    #[test]
    fn tiny_blocks_are_advised_where_they_are_many() {
        let live = |blocks: &[(u32, u64, usize)]| {
            let traces = blocks.iter().flat_map(|&(number, size, count)| {
                std::iter::repeat_n(Trace::new(Domain::HEAP, size, line(number)), count)
            });
            Snapshot::from_traces(traces, 1).advice()
        };
        let advice = live(&[
            (1, 16, 10_000),
            (2, 33, 20_000),
            (3, 8, 9_999),
            (4, 32, 11_000),
        ]);
        assert_eq!(lines(&advice), [4, 1]);
        assert_eq!(
            advice[1].pattern,
            Pattern::TinyBlocks {
                size: 16,
                count: 10_000
            }
        );
        // Of one size each, or few among all.
        assert_eq!(live(&[(1, 16, 6_000), (1, 24, 6_000)]), []);
        assert_eq!(live(&[(1, 16, 10_000), (2, 100, 95_000)]), []);
        // Blocks of no bytes cost nothing.
        assert_eq!(live(&[(1, 0, 20_000)]), []);
    }

    #[test]
    fn the_largest_three_of_a_kind_are_advised() {
        let row = |number: u32| {
            (
                line(number),
                Domain::HEAP,
                temporary(20_000 + u64::from(number), 20_100),
            )
        };
        let snapshot = Snapshot::from_traces([], 1).with_history((1..=5).map(row));
        assert_eq!(lines(&snapshot.advice()), [5, 4, 3]);
    }

    #[test]
    fn tiny_blocks_of_the_peak_are_advised_where_they_are_gone() {
        let at_peak = |number, size, count| {
            let at_peak = BlockSum::new(size, count);
            let history = StackHistory {
                at_peak,
                ..StackHistory::default()
            };
            (line(number), Domain::HEAP, history)
        };
        let advised = |live: usize| {
            let live = std::iter::repeat_n(Trace::new(Domain::HEAP, 1_000, line(9)), live);
            let snapshot = Snapshot::from_traces(live, 1).with_history([
                at_peak(1, 32 * 11_000, 11_000),
                // Larger, too few, and of several sizes.
                at_peak(2, 33 * 20_000, 20_000),
                at_peak(3, 8 * 9_999, 9_999),
                at_peak(4, 16 * 20_000 + 1, 20_000),
                // Two stacks of one line.
                at_peak(5, 24 * 6_000, 6_000),
                at_peak(5, 24 * 6_000, 6_000),
            ]);
            lines(&snapshot.advice())
        };
        assert_eq!(advised(0), [5, 1]);
        // 1,699,993 bytes at the peak.
        assert_eq!(advised(169), [5, 1]);
        assert!(advised(170).is_empty());
    }
}
