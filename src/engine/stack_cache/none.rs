//! The stack cache of back-ends that start from their own frame: it is always empty. Such a walk cannot
//! say which words it has read.

use crate::engine::memory::arena::{Arena, Zeroed};
use crate::engine::stacks::{StackId, Stacks};
use crate::engine::unwind::{Caller, OwnStack, Unwinder};

/// Always empty.
pub(crate) struct StackCache;

/// What a look-up has found out: nothing.
#[derive(Clone, Copy)]
pub(crate) struct Candidate;

impl Candidate {
    pub(crate) const NONE: Self = Self;
    pub(crate) const UNKNOWN: Self = Self;
}

// SAFETY: there is nothing that could be invalid.
unsafe impl Zeroed for StackCache {}

impl StackCache {
    /// Does nothing.
    pub(crate) fn clear(&mut self, _arena: &Arena) {}

    /// Nothing grows.
    pub(crate) fn has_grown(&self) -> bool {
        false
    }

    /// Does nothing.
    pub(crate) fn hand_over(&mut self) {}

    /// Nothing is known of the thread's own stack.
    pub(crate) fn own_stack(&self) -> OwnStack {
        OwnStack
    }

    /// Finds nothing.
    pub(crate) fn recall_fast(
        &self,
        _caller: Caller,
        _max_frames: usize,
    ) -> Result<StackId, Candidate> {
        Err(Candidate::NONE)
    }

    /// Finds nothing.
    pub(crate) fn recall(
        &self,
        _caller: Caller,
        _max_frames: usize,
        _candidate: Candidate,
    ) -> Option<StackId> {
        None
    }

    /// Walks nothing: the stack must be captured as a whole.
    pub(crate) fn fill(
        &mut self,
        _arena: &Arena,
        _unwinder: &Unwinder,
        _stacks: &Stacks,
        _caller: Caller,
        _max_frames: usize,
    ) -> Option<StackId> {
        None
    }
}
