//! Stacks merged by what a viewer sees of their frames: those that differ in nothing else are one.

use std::collections::HashMap;

use super::calls::calls;
use crate::snapshot::{CallOrder, Frame, Site, Snapshot};

/// Bytes and blocks of a stack in one snapshot. Sums stop at the greatest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) size: u64,
    pub(super) count: u64,
}

impl Amount {
    pub(super) fn new(size: u64, count: u64) -> Self {
        Self { size, count }
    }
}

/// The stacks of `N` snapshots, side by side.
pub(super) struct Merged<const N: usize> {
    /// In ascending order.
    pub(super) names: Vec<String>,
    /// Frames, in the order of the shape, as indices into `names`; in ascending order.
    pub(super) stacks: Vec<(Box<[u32]>, [Amount; N])>,
}

/// What part of a stack counts, and in which order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) order: CallOrder,
    /// The maximum number of frames of a stack, roots included.
    pub(super) max_frames: usize,
}

impl Shape {
    /// Whole stacks, oldest frame first.
    #[cfg(any(test, feature = "json"))]
    pub(super) const WHOLE: Self = Self {
        order: CallOrder::TopDown,
        max_frames: usize::MAX,
    };
}

/// What a viewer sees of a frame. The offset is that of the call which the frame is a part of.
pub(super) type Name = fn(&Frame, Option<u64>) -> String;

impl<const N: usize> Merged<N> {
    /// Frames called by `name`, and below the oldest one the `roots` that a site has.
    pub(super) fn new(
        snapshots: [&Snapshot; N],
        name: Name,
        roots: impl Fn(&Site<'_>) -> Vec<String>,
        shape: Shape,
    ) -> Self {
        let mut merging = Merging::new(name, shape);
        for (side, snapshot) in snapshots.into_iter().enumerate() {
            for site in snapshot.sites() {
                let mut amounts = [Amount::default(); N];
                amounts[side] = Amount::new(site.size, site.count);
                merging.add(&site, roots(&site), amounts);
            }
        }
        merging.finish()
    }

    /// Sites with the amounts that `amounts` gives each, otherwise as [`new`](Self::new).
    #[cfg(feature = "json")]
    pub(super) fn of_sites(
        sites: &[Site<'_>],
        name: Name,
        roots: impl Fn(&Site<'_>) -> Vec<String>,
        amounts: impl Fn(&Site<'_>) -> [Amount; N],
    ) -> Self {
        let mut merging = Merging::new(name, Shape::WHOLE);
        for site in sites {
            merging.add(site, roots(site), amounts(site));
        }
        merging.finish()
    }
}

struct Merging<const N: usize> {
    name: Name,
    /// By identity and offset. The snapshots are borrowed, so the identities stay theirs.
    frames: HashMap<(usize, Option<u64>), u32>,
    names: HashMap<String, u32>,
    stacks: HashMap<Box<[u32]>, [Amount; N]>,
    /// The stack at work.
    stack: Vec<u32>,
    shape: Shape,
}

impl<const N: usize> Merging<N> {
    fn new(name: Name, shape: Shape) -> Self {
        Self {
            name,
            frames: HashMap::new(),
            names: HashMap::new(),
            stacks: HashMap::new(),
            stack: Vec::new(),
            shape,
        }
    }

    fn add(&mut self, site: &Site<'_>, roots: Vec<String>, amounts: [Amount; N]) {
        self.stack.clear();
        for root in roots {
            let root = number(&mut self.names, root);
            self.stack.push(root);
        }
        let mut frames = Vec::new();
        site.stack.list_into(&mut frames);
        for call in calls(&frames) {
            let code = call.first().and_then(|frame| frame.code());
            let offset = code.map(|(_, offset)| offset);
            for frame in call {
                let frame = self.frame(frame, offset);
                self.stack.push(frame);
            }
        }
        if self.shape.order == CallOrder::BottomUp {
            self.stack.reverse();
        }
        self.stack.truncate(self.shape.max_frames);
        if !self.stacks.contains_key(&*self.stack) {
            let stack = self.stack.as_slice().into();
            self.stacks.insert(stack, [Amount::default(); N]);
        }
        if let Some(sums) = self.stacks.get_mut(&*self.stack) {
            for (sum, amount) in sums.iter_mut().zip(amounts) {
                sum.size = sum.size.saturating_add(amount.size);
                sum.count = sum.count.saturating_add(amount.count);
            }
        }
    }

    fn frame(&mut self, frame: &Frame, offset: Option<u64>) -> u32 {
        let key = (frame.identity(), offset);
        if let Some(name) = self.frames.get(&key) {
            return *name;
        }
        let name = number(&mut self.names, (self.name)(frame, offset));
        self.frames.insert(key, name);
        name
    }

    /// Puts names and stacks in order, so that equal snapshots make equal exports.
    fn finish(self) -> Merged<N> {
        let mut numbered: Vec<(String, u32)> = self.names.into_iter().collect();
        numbered.sort_unstable();
        let mut ranks = vec![0; numbered.len()];
        let mut names = Vec::with_capacity(numbered.len());
        for (rank, (name, number)) in (0..).zip(numbered) {
            ranks[number as usize] = rank;
            names.push(name);
        }
        let mut stacks: Vec<_> = self.stacks.into_iter().collect();
        for (stack, _) in &mut stacks {
            for frame in stack {
                *frame = ranks[*frame as usize];
            }
        }
        stacks.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Merged { names, stacks }
    }
}

fn number(names: &mut HashMap<String, u32>, name: String) -> u32 {
    let next = u32::try_from(names.len())
        .unwrap_or_else(|_| unreachable!("memory for 2^32 names does not exist"));
    *names.entry(name).or_insert(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Domain, Trace, Traceback};

    /// Each stack is on a line of its own; blocks of no bytes are in another domain.
    fn snapshot(stacks: &[(&[&str], u64)]) -> Snapshot {
        let trace = |(line, &(names, size)): (u32, &(&[&str], u64))| {
            let frames = names.iter().map(|name| Frame::new(*name, line));
            let stack = Traceback::from_oldest_first(frames).expect("a stack of some frames");
            Trace::new(Domain(u32::from(size == 0)), size, stack)
        };
        Snapshot::from_traces((1..).zip(stacks).map(trace), 9)
    }

    fn shown<const N: usize>(merged: &Merged<N>) -> Vec<String> {
        let stacks = merged.stacks.iter().map(|(stack, amounts)| {
            let names = stack.iter().map(|name| &*merged.names[*name as usize]);
            let amounts = amounts.map(|amount| format!("{}/{}", amount.size, amount.count));
            format!(
                "{} {}",
                names.collect::<Vec<_>>().join(";"),
                amounts.join(" ")
            )
        });
        stacks.collect()
    }

    #[test]
    fn stacks_of_the_same_names_are_one_and_in_order() {
        let old = snapshot(&[(&["b", "a"], 4), (&["a"], 1), (&["b", "a"], 3), (&["b"], 0)]);
        let new = snapshot(&[(&["c"], 9), (&["a"], 2)]);
        let roots = |site: &Site<'_>| vec!["root".to_owned(); site.domain.0 as usize];
        let name = |frame: &Frame, _| frame.filename().to_owned();
        assert_eq!(
            shown(&Merged::new([&old, &new], name, roots, Shape::WHOLE)),
            ["a 1/1 2/1", "b;a 7/2 0/0", "c 0/0 9/1", "root;b 0/1 0/0"]
        );
        // By their lines they are four.
        let name = |frame: &Frame, _| frame.to_string();
        assert_eq!(
            Merged::new([&old], name, roots, Shape::WHOLE).stacks.len(),
            4
        );
    }

    #[test]
    fn what_is_cut_counts_for_the_last_frame_that_stays() {
        let snapshot = snapshot(&[(&["a", "b", "c"], 4), (&["a", "b"], 1), (&["a", "x"], 2)]);
        let name = |frame: &Frame, _| frame.filename().to_owned();
        let merged = |order, max_frames| {
            let shape = Shape { order, max_frames };
            shown(&Merged::new([&snapshot], name, |_| Vec::new(), shape))
        };
        let top_down = |max_frames| merged(CallOrder::TopDown, max_frames);
        assert_eq!(top_down(3), ["a;b 1/1", "a;b;c 4/1", "a;x 2/1"]);
        assert_eq!(top_down(2), ["a;b 5/2", "a;x 2/1"]);
        assert_eq!(top_down(1), ["a 7/3"]);
        let bottom_up = |max_frames| merged(CallOrder::BottomUp, max_frames);
        assert_eq!(bottom_up(3), ["b;a 1/1", "c;b;a 4/1", "x;a 2/1"]);
        assert_eq!(bottom_up(1), ["b 1/1", "c 4/1", "x 2/1"]);
    }
}
