//! Who called whom: the stacks of a snapshot joined where they are alike.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use super::frame::Frame;
use super::group_by::GroupBy;
use super::grouping::{FrameGroups, stack_sums};
use super::runs::Run;
use super::total::{Estimate, Sum, Total};
use super::trace::Snapshot;

/// The end of the stacks that a [`CallTree`] begins at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallOrder {
    /// The oldest frame is the root, and what it called stands below it.
    #[default]
    TopDown,
    /// The frame that made the allocation is the root, and its callers stand below it.
    BottomUp,
}

/// The calling-context tree of a snapshot: each node is a call together with the calls that led to
/// it. Made by [`Snapshot::call_tree`].
pub struct CallTree {
    /// The first one stands for the snapshot; its children are the roots. Children come after
    /// their parent. Flat, because a stack may be deeper than what recursion could follow.
    nodes: Vec<Node>,
}

struct Node {
    frame: Frame,
    total: Total,
    own: Total,
    /// Largest first.
    children: Vec<usize>,
}

/// One node of a [`CallTree`].
#[derive(Clone, Copy)]
pub struct CallNode<'a> {
    tree: &'a CallTree,
    index: usize,
}

impl CallTree {
    /// The ends that stacks begin at, largest first: as [`CallNode::children`].
    pub fn roots(&self) -> impl DoubleEndedIterator<Item = CallNode<'_>> + ExactSizeIterator {
        let whole = CallNode {
            tree: self,
            index: 0,
        };
        whole.children()
    }
}

impl fmt::Debug for CallTree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<CallTree len={}>", self.nodes.len() - 1)
    }
}

impl<'a> CallNode<'a> {
    fn node(self) -> &'a Node {
        &self.tree.nodes[self.index]
    }

    /// The frame, as the way of grouping shows it.
    pub fn frame(self) -> &'a Frame {
        &self.node().frame
    }

    /// Bytes of all blocks whose stack leads through this node.
    pub fn size(self) -> u64 {
        self.node().total.size
    }

    /// Number of blocks whose stack leads through this node.
    pub fn count(self) -> u64 {
        self.node().total.count
    }

    /// Bytes of the blocks whose stack ends at this node.
    pub fn own_size(self) -> u64 {
        self.node().own.size
    }

    /// Number of blocks whose stack ends at this node.
    pub fn own_count(self) -> u64 {
        self.node().own.count
    }

    /// The next frames of the stacks: by bytes, then blocks, then frame, all descending.
    pub fn children(self) -> impl DoubleEndedIterator<Item = CallNode<'a>> + ExactSizeIterator {
        let tree = self.tree;
        let children = self.node().children.iter();
        children.map(move |&index| CallNode { tree, index })
    }
}

impl fmt::Debug for CallNode<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frame, size, count) = (self.frame(), self.size(), self.count());
        write!(out, "<CallNode {frame} size={size} count={count}>")
    }
}

impl Snapshot {
    /// The stacks, joined at the end where `order` begins as far as their frames are in the same
    /// groups.
    ///
    /// Frames that follow each other within one file or crate are one node for [`GroupBy::File`]
    /// and [`GroupBy::Crate`]. [`GroupBy::Traceback`] is taken as [`GroupBy::Line`]. Sums stop at
    /// `u64::MAX`, and are estimates if the snapshot is [sampled](Self::sample_every).
    ///
    /// ```
    /// use tracemalloc::{CallOrder, Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let stack = |lines: &[u32]| {
    ///     let frames = lines.iter().map(|&line| Frame::new("src/main.rs", line));
    ///     Traceback::from_oldest_first(frames).unwrap()
    /// };
    /// let block = |size, lines: &[u32]| Trace::new(Domain::HEAP, size, stack(lines));
    /// let snapshot = Snapshot::from_traces([block(30, &[3, 8]), block(12, &[3, 17])], 2);
    /// let tree = snapshot.call_tree(GroupBy::Line, CallOrder::TopDown);
    /// let main = tree.roots().next().unwrap();
    /// assert_eq!((main.frame().to_string(), main.size()), ("src/main.rs:3".to_owned(), 42));
    /// let sizes: Vec<u64> = main.children().map(|call| call.size()).collect();
    /// assert_eq!(sizes, [30, 12]);
    /// ```
    pub fn call_tree(&self, group_by: GroupBy, order: CallOrder) -> CallTree {
        match self.weights() {
            None => grown(self, group_by, order, Total::of, |sum| sum),
            Some(sampling) => {
                let estimate = |run: &Run, count| Estimate::of(sampling, run, count);
                grown(self, group_by, order, estimate, Estimate::rounded)
            }
        }
    }
}

fn grown<S: Sum>(
    snapshot: &Snapshot,
    group_by: GroupBy,
    order: CallOrder,
    amount: impl Fn(&Run, u64) -> S,
    rounded: impl Fn(S) -> Total,
) -> CallTree {
    let mut growing = Growing::new(group_by);
    let mut frames = Vec::new();
    for (stack, blocks) in snapshot.stacks().iter().zip(stack_sums(snapshot, amount)) {
        if blocks.is_of_nothing() {
            continue;
        }
        match order {
            CallOrder::TopDown => {
                stack.list_into(&mut frames);
                growing.add(frames.iter().copied(), blocks);
            }
            CallOrder::BottomUp => growing.add(stack.newest_first(), blocks),
        }
    }
    growing.finish(rounded)
}

/// A tree to which stacks are still added.
struct Growing<'a, S> {
    group_by: GroupBy,
    groups: FrameGroups<'a>,
    numbers: HashMap<(usize, u32), usize>,
    calls: Vec<Call<S>>,
}

struct Call<S> {
    parent: usize,
    group: u32,
    /// What the frames of this node share. Not those of the group: the same line may be in another
    /// function below another caller.
    frame: Option<Frame>,
    total: S,
    own: S,
}

impl<'a, S: Sum> Growing<'a, S> {
    fn new(group_by: GroupBy) -> Self {
        Self {
            group_by,
            groups: FrameGroups::new(group_by),
            numbers: HashMap::new(),
            calls: vec![Call::new(0, u32::MAX, None)],
        }
    }

    fn add(&mut self, frames: impl Iterator<Item = &'a Frame>, blocks: S) {
        let joins = matches!(self.group_by, GroupBy::File | GroupBy::Crate);
        let mut at = 0;
        for frame in frames {
            let group = self.groups.group(frame);
            if joins && at != 0 && self.calls[at].group == group {
                continue;
            }
            at = self.child(at, group, frame);
            self.calls[at].total.add(blocks);
        }
        self.calls[at].own.add(blocks);
    }

    fn child(&mut self, parent: usize, group: u32, frame: &Frame) -> usize {
        let next = self.calls.len();
        let number = *self.numbers.entry((parent, group)).or_insert(next);
        match self.calls.get_mut(number) {
            None => self
                .calls
                .push(Call::new(parent, group, Some(frame.clone()))),
            Some(call) => call.share(frame),
        }
        number
    }

    fn finish(self, rounded: impl Fn(S) -> Total) -> CallTree {
        let label = |call: &Call<S>| match &call.frame {
            Some(frame) => self.group_by.label(frame),
            None => Frame::named(""),
        };
        let mut nodes: Vec<Node> = self
            .calls
            .iter()
            .map(|call| Node {
                frame: label(call),
                total: rounded(call.total),
                own: rounded(call.own),
                children: Vec::new(),
            })
            .collect();
        let mut order: Vec<usize> = (1..nodes.len()).collect();
        order.sort_by_cached_key(|&index| {
            let node = &nodes[index];
            Reverse((node.total.size, node.total.count, node.frame.clone()))
        });
        for index in order {
            nodes[self.calls[index].parent].children.push(index);
        }
        CallTree { nodes }
    }
}

impl<S: Sum> Call<S> {
    fn new(parent: usize, group: u32, frame: Option<Frame>) -> Self {
        Self {
            parent,
            group,
            frame,
            total: S::default(),
            own: S::default(),
        }
    }

    fn share(&mut self, frame: &Frame) {
        if let Some(shared) = &mut self.frame
            && !shared.same(frame)
        {
            *shared = shared.shared_with(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::snapshot::trace::{Domain, Trace};
    use crate::snapshot::traceback::Traceback;

    fn snapshot(blocks: &[(u64, &[&str])]) -> Snapshot {
        let traces = blocks.iter().map(|(size, names)| {
            let frames = names.iter().map(|name| {
                let (file, function) = name.split_once('/').unwrap();
                let line = u32::from(function.as_bytes()[0]);
                Frame::new(file, line).with_function(function)
            });
            let stack = Traceback::from_oldest_first(frames).unwrap();
            Trace::new(Domain::HEAP, *size, stack)
        });
        Snapshot::from_traces(traces, 9)
    }

    /// The nodes, parents before children, each as `DEPTH NAME SIZE COUNT OWN_SIZE`.
    fn shown(tree: &CallTree) -> Vec<String> {
        let mut lines = Vec::new();
        let mut stack: Vec<(usize, CallNode<'_>)> = tree.roots().rev().map(|n| (0, n)).collect();
        while let Some((depth, node)) = stack.pop() {
            let (frame, size, count) = (node.frame(), node.size(), node.count());
            lines.push(format!(
                "{depth} {frame} {size} {count} {}",
                node.own_size()
            ));
            stack.extend(node.children().rev().map(|child| (depth + 1, child)));
        }
        lines
    }

    #[track_caller]
    fn check(blocks: &[(u64, &[&str])], group_by: GroupBy, order: CallOrder, lines: &[&str]) {
        let tree = snapshot(blocks).call_tree(group_by, order);
        assert_eq!(shown(&tree), lines);
    }

    const BLOCKS: [(u64, &[&str]); 4] = [
        (5, &["m/main", "m/run", "l/read"]),
        (9, &["m/main", "m/run", "l/walk", "l/walk", "l/read"]),
        (7, &["m/main", "m/run"]),
        (5, &["m/main", "m/run", "l/read"]),
    ];

    /// One line in two functions, each below a caller of its own.
    #[test]
    fn a_line_bears_the_function_of_its_own_stack() {
        let traces = [("a", "app::f"), ("b", "app::g")].map(|(caller, function)| {
            let frames = [
                Frame::new(caller, 1),
                Frame::new("m", 7).with_function(function),
            ];
            let stack = Traceback::from_oldest_first(frames).unwrap();
            Trace::new(Domain::HEAP, 10, stack)
        });
        let tree = Snapshot::from_traces(traces, 2).call_tree(GroupBy::Line, CallOrder::TopDown);
        for root in tree.roots() {
            let function = if root.frame().filename() == "a" {
                "app::f"
            } else {
                "app::g"
            };
            let child = root.children().next().unwrap();
            assert_eq!(child.frame().function(), Some(function));
        }
    }

    #[test]
    fn stacks_are_joined_at_either_end() {
        check(
            &BLOCKS,
            GroupBy::Function,
            CallOrder::TopDown,
            &[
                "0 main 26 4 0",
                "1 run 26 4 7",
                "2 read 10 2 10",
                "2 walk 9 1 0",
                "3 walk 9 1 0",
                "4 read 9 1 9",
            ],
        );
        check(
            &BLOCKS,
            GroupBy::Function,
            CallOrder::BottomUp,
            &[
                "0 read 19 3 0",
                "1 run 10 2 0",
                "2 main 10 2 10",
                "1 walk 9 1 0",
                "2 walk 9 1 0",
                "3 run 9 1 0",
                "4 main 9 1 9",
                "0 run 7 1 0",
                "1 main 7 1 7",
            ],
        );
    }

    #[test]
    fn neighbours_of_one_file_are_one_node() {
        check(
            &BLOCKS,
            GroupBy::File,
            CallOrder::TopDown,
            &["0 m:0 26 4 7", "1 l:0 19 3 19"],
        );
    }

    #[test]
    fn equal_sizes_are_ordered_by_count_then_name_descending() {
        let blocks: [(u64, &[&str]); 4] =
            [(4, &["a/a"]), (4, &["a/b"]), (2, &["a/c"]), (2, &["a/c"])];
        check(
            &blocks,
            GroupBy::Function,
            CallOrder::TopDown,
            &["0 c 4 2 4", "0 b 4 1 4", "0 a 4 1 4"],
        );
    }

    /// A node's estimate is that of the whole node, not a sum of rounded ones.
    #[test]
    fn estimates_are_rounded_per_node() {
        let period = NonZeroU64::new(1000).unwrap();
        let sampled = snapshot(&BLOCKS).with_sample_every(period);
        let tree = sampled.call_tree(GroupBy::Function, CallOrder::TopDown);
        let main = tree.roots().next().unwrap();
        assert_eq!(
            (main.size(), main.count()),
            (sampled.total_size(), sampled.block_count())
        );
    }

    /// As deep as a file may say; recursion would end the process here.
    #[test]
    fn a_deep_stack_is_no_recursion() {
        let frames = (0..1 << 17).map(|line| Frame::new("a", line));
        let stack = Traceback::from_oldest_first(frames).unwrap();
        let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 1, stack)], 1);
        let tree = snapshot.call_tree(GroupBy::Line, CallOrder::BottomUp);
        assert_eq!(shown(&tree).len(), 1 << 17);
    }
}
