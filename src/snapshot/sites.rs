//! Blocks summed by stack and domain: what is exported to viewers, which group for themselves.

use std::collections::HashMap;

use super::history::StackHistory;
use super::runs::Run;
use super::total::{Estimate, Sum, Total};
use super::trace::{Domain, Snapshot};
use super::traceback::Traceback;

/// The blocks of one stack and domain, estimated if the snapshot is sampled.
pub(crate) struct Site<'a> {
    pub(crate) stack: &'a Traceback,
    pub(crate) domain: Domain,
    /// Bytes.
    pub(crate) size: u64,
    /// Blocks.
    pub(crate) count: u64,
    /// Zero where none was recorded.
    #[cfg_attr(
        not(any(feature = "json", feature = "pprof")),
        expect(dead_code, reason = "folded stacks have no place for it")
    )]
    pub(crate) history: StackHistory,
}

impl Snapshot {
    /// The sites that have blocks or a history, in the order of the snapshot's stacks, by domain for
    /// each stack.
    ///
    /// Stacks that differ in nothing but their depth are several here.
    pub(crate) fn sites(&self) -> Vec<Site<'_>> {
        match self.weights() {
            None => self.summed_sites(Total::of, |total| total),
            Some(sampling) => self.summed_sites(
                |run, count| Estimate::of(sampling, run, count),
                Estimate::rounded,
            ),
        }
    }

    fn summed_sites<S: Sum>(
        &self,
        amount: impl Fn(&Run, u64) -> S,
        rounded: impl Fn(S) -> Total,
    ) -> Vec<Site<'_>> {
        let mut sums: HashMap<(u32, Domain), S> = HashMap::new();
        for (run, count) in self.counted_runs() {
            let sum = sums.entry((run.stack, run.domain)).or_default();
            sum.add(amount(run, count));
        }
        let mut histories: HashMap<(u32, Domain), StackHistory> = HashMap::new();
        for row in self.history_rows() {
            let key = (row.stack, row.domain);
            sums.entry(key).or_default();
            let history = histories.entry(key).or_default();
            *history = history.plus(row.totals);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        let sites = sums
            .into_iter()
            .filter_map(|((stack_number, domain), sum)| {
                let Total { size, count } = rounded(sum);
                let stack = self.stacks().get(stack_number as usize)?;
                Some(Site {
                    stack,
                    domain,
                    size,
                    count,
                    history: histories
                        .remove(&(stack_number, domain))
                        .unwrap_or_default(),
                })
            });
        sites.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::snapshot::frame::Frame;
    use crate::snapshot::trace::Trace;

    #[track_caller]
    fn check(snapshot: &Snapshot, expected: &[(&str, u32, u64, u64)]) {
        let sites = snapshot.sites();
        let found: Vec<_> = sites
            .iter()
            .map(|site| (site.stack.to_string(), site.domain.0, site.size, site.count))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|&(stack, domain, size, count)| (stack.to_owned(), domain, size, count))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn sites_are_told_apart_by_stack_and_domain() {
        let block = |file: &str, domain, size| {
            Trace::new(Domain(domain), size, Traceback::of(Frame::new(file, 1)))
        };
        let blocks = [
            block("b", 0, 10),
            block("a", 2, 1),
            block("b", 0, 5),
            block("a", 0, 7),
            block("b", 0, 10),
            block("gone", 0, 1),
        ];
        let snapshot = Snapshot::from_traces(blocks, 1);
        let kept = snapshot.filter_traces(&[crate::snapshot::Filter::exclude("gone")]);
        check(
            &kept,
            &[("b:1", 0, 25, 3), ("a:1", 0, 7, 1), ("a:1", 2, 1, 1)],
        );
        // A block of 10 bytes stands for one and a half of them, and the sum is rounded once.
        let sample = kept.with_sample_every(NonZeroU64::new(9).unwrap());
        check(
            &sample,
            &[("b:1", 0, 42, 5), ("a:1", 0, 13, 2), ("a:1", 2, 1, 1)],
        );
    }

    #[test]
    fn sums_stop_at_the_greatest_number() {
        let block = Trace::new(Domain::HEAP, u64::MAX, Traceback::unknown());
        let snapshot = Snapshot::from_traces([block.clone(), block], 1);
        check(&snapshot, &[("<unknown>:0", 0, u64::MAX, 2)]);
    }
}
