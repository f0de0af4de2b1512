//! Reads no stack: blocks are recorded with their size alone.

use super::{Captured, Mark};

pub(super) fn capture(_mark: Mark, _buffer: &mut [usize]) -> Captured {
    Captured {
        frames: 0,
        truncated: false,
    }
}
