//! A test that a repeated task does not hold more and more.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;

use super::guard::{Scope, open_or_panic};
use super::recording::{Live, Recording};
use super::sites::own_lines;
use crate::engine::{Guard, StackId};
use crate::error::Error;
use crate::snapshot::{Size, Statistic};

/// A test for leaks: a task that runs again and again must not hold more and more.
///
/// After the warm-up, each round is followed by a look at the live blocks that the task has allocated,
/// whichever thread frees them. A call stack **grows** if its live bytes or blocks were higher than ever
/// before after at least two rounds, one of them in the second half. So what fills once (a cache, a pool, a
/// lazily made table) may grow in the first half of the rounds; a longer warm-up gives it more time. A leak
/// of one block in `n` rounds is found with `3 n` rounds.
///
/// ```standalone_crate
/// use tracemalloc::NoGrowth;
///
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let mut buffer = Vec::new();
/// NoGrowth::new().warm_up(3).rounds(20).check(|| {
///     buffer.clear();
///     buffer.extend_from_slice(b"a line");
/// });
///
/// let mut kept = Vec::new();
/// let grown = NoGrowth::new().find(|| kept.push(Box::new(1_u64))).unwrap();
/// assert!(grown.to_string().contains("grew"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it does nothing until it checks"]
pub struct NoGrowth {
    warm_up: u32,
    rounds: u32,
}

impl Default for NoGrowth {
    fn default() -> Self {
        Self::new()
    }
}

impl NoGrowth {
    /// 10 rounds that warm up, and 50 that count.
    pub fn new() -> Self {
        Self {
            warm_up: 10,
            rounds: 50,
        }
    }

    /// How many rounds do not count. Whatever is made on first use is made in them.
    pub fn warm_up(mut self, rounds: u32) -> Self {
        self.warm_up = rounds;
        self
    }

    /// How many rounds count. Fewer than 4 find nothing.
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = rounds;
        self
    }

    /// Runs `task` in all rounds.
    ///
    /// # Panics
    /// If something grows: the message has the lines that it comes from. Also if blocks cannot be recorded
    /// ([`Scope::recording`]), if the session samples, or if tracing was started, stopped or cleared during the
    /// rounds.
    #[track_caller]
    pub fn check<T>(&self, task: impl FnMut() -> T) {
        match self.find(task) {
            Ok(grown) if grown.is_empty() => {}
            Ok(grown) => panic!("{grown}"),
            Err(error) => panic!("growth cannot be judged: {error}"),
        }
    }

    /// Runs `task` in all rounds and says what grows.
    ///
    /// # Errors
    /// Those of [`Scope::snapshot`], and [`ErrorKind::Sampled`](crate::ErrorKind::Sampled) in a session that
    /// samples.
    ///
    /// # Panics
    /// If the thread cannot count ([`Scope::recording`]).
    #[track_caller]
    pub fn find<T>(&self, mut task: impl FnMut() -> T) -> Result<Grown, Error> {
        let scope = open_or_panic(Scope::recording(), Location::caller());
        for _ in 0..self.warm_up {
            drop(task());
        }
        let handle = scope.handle();
        let mut series = Series::new(self.rounds);
        let look = |recording: &Recording, guard: &Guard, series: &mut Series| {
            series.add(&recording.live(guard)?);
            Ok(())
        };
        handle.owned(|recording, guard| look(recording, guard, &mut series))?;
        for _ in 0..self.rounds {
            drop(task());
            handle.owned(|recording, guard| look(recording, guard, &mut series))?;
        }
        let _scope = scope.detach();
        handle.owned(|recording, guard| Grown::of(recording, guard, &series))
    }
}

/// Highest values of each stack, round by round.
struct Series {
    rounds: u32,
    round: u32,
    stacks: HashMap<StackId, Highs>,
}

#[derive(Default)]
struct Highs {
    high: Live,
    first: Live,
    last: Live,
    /// Rounds that were higher than all before.
    rises: u32,
    rose_late: bool,
}

impl Series {
    fn new(rounds: u32) -> Self {
        Self {
            rounds,
            round: 0,
            stacks: HashMap::new(),
        }
    }

    /// Takes in what is live after a round; the first time, before all rounds.
    fn add(&mut self, live: &HashMap<StackId, Live>) {
        for (stack, now) in live {
            let is_first = self.round == 0;
            let highs = self.stacks.entry(*stack).or_default();
            let rises = now.bytes > highs.high.bytes || now.blocks > highs.high.blocks;
            if is_first {
                highs.first = *now;
            } else if rises {
                highs.rises += 1;
                highs.rose_late |= self.round > self.rounds / 2;
            }
            highs.high.bytes = highs.high.bytes.max(now.bytes);
            highs.high.blocks = highs.high.blocks.max(now.blocks);
            highs.last = *now;
        }
        self.round += 1;
    }

    fn grown(&self) -> impl Iterator<Item = (StackId, &Highs)> {
        let grown = self.stacks.iter();
        grown
            .filter(|(_, highs)| highs.rises >= 2 && highs.rose_late)
            .map(|(stack, highs)| (*stack, highs))
    }
}

/// What grew in [`NoGrowth::find`]. `Display` writes a line of code with each.
#[derive(Clone, Debug)]
pub struct Grown {
    rounds: u32,
    bytes: u64,
    blocks: u64,
    lines: Vec<Statistic>,
}

impl Grown {
    fn of(recording: &Recording, guard: &Guard, series: &Series) -> Result<Self, Error> {
        let mut grown = Self {
            rounds: series.rounds,
            bytes: 0,
            blocks: 0,
            lines: Vec::new(),
        };
        let mut stacks = HashSet::new();
        for (stack, highs) in series.grown() {
            stacks.insert(stack);
            grown.bytes += highs.last.bytes.saturating_sub(highs.first.bytes);
            grown.blocks += highs.last.blocks.saturating_sub(highs.first.blocks);
        }
        if !stacks.is_empty() {
            let snapshot = recording.snapshot_of(guard, |stack| stacks.contains(&stack))?;
            grown.lines = own_lines(&snapshot);
        }
        Ok(grown)
    }

    /// Whether nothing grew.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines whose blocks grew, with what is live of those blocks at the end; the largest first.
    pub fn lines(&self) -> &[Statistic] {
        &self.lines
    }
}

impl fmt::Display for Grown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(out, "nothing grew in {} rounds", self.rounds);
        }
        write!(
            out,
            "memory grew by {} in {} blocks over {} rounds:",
            Size(self.bytes),
            self.blocks,
            self.rounds
        )?;
        for line in self.lines.iter().take(10) {
            let (size, place) = (Size(line.size), line.traceback.most_recent());
            write!(out, "\n  {size} in {} blocks now  {place}", line.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u64], grows: bool) {
        let mut series = Series::new(values.len() as u32 - 1);
        for &bytes in values {
            let live = Live { bytes, blocks: 1 };
            series.add(&HashMap::from([(StackId::COMPLETE, live)]));
        }
        assert_eq!(series.grown().count() == 1, grows, "{values:?}");
    }

    #[test]
    fn what_rises_again_late_grows() {
        check(&[0, 1, 2, 3, 4, 5, 6, 7, 8], true);
        check(&[9, 9, 10, 10, 10, 10, 11, 11, 11], true);
        // A vector that doubles.
        check(&[4, 4, 8, 8, 8, 8, 16, 16, 16], true);
    }

    #[test]
    fn what_fills_or_oscillates_does_not() {
        check(&[0, 1, 2, 3, 4, 4, 4, 4, 4], false);
        check(&[5, 9, 2, 9, 2, 9, 2, 9, 2], false);
        check(&[5, 5, 5, 5, 5, 5, 5, 5, 6], false);
        check(&[9, 8, 7, 6, 5, 4, 3, 2, 1], false);
    }
}
