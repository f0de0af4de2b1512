//! A thread's two base stacks. A thread that takes two very different call paths in turn, or switches
//! between two stacks, keeps both of them cached.

use super::Entry;
use super::attachment::Version;
use super::base_stack::BaseStack;

/// Maximum number of common frames that are copied from one base stack to the other. They are copied
/// whenever a walk leaves a base stack far behind.
const MAX_COPIED: usize = 128;

/// The last two stacks that were walked and have little in common.
#[repr(C)]
pub(super) struct BaseStacks {
    /// The number of the one that was used last: a walk has met it, or an entry has moved to it.
    recent: u8,
    both: [BaseStack; 2],
}

impl BaseStacks {
    /// Empties both.
    pub(super) fn clear(&mut self) {
        for base_stack in &mut self.both {
            base_stack.cut(0);
        }
    }

    /// Fast path of [`BaseStacks::is_valid`]: tries the base stack that `entry` was found on last, and
    /// only if that has not changed since.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_valid_fast(&self, entry: &Entry, max_frames: usize) -> bool {
        // There are two: with the remainder no bound is checked.
        let base_stack = self.both.get(usize::from(entry.attachment.base_stack % 2));
        base_stack.is_some_and(|base_stack| base_stack.is_valid_fast(entry, max_frames))
    }

    /// True if one of the base stacks has the attachment point of `entry`, and its words from there
    /// outwards are unchanged, as far as `max_frames` frames of the stack reach.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_valid(&mut self, entry: &mut Entry, max_frames: usize) -> bool {
        let [first, second] = &self.both;
        let base_stack = if entry.attachment.base_stack == 0 {
            first
        } else {
            second
        };
        base_stack.is_valid(entry, max_frames) || self.is_valid_on_other(entry, max_frames)
    }

    /// [`BaseStacks::is_valid`] for the base stack that the entry was not found on last.
    #[inline(never)]
    fn is_valid_on_other(&mut self, entry: &mut Entry, max_frames: usize) -> bool {
        let [first, second] = &self.both;
        let (other, base_stack) = if entry.attachment.base_stack == 0 {
            (1, second)
        } else {
            (0, first)
        };
        // Its version may have the number of one of the first base stack's.
        entry.attachment.version = Version::NONE;
        entry.attachment.base_stack = other;
        let is_valid = base_stack.is_valid(entry, max_frames);
        if is_valid {
            self.recent = other;
        }
        is_valid
    }

    pub(super) fn both(&mut self) -> &mut [BaseStack; 2] {
        &mut self.both
    }

    /// Which of them [`BaseStacks::recent`] is.
    pub(super) fn which(&self) -> u8 {
        self.recent
    }

    pub(super) fn recent(&mut self) -> &mut BaseStack {
        let [first, second] = &mut self.both;
        if self.recent == 0 { first } else { second }
    }

    /// The base stack that a walk from `sp` is to go to, from now on the recent one: another one
    /// only if it has frames of the stack that `sp` is on, and the recent one has not.
    pub(super) fn for_walk(&mut self, sp: usize) -> &mut BaseStack {
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

    /// A base stack with the `len` oldest frames of the recent one, from now on the recent one. If
    /// that would lose others and `len` is not too large, it is the other base stack that makes
    /// way.
    pub(super) fn keep(&mut self, len: usize) -> &mut BaseStack {
        let [first, second] = &mut self.both;
        let (recent, other) = if self.recent == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if recent.len == len || len > MAX_COPIED {
            recent.cut(len);
        } else {
            other.copy(recent, len);
            self.recent ^= 1;
        }
        self.recent()
    }
}
