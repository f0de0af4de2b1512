//! What holds of every sampled snapshot. Sums are rounded once at their end, so each is off by half
//! of a block and half of a byte at most.

use std::collections::HashMap;
use std::num::NonZeroU64;

use proptest::prelude::*;
use proptest::sample::select;
use tracemalloc::{Counting, Domain, GroupBy, Snapshot, Statistic, StatisticDiff, Trace};

use super::{EVERY_KEY, by_group, every_cumulative_key, filter_pair, traces};

/// From blocks that are nearly all recorded to those that stand for more than a double can count.
fn period() -> impl Strategy<Value = NonZeroU64> {
    let periods = [1, 7, 1_000, 1 << 19, 1 << 40, 1 << 55];
    select(
        periods
            .map(|bytes| NonZeroU64::new(bytes).expect("a period above 0"))
            .to_vec(),
    )
}

fn sampled(traces: impl IntoIterator<Item = Trace>, period: NonZeroU64) -> Snapshot {
    Snapshot::from_traces(traces, 4).with_sample_every(period)
}

/// Blocks and bytes that a block stands for, by the formula and the platform's functions.
fn worth(trace: &Trace, period: NonZeroU64) -> (f64, f64) {
    let size = trace.size as f64;
    let weight = if trace.domain == Domain::HEAP && trace.size > 0 {
        -1.0 / f64::exp_m1(-size / period.get() as f64)
    } else {
        1.0
    };
    (weight, size * weight)
}

/// Whether a rounded sum is that of the formula, as far as doubles can tell.
fn is_about(found: u64, expected: f64) -> bool {
    (found as f64 - expected).abs() <= 0.5 + expected * 1e-12
}

fn every_statistic(snapshot: &Snapshot) -> Vec<Vec<Statistic>> {
    let own = EVERY_KEY.into_iter().map(|key| snapshot.statistics(key));
    let cumulative = every_cumulative_key().flat_map(|key| {
        let (all, once) = (
            snapshot.statistics_with(key, Counting::Cumulative),
            snapshot.statistics_with(key, Counting::Inclusive),
        );
        [
            all.expect("not by traceback"),
            once.expect("not by traceback"),
        ]
    });
    own.chain(cumulative).collect()
}

fn statistic(diff: &StatisticDiff) -> Statistic {
    Statistic::new(diff.traceback.clone(), diff.size, diff.count)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_block_stands_for_the_inverse_of_its_probability(
        given in traces(),
        period in period(),
    ) {
        let snapshot = sampled(given.clone(), period);
        prop_assert_eq!(snapshot.sample_every(), Some(period));
        prop_assert_eq!(snapshot.traces().unwrap().collect::<Vec<_>>(), given.clone());
        for group in snapshot.statistics(GroupBy::Line) {
            let (blocks, bytes) = given
                .iter()
                .filter(|trace| group.traceback.most_recent() == trace.traceback.most_recent())
                .map(|trace| worth(trace, period))
                .fold((0.0, 0.0), |sum, worth| (sum.0 + worth.0, sum.1 + worth.1));
            prop_assert!(is_about(group.count, blocks), "{} {blocks}", group.count);
            prop_assert!(is_about(group.size, bytes), "{} {bytes}", group.size);
        }
    }

    #[test]
    fn the_order_of_the_blocks_changes_no_estimate(
        (given, shuffled) in traces().prop_flat_map(|given| {
            let shuffled = Just(given.clone()).prop_shuffle();
            (Just(given), shuffled)
        }),
        period in period(),
    ) {
        let (given, shuffled) = (sampled(given, period), sampled(shuffled, period));
        prop_assert_eq!(given.total_size(), shuffled.total_size());
        prop_assert_eq!(given.block_count(), shuffled.block_count());
        // Literal stacks of equal files and lines are one, whose functions are those of the first.
        for key in [GroupBy::File, GroupBy::Line, GroupBy::Traceback] {
            prop_assert_eq!(given.statistics(key), shuffled.statistics(key));
        }
        for key in [GroupBy::File, GroupBy::Line] {
            prop_assert_eq!(
                given.statistics_with(key, Counting::Cumulative)?,
                shuffled.statistics_with(key, Counting::Cumulative)?
            );
        }
    }

    #[test]
    fn so_many_times_the_blocks_are_so_many_times_the_estimate(
        given in traces(),
        period in period(),
        times in 2..9_u64,
    ) {
        let many = given.iter().flat_map(|trace| vec![trace.clone(); times as usize]);
        let many = by_group(sampled(many, period).statistics(GroupBy::Line));
        let once = by_group(sampled(given, period).statistics(GroupBy::Line));
        prop_assert_eq!(many.len(), once.len());
        for (group, (size, count)) in once {
            let (sizes, counts) = many[&group];
            prop_assert!(sizes.abs_diff(size * times) <= times / 2 + 1);
            prop_assert!(counts.abs_diff(count * times) <= times / 2 + 1);
        }
    }

    #[test]
    fn groups_add_up_to_the_whole_but_for_rounding(given in traces(), period in period()) {
        let snapshot = sampled(given, period);
        for key in EVERY_KEY {
            let groups = snapshot.statistics(key);
            let max_error = groups.len() as u64 / 2 + 1;
            let size: u64 = groups.iter().map(|group| group.size).sum();
            let count: u64 = groups.iter().map(|group| group.count).sum();
            prop_assert!(size.abs_diff(snapshot.total_size()) <= max_error);
            prop_assert!(count.abs_diff(snapshot.block_count()) <= max_error);
            let order = |s: &Statistic| (s.size, s.count, s.traceback.clone());
            prop_assert!(groups.iter().rev().map(order).is_sorted());
        }
    }

    #[test]
    fn filters_part_an_estimate_but_for_rounding(
        given in traces(),
        period in period(),
        (include, exclude) in filter_pair(),
    ) {
        let snapshot = sampled(given, period);
        let (inside, outside) = (
            snapshot.filter_traces([include]),
            snapshot.filter_traces([exclude]),
        );
        let size = inside.total_size() + outside.total_size();
        prop_assert!(size.abs_diff(snapshot.total_size()) <= 1);
        let count = inside.block_count() + outside.block_count();
        prop_assert!(count.abs_diff(snapshot.block_count()) <= 1);
        prop_assert_eq!(
            inside.traces().unwrap().len() + outside.traces().unwrap().len(),
            snapshot.traces().unwrap().len()
        );
        let alone = sampled(inside.traces().unwrap(), period);
        prop_assert_eq!(every_statistic(&inside), every_statistic(&alone));
    }

    #[test]
    fn differences_are_those_of_the_estimates(
        (old, old_period) in (traces(), period()),
        (new, new_period) in (traces(), period()),
    ) {
        let exact = Snapshot::from_traces(old.clone(), 4);
        let (old, new) = (sampled(old, old_period), sampled(new, new_period));
        for key in EVERY_KEY {
            for old in [&exact, &old] {
                let of_new = by_group(new.statistics(key));
                let of_old = by_group(old.statistics(key));
                let diffs = new.compare_to(old, key)?;
                let found = by_group(diffs.iter().map(statistic).collect());
                for diff in diffs {
                    let (size, count) = of_old.get(&diff.traceback).copied().unwrap_or_default();
                    prop_assert_eq!(diff.size as i64 - diff.size_diff, size as i64);
                    prop_assert_eq!(diff.count as i64 - diff.count_diff, count as i64);
                }
                let kept: HashMap<_, _> = found
                    .into_iter()
                    .filter(|(group, _)| of_new.contains_key(group))
                    .collect();
                prop_assert_eq!(kept, of_new);
            }
        }
    }

    /// A block of 40 periods is missed less than once in 10^17 times, and what the program tracks
    /// itself is never sampled.
    #[test]
    fn what_is_recorded_for_certain_counts_as_it_is(given in traces()) {
        let certain = given.into_iter().map(|mut trace| {
            if trace.domain == Domain::HEAP {
                trace.size += 40;
            }
            trace
        });
        let exact = Snapshot::from_traces(certain, 4);
        let sampled = exact.clone().with_sample_every(NonZeroU64::MIN);
        prop_assert_eq!(sampled.block_count(), exact.block_count());
        prop_assert_eq!(sampled.total_size(), exact.total_size());
        prop_assert_eq!(every_statistic(&sampled), every_statistic(&exact));
    }

    /// Neither numbers at the end of their range nor the blocks of no bytes do harm.
    #[test]
    fn any_sizes_and_any_period_have_an_answer(
        sizes in proptest::collection::vec(prop_oneof![any::<u64>(), 0..3_u64], 1..5),
        period in prop_oneof![any::<u64>(), Just(u64::MAX), Just(1)],
        stack in super::stack(),
    ) {
        let period = NonZeroU64::new(period.max(1)).expect("1 at least");
        let blocks = sizes.iter().map(|&size| Trace::new(Domain::HEAP, size, stack.clone()));
        let exact = Snapshot::from_traces(blocks, 4);
        let snapshot = exact.clone().with_sample_every(period);
        prop_assert!(snapshot.block_count() >= exact.block_count());
        prop_assert!(snapshot.total_size() >= exact.total_size());
        every_statistic(&snapshot);
        snapshot.compare_to(&exact, GroupBy::Line)?;
        exact.compare_to(&snapshot, GroupBy::Line)?;
    }
}
