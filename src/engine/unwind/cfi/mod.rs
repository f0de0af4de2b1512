//! Walks the stack by the program's call-frame information, without frame pointers.
//!
//! What has to be done to get from a function to its caller depends on the return address alone: it
//! is worked out once from `.eh_frame` and kept as one word, a [`UnwindRule`](rule::UnwindRule).
//! The walk is then a look-up and two loads per frame. The stack cache, a layer above, makes most
//! walks unnecessary.
//!
//! Frames of interrupted functions, aligned frames, and stacks that lead from one to another take a
//! step of their own kind. Anything else that call-frame information can say takes a general step
//! ([`general`]). The system unwinder is never called: it reads what cannot be read where that
//! information is wrong, and takes locks. Where nothing is known of the code, the stack ends and
//! says so.
//!
//! No step reads memory that may not be readable ([`reader`]).

mod arch;
mod expression;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod general;
mod information;
mod linked;
mod loaded;
mod modules;
pub(in crate::engine) mod probe;
pub(in crate::engine) mod reader;
pub(in crate::engine) mod rule;
mod rules;
mod scratch;
mod stack;
#[cfg(test)]
mod tests;
pub(in crate::engine) mod walk;
pub(in crate::engine) mod word;

use super::{Caller, Captured, Mark};
use crate::engine::memory::arena::Arena;

pub(crate) use arch::{entry, here};
pub(crate) use stack::OwnStack;

use loaded::Loaded;
use modules::Modules;
use reader::Reader;
use rules::UnwindRules;
use scratch::Scratch;
use stack::MainStack;

/// What is known of the program's code and of the main thread's stack.
pub(crate) struct Unwinder {
    modules: Modules,
    loaded: Loaded,
    rules: UnwindRules,
    scratch: Scratch,
    pub(in crate::engine) main_stack: MainStack,
}

impl Unwinder {
    pub(crate) const fn new() -> Self {
        Self {
            modules: Modules::new(),
            loaded: Loaded::new(),
            rules: UnwindRules::new(),
            scratch: Scratch::new(),
            main_stack: MainStack::new(),
        }
    }

    /// Finds the modules, so that no allocation has to ask the loader.
    pub(crate) fn prepare(&self, arena: &Arena) {
        self.modules.prepare();
        self.loaded.prepare();
        self.main_stack.prepare();
        self.rules.prepare(arena);
    }

    /// In the child of a fork: threads that are not there use nothing any more.
    pub(crate) fn forked(&self) {
        self.scratch.forked();
    }

    /// Fills `buffer` with the return addresses of this thread's stack from `caller` on, those
    /// beyond `mark`. `own`: what the thread knows of its own stack.
    #[inline(never)]
    pub(crate) fn capture(
        &self,
        arena: &Arena,
        caller: Caller,
        mark: Mark,
        own: OwnStack,
        buffer: &mut [usize],
    ) -> Captured {
        let mut reader = Reader::new(&self.main_stack, own);
        let walked = self.with_room(arena, || {
            self.walk(arena, caller, mark, &mut reader, buffer)
        });
        walked.unwrap_or_else(|captured| {
            let general = self.capture_generally(arena, mark, &mut reader, buffer);
            // Without room for that, the plain steps have come so far.
            general.unwrap_or(captured)
        })
    }

    /// Does what [`Unwinder::capture`] does by general steps alone. `None` without a stack to run
    /// on.
    #[cold]
    #[inline(never)]
    fn capture_generally(
        &self,
        arena: &Arena,
        mark: Mark,
        reader: &mut Reader,
        buffer: &mut [usize],
    ) -> Option<Captured> {
        // Here, and not on the other stack: it must be this one that is walked.
        let registers = arch::kept_registers();
        self.scratch.run(arena, || {
            self.walk_generally(registers, mark, reader, buffer)
        })
    }

    /// Runs `walk`, in a build without optimisation on a stack of the tracer's own: it would take
    /// more than a signal handler's may have. A walk gets the registers that it begins with, so it may run
    /// anywhere.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn with_room<R>(&self, arena: &Arena, mut walk: impl FnMut() -> R) -> R {
        if cfg!(debug_assertions) {
            self.scratch.run(arena, &mut walk).unwrap_or_else(walk)
        } else {
            walk()
        }
    }
}
