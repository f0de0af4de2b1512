//! What holds of every snapshot, put to generated ones.

#[path = "properties/sampled.rs"]
mod sampled;

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tracemalloc::{
    Counting, Domain, Filter, Frame, FrameFilter, GroupBy, Snapshot, Statistic, Trace, Traceback,
};

const EVERY_KEY: [GroupBy; 5] = [
    GroupBy::File,
    GroupBy::Line,
    GroupBy::Function,
    GroupBy::Crate,
    GroupBy::Traceback,
];

fn every_cumulative_key() -> impl Iterator<Item = GroupBy> {
    EVERY_KEY
        .into_iter()
        .filter(|key| *key != GroupBy::Traceback)
}

/// Few names and lines, so that groups, ties and recursion are common.
fn frame() -> impl Strategy<Value = Frame> {
    let file = select(vec!["src/a.rs", "src/b.rs", "<std>/a.rs", "", "é.rs"]);
    let function = proptest::option::of(select(vec!["app::f", "app::g", "lib::f"]));
    let crate_name = proptest::option::of(select(vec!["app", "lib"]));
    (file, 0..3u32, any::<bool>(), function, crate_name).prop_map(
        |(file, line, named, function, crate_name)| {
            let mut frame = if named && line == 0 {
                Frame::named(file)
            } else {
                Frame::new(file, line)
            };
            if let Some(function) = function {
                frame = frame.with_function(function);
            }
            if let Some(name) = crate_name {
                frame = frame.with_crate(name);
            }
            frame
        },
    )
}

fn stack() -> impl Strategy<Value = Traceback> {
    let depth = proptest::option::of(5..9u32);
    (vec(frame(), 1..5), depth).prop_map(|(frames, depth)| {
        let stack = Traceback::from_oldest_first(frames).expect("a stack of some frames");
        match depth {
            Some(depth) => stack.with_total_nframe(depth),
            None => stack,
        }
    })
}

fn traces() -> impl Strategy<Value = Vec<Trace>> {
    let blocks = (stack(), 0..3u32, 0..20_000u64, 1..4usize);
    let repeated = blocks.prop_map(|(stack, domain, size, times)| {
        std::iter::repeat_n(Trace::new(Domain(domain), size, stack), times)
    });
    vec(repeated, 0..20).prop_map(|blocks| blocks.into_iter().flatten().collect())
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    traces().prop_map(|traces| Snapshot::from_traces(traces, 4))
}

/// Any filter on names that takes part in the crate's interface, in its including and its excluding
/// form.
fn filter_pair() -> impl Strategy<Value = (Filter, Filter)> {
    let makes: Vec<fn(&str) -> FrameFilter> = vec![
        FrameFilter::file,
        FrameFilter::function,
        FrameFilter::crate_name,
        FrameFilter::any_name,
    ];
    let pattern = select(vec!["*", "src/*", "?pp*", "[!<]*.rs", "lib", ""]);
    let line = proptest::option::of(0..3u32);
    let domain = proptest::option::of(0..3u32);
    (select(makes), pattern, line, any::<bool>(), domain).prop_map(
        |(frames, pattern, line, all_frames, domain)| {
            let complete = |mut filter: Filter| {
                if let Some(line) = line {
                    filter = filter.with_line(line);
                }
                if let Some(domain) = domain {
                    filter = filter.in_domain(Domain(domain));
                }
                if all_frames {
                    filter = filter.all_frames();
                }
                filter
            };
            let frames = frames(pattern);
            (
                complete(Filter::include(&frames)),
                complete(Filter::exclude(&frames)),
            )
        },
    )
}

fn by_group(statistics: Vec<Statistic>) -> HashMap<Traceback, (u64, u64)> {
    let groups = statistics.len();
    let map: HashMap<_, _> = statistics
        .into_iter()
        .map(|group| (group.traceback, (group.size, group.count)))
        .collect();
    assert_eq!(map.len(), groups, "a group stands twice");
    map
}

/// Patterns are made of these; parts of sets come alone too, so that sets of every odd form arise.
const PIECES: [&str; 14] = [
    "a", "b", "-", "]", "[", "!", "^", "*", "?", "[!", "[a-c]", "[c-a]", "[]", "[ab",
];

proptest! {
    // A failure prints its smallest input, which belongs into a test of its own.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traces_are_the_given_blocks_in_their_order(given in traces(), skip in 0..5usize) {
        let snapshot = Snapshot::from_traces(given.clone(), 4);
        let traces = snapshot.traces().unwrap();
        prop_assert_eq!(traces.len(), given.len());
        prop_assert_eq!(traces.clone().collect::<Vec<_>>(), given.clone());
        let backwards: Vec<Trace> = given.iter().rev().cloned().collect();
        prop_assert_eq!(traces.clone().rev().collect::<Vec<_>>(), backwards);
        for index in 0..=given.len() {
            prop_assert_eq!(traces.get(index), given.get(index).cloned());
        }
        let (mut found, mut expected) = (traces.clone(), given.iter());
        while !found.is_empty() {
            prop_assert_eq!(found.nth(skip), expected.nth(skip).cloned());
            prop_assert_eq!(found.next_back(), expected.next_back().cloned());
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.get(0), expected.as_slice().first().cloned());
        }
        prop_assert_eq!(traces.get(usize::MAX), None);
    }

    #[test]
    fn statistics_add_up_to_the_whole(snapshot in snapshot()) {
        for key in EVERY_KEY {
            let statistics = snapshot.statistics(key);
            prop_assert_eq!(statistics.iter().map(|s| s.size).sum::<u64>(), snapshot.total_size());
            prop_assert_eq!(statistics.iter().map(|s| s.count).sum::<u64>(), snapshot.block_count());
            let order = |s: &Statistic| (s.size, s.count, s.traceback.clone());
            prop_assert!(statistics.iter().rev().map(order).is_sorted());
            by_group(statistics);
        }
    }

    #[test]
    fn every_frame_counts_in_cumulative_statistics(snapshot in snapshot()) {
        let frames: usize = snapshot.traces().unwrap().map(|trace| trace.traceback.len()).sum();
        for key in every_cumulative_key() {
            let own = by_group(snapshot.statistics(key));
            let cumulative = by_group(snapshot.statistics_with(key, Counting::Cumulative)?);
            let inclusive = by_group(snapshot.statistics_with(key, Counting::Inclusive)?);
            prop_assert_eq!(cumulative.values().map(|c| c.1).sum::<u64>(), frames as u64);
            prop_assert_eq!(inclusive.len(), cumulative.len());
            for (group, &(size, count)) in &inclusive {
                let (all_size, all_count) = cumulative[group];
                prop_assert!(size <= all_size && count <= all_count);
                prop_assert!(size <= snapshot.total_size() && count <= snapshot.block_count());
                let (own_size, own_count) = own.get(group).copied().unwrap_or_default();
                prop_assert!(own_size <= size && own_count <= count);
            }
        }
    }

    #[test]
    fn a_snapshot_does_not_differ_from_itself(snapshot in snapshot()) {
        for key in EVERY_KEY {
            let diffs = snapshot.compare_to(&snapshot, key)?;
            prop_assert!(diffs.iter().all(|diff| (diff.size_diff, diff.count_diff) == (0, 0)));
            let groups = diffs.into_iter().map(|diff| {
                Statistic::new(diff.traceback, diff.size, diff.count)
            });
            prop_assert_eq!(groups.collect::<Vec<_>>(), snapshot.statistics(key));
        }
    }

    #[test]
    fn differences_the_other_way_round_have_the_other_sign(
        old in snapshot(),
        new in snapshot(),
    ) {
        for key in EVERY_KEY {
            let there = new.compare_to(&old, key)?;
            let back = old.compare_to(&new, key)?;
            prop_assert_eq!(there.len(), back.len());
            let back: HashMap<_, _> = back.iter().map(|diff| (&diff.traceback, diff)).collect();
            for diff in &there {
                let other = back[&diff.traceback];
                prop_assert_eq!(diff.size_diff, -other.size_diff);
                prop_assert_eq!(diff.count_diff, -other.count_diff);
                prop_assert_eq!(diff.size as i64 - other.size as i64, diff.size_diff);
                prop_assert_eq!(diff.count as i64 - other.count as i64, diff.count_diff);
            }
        }
    }

    #[test]
    fn including_and_excluding_part_the_blocks(
        snapshot in snapshot(),
        (include, exclude) in filter_pair(),
    ) {
        let (inside, outside) = (
            snapshot.filter_traces([include]),
            snapshot.filter_traces([exclude]),
        );
        prop_assert_eq!(inside.block_count() + outside.block_count(), snapshot.block_count());
        let (mut inside, mut outside) = (inside.traces().unwrap().peekable(), outside.traces().unwrap().peekable());
        for trace in snapshot.traces().unwrap() {
            let from_inside = inside.next_if_eq(&trace);
            prop_assert!(from_inside.is_some() || outside.next_if_eq(&trace).is_some());
        }
    }

    /// Stacks that have lost all their blocks must not show as empty groups.
    #[test]
    fn a_filtered_snapshot_answers_as_one_of_its_blocks_alone(
        snapshot in snapshot(),
        (filter, _) in filter_pair(),
    ) {
        let filtered = snapshot.filter_traces([filter]);
        let alone = Snapshot::from_traces(filtered.traces().unwrap(), 4);
        for key in EVERY_KEY {
            prop_assert_eq!(filtered.statistics(key), alone.statistics(key));
            let lost = snapshot.compare_to(&filtered, key)?;
            prop_assert_eq!(lost, snapshot.compare_to(&alone, key)?);
        }
    }

    #[test]
    fn patterns_match_as_their_rules_say(
        pieces in vec(select(PIECES.to_vec()), 0..7),
        names in vec("[-abc\\[\\]!^]{0,4}", 20),
    ) {
        let pattern = pieces.concat();
        let filter = Filter::include(&pattern);
        let letters: Vec<char> = pattern.chars().collect();
        for name in names {
            let block = Trace::new(Domain::HEAP, 1, Traceback::of(Frame::new(name.as_str(), 1)));
            let kept = Snapshot::from_traces([block], 1).filter_traces([&filter]).block_count();
            let expected = matches(&letters, &name.chars().collect::<Vec<_>>());
            prop_assert_eq!(kept == 1, expected, "{:?} and {:?}", pattern, name);
        }
    }
}

/// The rules of patterns, tried in every way there is.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    if first == '*' {
        return (0..=name.len()).any(|taken| matches(rest, &name[taken..]));
    }
    let Some((&letter, left)) = name.split_first() else {
        return false;
    };
    match (first, set_end(pattern)) {
        ('?', _) => matches(rest, left),
        ('[', Some(end)) => {
            is_in_set(&pattern[1..end], letter) && matches(&pattern[end + 1..], left)
        }
        _ => first == letter && matches(rest, left),
    }
}

/// Where the `]` of the set is that `pattern` begins with.
fn set_end(pattern: &[char]) -> Option<usize> {
    let first_member = if pattern.get(1) == Some(&'!') { 2 } else { 1 };
    (first_member + 1..pattern.len()).find(|&end| pattern[end] == ']')
}

fn is_in_set(set: &[char], letter: char) -> bool {
    match set {
        ['!', members @ ..] => !is_member(members, letter),
        members => is_member(members, letter),
    }
}

fn is_member(members: &[char], letter: char) -> bool {
    match members {
        [] => false,
        [low, '-', high, rest @ ..] => {
            (*low <= letter && letter <= *high) || is_member(rest, letter)
        }
        [one, rest @ ..] => *one == letter || is_member(rest, letter),
    }
}
