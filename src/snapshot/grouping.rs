//! Puts the stacks of snapshots into groups and sums their blocks.
//!
//! A snapshot has many blocks, fewer stacks and few distinct frames. So blocks are summed per stack first,
//! and the text of a frame is read only once, however many stacks contain it. Everything in between works
//! on small numbers.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::counting::Counting;
use super::frame::Frame;
use super::group_by::GroupBy;
use super::identity::IdentityMap;
use super::runs::Run;
use super::total::{Estimate, Sum, Total};
use super::trace::Snapshot;
use super::traceback::Traceback;
use super::type_label::type_labels;

/// What the blocks of a group share.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) traceback: Traceback,
    /// Of stacks: the place among all stacks in the order of their text. Otherwise 0.
    rank: u32,
}

impl Group {
    fn new(traceback: Traceback) -> Self {
        Self { traceback, rank: 0 }
    }

    pub(super) fn cmp_traceback(&self, other: &Self) -> Ordering {
        self.rank
            .cmp(&other.rank)
            .then_with(|| self.traceback.cmp(&other.traceback))
    }
}

/// Numbers the groups of one or more snapshots by first appearance, so that the groups of two
/// snapshots can be set side by side.
#[derive(Debug)]
pub(super) struct Grouping<'a> {
    group_by: GroupBy,
    counting: Counting,
    frames: FrameGroups<'a>,
    /// Used by [`GroupBy::Traceback`] only.
    stacks: StackGroups<'a>,
    labels: LabelGroups<'a>,
}

impl<'a> Grouping<'a> {
    pub(super) fn new(group_by: GroupBy, counting: Counting) -> Self {
        Self {
            group_by,
            counting,
            frames: FrameGroups::new(group_by),
            stacks: StackGroups::default(),
            labels: LabelGroups::default(),
        }
    }

    /// Bytes and blocks of each group in `snapshot`, at the group's number, estimated if it is
    /// sampled. Groups that only other snapshots have are zero, or past the end.
    pub(super) fn totals(&mut self, snapshot: &'a Snapshot) -> Vec<Total> {
        match snapshot.weights() {
            None => self.sums(snapshot, Total::of),
            Some(sampling) => {
                let estimate = |run: &Run, count| Estimate::of(sampling, run, count);
                let sums = self.sums(snapshot, estimate).into_iter();
                sums.map(Estimate::rounded).collect()
            }
        }
    }

    fn sums<S: Sum>(&mut self, snapshot: &'a Snapshot, amount: impl Fn(&Run, u64) -> S) -> Vec<S> {
        let mut sums: Vec<S> = Vec::new();
        let mut groups = Vec::new();
        for (stack, blocks) in snapshot.stacks().iter().zip(stack_sums(snapshot, amount)) {
            if blocks.is_of_nothing() {
                continue;
            }
            groups.clear();
            self.find_groups(stack, &mut groups);
            for &group in &groups {
                let group = group as usize;
                if sums.len() <= group {
                    sums.resize(group + 1, S::default());
                }
                sums[group].add(blocks);
            }
        }
        sums
    }

    /// The groups, at their numbers.
    pub(super) fn into_groups(self) -> Vec<Group> {
        if self.group_by == GroupBy::Traceback {
            self.stacks.into_groups(&self.frames.ranks())
        } else if self.group_by.is_label() {
            self.labels.into_groups(self.group_by)
        } else {
            self.frames.into_groups()
        }
    }

    fn find_groups(&mut self, stack: &'a Traceback, groups: &mut Vec<u32>) {
        if let Some(name) = self.group_by.label_name(stack) {
            groups.push(self.labels.group(name));
            return;
        }
        if self.group_by == GroupBy::Traceback {
            groups.extend(stack.newest_first().map(|frame| self.frames.group(frame)));
            groups.reverse();
            let group = self.stacks.group(stack, groups);
            groups.clear();
            groups.push(group);
            return;
        }
        match self.counting {
            Counting::Own => groups.push(self.frames.group(stack.most_recent())),
            Counting::Inclusive | Counting::Cumulative => {
                groups.extend(stack.newest_first().map(|frame| self.frames.group(frame)));
            }
        }
        if self.counting == Counting::Inclusive {
            groups.sort_unstable();
            groups.dedup();
        }
    }
}

/// The blocks of each stack, at the stack's index.
pub(super) fn stack_sums<S: Sum>(snapshot: &Snapshot, amount: impl Fn(&Run, u64) -> S) -> Vec<S> {
    let mut sums = vec![S::default(); snapshot.stacks().len()];
    for (run, count) in snapshot.counted_runs() {
        if let Some(sum) = sums.get_mut(run.stack as usize) {
            sum.add(amount(run, count));
        }
    }
    sums
}

/// Numbers the groups of frames.
#[derive(Debug)]
pub(super) struct FrameGroups<'a> {
    group_by: GroupBy,
    /// The frames are borrowed, so their identities stay theirs.
    seen: IdentityMap<u32>,
    ids: HashMap<(&'a str, u32), u32>,
    /// The frame that each group was first met at.
    first: Vec<&'a Frame>,
    /// What the frames of a group share, where that is less than the first one says.
    shared: HashMap<u32, Frame>,
}

impl<'a> FrameGroups<'a> {
    pub(super) fn new(group_by: GroupBy) -> Self {
        Self {
            group_by,
            seen: IdentityMap::default(),
            ids: HashMap::new(),
            first: Vec::new(),
            shared: HashMap::new(),
        }
    }

    pub(super) fn group(&mut self, frame: &'a Frame) -> u32 {
        if let Some(group) = self.seen.get(&frame.identity()) {
            return *group;
        }
        let next = number(self.first.len());
        let group = *self.ids.entry(self.group_by.key(frame)).or_insert(next);
        if group == next {
            self.first.push(frame);
        } else if self.group_by == GroupBy::Line {
            self.share(group, frame);
        }
        self.seen.insert(frame.identity(), group);
        group
    }

    fn share(&mut self, group: u32, frame: &Frame) {
        let first = self.first[group as usize];
        let before = self.shared.get(&group).unwrap_or(first);
        let shared = before.shared_with(frame);
        if !shared.same(before) {
            self.shared.insert(group, shared);
        }
    }

    /// The place of each group in the order of frames, at the group's number.
    fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.first.len()).collect();
        order.sort_unstable_by_key(|&group| self.first[group]);
        let mut ranks = vec![0; order.len()];
        for (rank, group) in order.into_iter().enumerate() {
            ranks[group] = number(rank);
        }
        ranks
    }

    pub(super) fn into_groups(self) -> Vec<Group> {
        let groups = self.first.iter().enumerate();
        groups
            .map(|(group, first)| {
                let frame = self.shared.get(&number(group)).unwrap_or(first);
                Group::new(Traceback::of(self.group_by.label(frame)))
            })
            .collect()
    }
}

/// Numbers labels of stacks.
#[derive(Debug, Default)]
struct LabelGroups<'a> {
    numbers: HashMap<&'a str, u32>,
}

impl<'a> LabelGroups<'a> {
    fn group(&mut self, name: &'a str) -> u32 {
        let next = number(self.numbers.len());
        *self.numbers.entry(name).or_insert(next)
    }

    fn into_groups(self, group_by: GroupBy) -> Vec<Group> {
        let mut names: Vec<(&str, u32)> = self.numbers.into_iter().collect();
        names.sort_unstable_by_key(|(_, number)| *number);
        let names: Vec<&str> = names.into_iter().map(|(name, _)| name).collect();
        let labels = match group_by {
            GroupBy::Type => type_labels(&names),
            _ => names.into_iter().map(str::to_owned).collect(),
        };
        let groups = labels
            .into_iter()
            .map(|label| Group::new(Traceback::of(Frame::named(label))));
        groups.collect()
    }
}

/// Numbers distinct stacks, each given as the groups of its frames. Stacks share what they have in
/// common: they are paths of a tree of calls.
#[derive(Debug, Default)]
struct StackGroups<'a> {
    /// By caller, one more than its number or 0 for none, and the group of the frame.
    calls: HashMap<(u32, u32), u32>,
    /// The group of the stack that ends in each call, by the call's number.
    groups: Vec<Option<u32>>,
    /// The calls of the last stack and the groups of their frames: the next one mostly begins alike.
    last: Vec<(u32, u32)>,
    /// The call and the stack that each group was first met at.
    first: Vec<(u32, &'a Traceback)>,
}

impl<'a> StackGroups<'a> {
    fn group(&mut self, stack: &'a Traceback, frames: &[u32]) -> u32 {
        let last = self.last.iter().zip(frames);
        let common = last
            .take_while(|((frame, _), other)| frame == *other)
            .count();
        self.last.truncate(common);
        for &frame in frames.iter().skip(common) {
            let caller = self.last.last().map_or(0, |(_, call)| call + 1);
            let next = number(self.groups.len());
            let call = *self.calls.entry((caller, frame)).or_insert(next);
            if call == next {
                self.groups.push(None);
            }
            self.last.push((frame, call));
        }
        let call = self.last.last().map_or(0, |(_, call)| *call);
        let next = number(self.first.len());
        let group = *self.groups[call as usize].get_or_insert(next);
        if group == next {
            self.first.push((call, stack));
        }
        group
    }

    fn into_groups(self, frame_ranks: &[u32]) -> Vec<Group> {
        let ranks = ranks_of_calls(self.calls, frame_ranks);
        let groups = self.first.into_iter().map(|(call, stack)| Group {
            traceback: stack.clone(),
            rank: ranks[call as usize],
        });
        groups.collect()
    }
}

/// The place of each call in the order of the stacks that end in it, at the call's number: the order
/// in which a walk meets them that goes from a call to what it calls, in the order of frames.
fn ranks_of_calls(calls: HashMap<(u32, u32), u32>, frame_ranks: &[u32]) -> Vec<u32> {
    let mut ranks = vec![0; calls.len()];
    let ranked = calls
        .into_iter()
        .map(|((caller, frame), call)| (caller, frame_ranks[frame as usize], call));
    let mut ordered: Vec<(u32, u32, u32)> = ranked.collect();
    ordered.sort_unstable();
    let called_by = |caller: u32| {
        let start = ordered.partition_point(|row| row.0 < caller);
        let end = ordered.partition_point(|row| row.0 <= caller);
        ordered[start..end].iter().rev().map(|row| row.2)
    };
    let mut pending: Vec<u32> = called_by(0).collect();
    let mut rank = 0;
    while let Some(call) = pending.pop() {
        ranks[call as usize] = rank;
        rank += 1;
        pending.extend(called_by(call + 1));
    }
    ranks
}

fn number(groups: usize) -> u32 {
    u32::try_from(groups).unwrap_or_else(|_| unreachable!("memory for 2^32 groups does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::trace::{Domain, Trace};

    fn snapshot(stacks: &[&[(&str, u32)]]) -> Snapshot {
        let traces = stacks.iter().map(|frames| {
            let frames = frames.iter().map(|&(file, line)| Frame::new(file, line));
            let stack = Traceback::from_oldest_first(frames).expect("a stack of some frames");
            Trace::new(Domain::HEAP, 10, stack)
        });
        Snapshot::from_traces(traces, 9)
    }

    #[track_caller]
    fn check(group_by: GroupBy, counting: Counting, stacks: &[&[(&str, u32)]], counts: &[u64]) {
        let snapshot = snapshot(stacks);
        let mut grouping = Grouping::new(group_by, counting);
        let totals = grouping.totals(&snapshot);
        let found: Vec<u64> = totals.iter().map(|total| total.count).collect();
        assert_eq!(found, counts);
        assert!(totals.iter().all(|total| total.size == 10 * total.count));
        assert_eq!(grouping.into_groups().len(), counts.len());
    }

    #[test]
    fn recursion_counts_as_asked() {
        let stacks: &[&[(&str, u32)]] = &[&[("a", 1), ("a", 1), ("a", 2)], &[("b", 1), ("a", 2)]];
        check(GroupBy::Line, Counting::Own, stacks, &[2]);
        check(GroupBy::Line, Counting::Cumulative, stacks, &[2, 2, 1]);
        check(GroupBy::Line, Counting::Inclusive, stacks, &[2, 1, 1]);
        check(GroupBy::File, Counting::Cumulative, stacks, &[4, 1]);
        check(GroupBy::File, Counting::Inclusive, stacks, &[2, 1]);
        check(GroupBy::Traceback, Counting::Own, stacks, &[1, 1]);
    }

    #[test]
    fn stacks_that_differ_only_in_depth_are_one_group() {
        let stack = Traceback::of(Frame::new("a", 1));
        let traces = [stack.clone(), stack.with_total_nframe(7)]
            .map(|stack| Trace::new(Domain::HEAP, 10, stack));
        let snapshot = Snapshot::from_traces(traces, 1);
        assert_eq!(snapshot.stacks().len(), 2);
        let totals = Grouping::new(GroupBy::Traceback, Counting::Own).totals(&snapshot);
        assert_eq!(totals, [Total { size: 20, count: 2 }]);
    }

    #[test]
    fn a_line_bears_a_function_only_if_all_of_its_code_is_there() {
        let function = |functions: &[Option<&str>]| {
            let traces = functions.iter().zip(1..).map(|(function, caller)| {
                let frame = Frame::new("a", 1);
                let frame = match function {
                    Some(function) => frame.with_function(*function),
                    None => frame,
                };
                let stack = Traceback::from_oldest_first([Frame::new("b", caller), frame]).unwrap();
                Trace::new(Domain::HEAP, 10, stack)
            });
            let snapshot = Snapshot::from_traces(traces, 2);
            let statistics = snapshot.statistics(GroupBy::Line);
            assert_eq!(statistics.len(), 1);
            let frame = statistics[0].traceback.most_recent();
            frame.function().map(str::to_owned)
        };
        assert_eq!(
            function(&[Some("a::f"), Some("a::f")]).as_deref(),
            Some("a::f")
        );
        let closure = "a::f::{{closure}}";
        assert_eq!(
            function(&[Some("a::f"), Some(closure)]).as_deref(),
            Some("a::f")
        );
        assert_eq!(
            function(&[Some(closure), Some("a::f")]).as_deref(),
            Some("a::f")
        );
        assert_eq!(function(&[Some("a::f"), Some("a::f2")]), None);
        assert_eq!(function(&[Some("a::f"), Some("a::g"), Some("a::f")]), None);
        assert_eq!(function(&[Some("a::f"), None]), None);
    }

    #[test]
    fn blocks_are_grouped_by_what_they_hold() {
        let names = [
            Some("alloc::vec::Vec<app::Row>"),
            None,
            Some("alloc::boxed::Box<a::Node>"),
            Some("alloc::vec::Vec<app::Row>"),
            Some("alloc::boxed::Box<b::Node>"),
        ];
        let traces = names.iter().map(|name| {
            let stack = Traceback::of(Frame::new("a", 1));
            let stack = match name {
                Some(name) => stack.with_type_name(*name),
                None => stack,
            };
            Trace::new(Domain::HEAP, 10, stack)
        });
        let snapshot = Snapshot::from_traces(traces, 9);
        for counting in [Counting::Own, Counting::Inclusive, Counting::Cumulative] {
            let statistics = snapshot.statistics_with(GroupBy::Type, counting).unwrap();
            let shown: Vec<String> = statistics.iter().map(ToString::to_string).collect();
            assert_eq!(
                shown,
                [
                    "Vec<Row>: size=20 B, count=2, average=10 B",
                    "alloc::boxed::Box<b::Node>: size=10 B, count=1, average=10 B",
                    "alloc::boxed::Box<a::Node>: size=10 B, count=1, average=10 B",
                    "<unknown>: size=10 B, count=1, average=10 B",
                ]
            );
        }
    }

    #[test]
    fn two_snapshots_share_their_groups() {
        let (old, new) = (
            snapshot(&[&[("a", 1)], &[("b", 1)]]),
            snapshot(&[&[("c", 1)], &[("b", 1)]]),
        );
        let mut grouping = Grouping::new(GroupBy::Line, Counting::Own);
        let counts = |totals: Vec<Total>| totals.iter().map(|t| t.count).collect::<Vec<_>>();
        assert_eq!(counts(grouping.totals(&old)), [1, 1]);
        assert_eq!(counts(grouping.totals(&new)), [0, 1, 1]);
    }
}
