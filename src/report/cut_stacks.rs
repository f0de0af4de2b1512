//! How much memory lies in stacks that were cut at the limit of frames, and which limit would show more.

use std::fmt;

use crate::snapshot::{Domain, Estimate, Snapshot, Sum};

/// The allocator's stacks that lack their oldest frames.
pub(super) struct CutStacks {
    limit: u32,
    /// Of `all` stacks.
    cut: usize,
    all: usize,
    /// From 0 to 1: of the allocator's bytes.
    share: f64,
    /// Frames of the deepest stack, if the depth of each cut one is known.
    deepest: Option<u32>,
}

impl CutStacks {
    /// `None` if no stack was cut. Stacks that only the program's own domains have do not count: they
    /// may have any length.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        let stacks = snapshot.stacks();
        let mut sums = vec![Estimate::default(); stacks.len()];
        for (run, count) in snapshot.counted_runs() {
            if run.domain == Domain::HEAP
                && let Some(sum) = sums.get_mut(run.stack as usize)
            {
                sum.add(snapshot.stands_for(run, count));
            }
        }
        let sums = stacks.iter().zip(&sums);
        let used = || sums.clone().filter(|(_, sum)| !sum.is_of_nothing());
        let cut = || used().filter(|(stack, _)| stack.is_truncated());
        cut().next()?;
        let bytes = |sum: &Estimate| sum.size.thousandths();
        let whole: f64 = used().map(|(_, sum)| bytes(sum)).sum();
        let missing: f64 = cut().map(|(_, sum)| bytes(sum)).sum();
        let depths = cut().map(|(stack, _)| stack.total_nframe());
        Some(Self {
            limit: snapshot.traceback_limit().into(),
            cut: cut().count(),
            all: used().count(),
            share: if whole > 0.0 { missing / whole } else { 0.0 },
            deepest: depths
                .collect::<Option<Vec<u32>>>()
                .and_then(|depths| depths.into_iter().max()),
        })
    }

    /// How to keep more, as a sentence without its full stop: the depth of the deepest stack where it is
    /// known, else the first power of two that is twice the limit. `None` beyond the largest limit, and
    /// where it would not show a hundredth of the memory.
    pub(super) fn suggestion(&self) -> Option<String> {
        const LARGEST: u32 = u16::MAX as u32;
        if self.share < 0.01 {
            return None;
        }
        let (what, limit) = match self.deepest {
            Some(deepest) => ("For whole stacks", deepest),
            None => (
                "For more frames",
                self.limit.saturating_mul(2).next_power_of_two(),
            ),
        };
        (limit > self.limit && limit <= LARGEST).then(|| format!("{what}: start({limit})"))
    }
}

/// What is missing, as a sentence without its full stop.
impl fmt::Display for CutStacks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit, cut, all, ..
        } = self;
        let share = match self.share * 100.0 {
            share if share > 0.0 && share < 0.05 => "<0.1".to_owned(),
            share => format!("{share:.1}"),
        };
        let frames = if *limit == 1 { "frame" } else { "frames" };
        write!(
            out,
            "Stacks cut at {limit} {frames}: {cut} of {all}, with {share}% of the memory"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Frame, Trace, Traceback};

    fn block(size: u64, depth: Option<u32>) -> Trace {
        let stack = Traceback::of(Frame::new("src/main.rs", size as u32));
        let stack = match depth {
            Some(depth) => stack.with_total_nframe(depth),
            None => stack,
        };
        Trace::new(Domain::HEAP, size, stack)
    }

    fn sentence(blocks: Vec<Trace>, limit: u16) -> Option<String> {
        let snapshot = Snapshot::from_traces(blocks, limit);
        let cut = CutStacks::of(&snapshot)?;
        Some(format!("{cut}. {}", cut.suggestion().unwrap_or_default()))
    }

    #[test]
    fn whole_stacks_say_nothing() {
        assert_eq!(sentence(vec![block(10, None), block(20, Some(1))], 1), None);
        assert_eq!(sentence(vec![], 1), None);
    }

    #[test]
    fn the_share_is_one_of_bytes_and_the_limit_keeps_the_deepest_stack() {
        let text = sentence(
            vec![block(998, Some(40)), block(1, Some(30)), block(1, None)],
            1,
        );
        assert_eq!(
            text.unwrap(),
            "Stacks cut at 1 frame: 2 of 3, with 99.9% of the memory. For whole stacks: start(40)"
        );
    }

    #[test]
    fn where_depths_are_not_known_the_limit_is_doubled() {
        let stack = Traceback::of(Frame::new("src/main.rs", 1)).with_truncated();
        let cut =
            |limit| sentence(vec![Trace::new(Domain::HEAP, 1, stack.clone())], limit).unwrap();
        assert!(
            cut(25).ends_with("memory. For more frames: start(64)"),
            "{}",
            cut(25)
        );
        assert!(cut(40_000).ends_with("with 100.0% of the memory. "));
    }

    #[test]
    fn a_stack_of_the_programs_own_domain_does_not_count() {
        let stack = Traceback::of(Frame::new("pool", 1)).with_total_nframe(9);
        assert_eq!(sentence(vec![Trace::new(Domain(3), 10, stack)], 1), None);
    }
}
