//! A stack of the tracer's own, for work that needs more room than a thread may have left.
//!
//! Reading call-frame information takes some kilobytes of stack, in a build without optimisation
//! more than ten, and there a walk takes three. An allocation may come from a thread or a signal
//! handler that has 8 or 16.

use std::ffi::c_void;

use super::arch::call_on;
use crate::engine::memory::arena::Arena;
use crate::engine::memory::buffers::Buffers;

/// Words of a scratch stack: 128 KiB, of which only what is used takes memory.
const WORDS: usize = 16 << 10;

/// Scratch stacks, lent to one piece of work at a time.
pub(super) struct Scratch(Buffers<WORDS>);

impl Scratch {
    pub(super) const fn new() -> Self {
        Self(Buffers::new())
    }

    /// In the child of a fork: takes back what threads have that are not there.
    pub(super) fn forked(&self) {
        self.0.forked();
    }

    /// Runs `task` on a scratch stack. `None` if there is none to be had.
    pub(super) fn run<R>(&self, arena: &Arena, task: impl FnOnce() -> R) -> Option<R> {
        self.0
            .lend(arena, WORDS, |memory| run_on(memory, task))
            .flatten()
    }
}

/// What goes over to the other stack and comes back.
struct Work<F, R> {
    task: Option<F>,
    result: Option<R>,
}

fn run_on<F: FnOnce() -> R, R>(memory: &mut [usize], task: F) -> Option<R> {
    let end = memory.as_mut_ptr_range().end.cast::<u8>();
    // Calls want the stack aligned to 16 bytes.
    let top = end.wrapping_sub(end.addr() % 16);
    let mut work = Work {
        task: Some(task),
        result: None,
    };
    // SAFETY: `top` is the aligned upper end of memory that nobody else uses while it is lent, and
    // more than the work needs. `perform` gets the work that it expects and does not unwind.
    unsafe { call_on((&raw mut work).cast(), perform::<F, R>, top) };
    work.result
}

/// # Safety
/// `work` points at a `Work<F, R>` that nobody else uses meanwhile.
unsafe extern "C" fn perform<F: FnOnce() -> R, R>(work: *mut c_void) {
    // SAFETY: the caller's promise.
    let work = unsafe { &mut *work.cast::<Work<F, R>>() };
    work.result = work.task.take().map(|task| task());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_other_stack_and_its_result_comes_back() {
        let (arena, scratch) = (Arena::new(), Scratch::new());
        let mut seen = Vec::new();
        for n in 0..3 {
            let text = String::from("moved there");
            let result = scratch.run(&arena, || {
                let there = 0_u8;
                seen.push(std::ptr::from_ref(&there).addr());
                // More than the smallest stacks have.
                let room = std::hint::black_box([n as u8; 40_000]);
                (text.len(), usize::from(room[n]))
            });
            assert_eq!(result, Some((11, n)));
        }
        // Free again, the first buffer is the one that is lent next.
        let lent = scratch.0.lend(&arena, WORDS, |memory| {
            let ends = memory.as_ptr_range();
            ends.start.addr()..ends.end.addr()
        });
        let lent = lent.expect("memory");
        assert!(
            seen.iter().all(|there| lent.contains(there)),
            "{seen:x?} in {lent:x?}"
        );
    }

    #[test]
    fn a_backtrace_leads_from_the_scratch_stack_to_its_caller() {
        let (arena, scratch) = (Arena::new(), Scratch::new());
        let names = scratch.run(&arena, || {
            let text = std::backtrace::Backtrace::force_capture().to_string();
            text.contains("a_backtrace_leads_from_the_scratch_stack_to_its_caller")
                && text.contains("call_on")
        });
        assert_eq!(names, Some(true));
    }

    #[test]
    fn without_memory_nothing_runs() {
        let (arena, scratch) = (Arena::new(), Scratch::new());
        arena.set_limit(0);
        assert_eq!(scratch.run(&arena, || 1), None);
    }
}
