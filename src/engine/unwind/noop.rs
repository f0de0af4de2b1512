//! Reads no stack: blocks are recorded with their size alone.

use super::{Caller, Captured, Mark};
use crate::engine::memory::arena::Arena;

/// Has no state.
pub(crate) struct Unwinder;

/// True: there are no stacks that could end anywhere.
pub(crate) fn is_known_code(_return_address: usize) -> bool {
    true
}

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
        _buffer: &mut [usize],
    ) -> Captured {
        Captured {
            frames: 0,
            truncated: false,
        }
    }
}
