//! Walks the stack by the program's call-frame information, without frame pointers.
//!
//! What has to be done to get from a function to its caller depends on the return address alone: it
//! is worked out once from `.eh_frame` and kept as one word, a [`Row`](row::Row). The walk is then a
//! look-up and two loads per frame.
//!
//! The row form covers what compilers emit for ordinary functions. Anything else makes the walk give
//! up and the platform's unwinder read the whole stack: signal frames, procedure linkage tables,
//! realigned stacks, code without call-frame information, code that could be unloaded, and stacks
//! whose bounds are not known. So a stack is read exactly, or by somebody else.

mod modules;
mod row;
mod rows;
mod scratch;
mod stack;
#[cfg(test)]
mod tests;
mod walk;

use super::portable;
use super::{Captured, Mark};
use crate::engine::arena::Arena;

use modules::Modules;
use rows::Rows;
use scratch::Scratch;
use stack::MainStack;

/// What is known of the program's code and of the main thread's stack.
pub(crate) struct Unwinder {
    modules: Modules,
    rows: Rows,
    scratch: Scratch,
    main_stack: MainStack,
    /// Reads the stacks that this one gives up on.
    portable: portable::Unwinder,
}

impl Unwinder {
    pub(crate) const fn new() -> Self {
        Self {
            modules: Modules::new(),
            rows: Rows::new(),
            scratch: Scratch::new(),
            main_stack: MainStack::new(),
            portable: portable::Unwinder::new(),
        }
    }

    /// Finds the modules, so that no allocation has to ask the loader.
    pub(crate) fn prepare(&self, arena: &Arena) {
        self.modules.prepare();
        self.main_stack.prepare();
        self.rows.prepare(arena);
        self.portable.prepare(arena);
    }

    /// Fills `buffer` with the return addresses of this thread's stack beyond `mark`.
    #[inline(never)]
    pub(crate) fn capture(&self, arena: &Arena, mark: Mark, buffer: &mut [usize]) -> Captured {
        self.walk(arena, mark, buffer)
            .unwrap_or_else(|| self.portable.capture(arena, mark, buffer))
    }
}
