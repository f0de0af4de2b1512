//! Allocations while a panic unwinds the stack. A build whose panics abort leaves them out.

use std::hint::black_box;
use std::panic;

use crate::{block, deep};

/// Allocates when it is dropped.
struct Dropped(usize);

impl Drop for Dropped {
    fn drop(&mut self) {
        block(self.0);
        deep::recursion(3, 1);
    }
}

#[inline(never)]
pub(crate) fn caught(round: usize) {
    if cfg!(panic = "unwind") {
        for n in 0..3 {
            let result = panic::catch_unwind(|| through(4 + (n + round) % 5));
            assert!(result.is_err());
        }
    }
}

#[inline(never)]
fn through(frames: usize) {
    let _dropped = Dropped(frames + 90);
    if black_box(frames) == 0 {
        // Without the hook: it would print.
        panic::resume_unwind(Box::new(format!("at {frames}")));
    }
    let nested = panic::catch_unwind(|| block(frames));
    assert!(nested.is_ok());
    through(frames - 1);
    block(16);
}
