//! Two trunks: a thread that takes two very different ways in turn, or goes from one stack to another
//! and back, walks neither of them anew.

use super::Branch;
use super::trunk::{Trunk, Version};

/// Frames that two trunks have in common are copied if there are no more than so many: this is done
/// whenever a walk leaves a trunk far behind.
const MOST_COPIED: usize = 128;

/// The last stacks that were walked and have little in common.
pub(super) struct Trunks {
    both: [Trunk; 2],
    /// The one that was walked to last, or that a branch was found on which had been on the other one.
    recent: u8,
}

impl Trunks {
    /// Forgets what both hold.
    pub(super) fn forget(&mut self) {
        for trunk in &mut self.both {
            trunk.cut(0);
        }
    }

    /// True if a walk that has come to the joint of `branch` would go on along the trunk that was last
    /// found to have that frame, and which has not become another one since.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn bears_at_once(&self, branch: &Branch, most: usize) -> bool {
        // There are two: with the remainder no bound is checked.
        let trunk = self.both.get(usize::from(branch.trunk % 2));
        trunk.is_some_and(|trunk| trunk.bears_at_once(branch, most))
    }

    /// The same of either trunk, whatever has become of it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn bears(&mut self, branch: &mut Branch, most: usize) -> bool {
        let [first, second] = &self.both;
        let trunk = if branch.trunk == 0 { first } else { second };
        trunk.bears(branch, most) || self.other_bears(branch, most)
    }

    /// The same of the trunk that the branch was not last found on.
    #[inline(never)]
    fn other_bears(&mut self, branch: &mut Branch, most: usize) -> bool {
        let [first, second] = &self.both;
        let (other, trunk) = if branch.trunk == 0 {
            (1, second)
        } else {
            (0, first)
        };
        // Its version may have the number of one of the first trunk's.
        branch.joined = Version::NONE;
        branch.trunk = other;
        let bears = trunk.bears(branch, most);
        if bears {
            self.recent = other;
        }
        bears
    }

    /// Which of them [`Trunks::recent`] is.
    pub(super) fn which(&self) -> u8 {
        self.recent
    }

    pub(super) fn recent(&mut self) -> &mut Trunk {
        let [first, second] = &mut self.both;
        if self.recent == 0 { first } else { second }
    }

    /// The trunk that a walk from `sp` is to go to, from now on the recent one: another one only if it
    /// has frames of the stack that `sp` is on, and the recent one has not.
    pub(super) fn for_walk(&mut self, sp: usize) -> &mut Trunk {
        let [first, second] = &self.both;
        let (recent, other) = if self.recent == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if other.end_of_stack(sp) < recent.end_of_stack(sp) {
            self.recent ^= 1;
        }
        self.recent()
    }

    /// A trunk with the `len` oldest frames of the recent one, from now on the recent one. If that
    /// would lose others and `len` is not too large, it is the other trunk that makes way.
    pub(super) fn keep(&mut self, len: usize) -> &mut Trunk {
        let [first, second] = &mut self.both;
        let (recent, other) = if self.recent == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if recent.len == len || len > MOST_COPIED {
            recent.cut(len);
        } else {
            other.copy(recent, len);
            self.recent ^= 1;
        }
        self.recent()
    }
}
