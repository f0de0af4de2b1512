//! Reads no stack: blocks are recorded with their size alone.

use super::{Caller, Captured, Mark, OwnStack, StackEnd};
use crate::engine::memory::arena::Arena;

/// Has no state.
pub(crate) struct Unwinder;

impl Unwinder {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn prepare(&self, _arena: &Arena) {}

    pub(crate) fn capture(
        &self,
        _arena: &Arena,
        _caller: Caller,
        _mark: Mark,
        _own: OwnStack,
        _buffer: &mut [usize],
    ) -> Captured {
        Captured {
            frames: 0,
            end: StackEnd::Oldest,
        }
    }
}
