//! Stacks that are not known, as those of coroutines: the program may unmap them at any time.
//!
//! A base stack keeps the pages of such stacks that its words are in. Before any of them is
//! compared, the system is asked about those pages; if one is gone, so is the base stack. Entries
//! of such a base stack start at addresses that no stack pointer has, so that the usual look-up,
//! which asks nobody, passes them over:
//!
//! ```text
//! usual look-up: start            no entry starts there
//! then here:     are the pages of both base stacks there?  then look-up: start + FOREIGN
//! ```

use super::base_stack::BaseStack;
use super::{Candidate, Entry, StackCache, probe};
use crate::engine::stacks::StackId;
use crate::engine::unwind::Caller;
use crate::engine::unwind::cfi::reader::Reader;

/// Added to the stack pointer at which an entry starts. Stack pointers are multiples of 8.
const FOREIGN: usize = 1;

impl Caller {
    /// Where entries start whose words are not all on known stacks.
    pub(super) fn foreign(self) -> Self {
        Self {
            sp: self.sp | FOREIGN,
            ..self
        }
    }

    /// What [`Caller::foreign`] was made of.
    pub(super) fn plain(self) -> Self {
        Self {
            sp: self.sp & !FOREIGN,
            ..self
        }
    }
}

impl Entry {
    pub(super) fn is_foreign(&self) -> bool {
        self.start.sp & FOREIGN != 0
    }

    /// The stack pointer that it starts with.
    pub(super) fn stack_pointer(&self) -> usize {
        self.start.plain().sp
    }
}

impl StackCache {
    /// The stack of `start` and its callers as [`StackCache::recall`] has it, of which something
    /// was read on a stack that is not known. Afterwards all pages that the base stacks speak of
    /// can be read.
    pub(in crate::engine) fn recall_foreign(
        &mut self,
        start: Caller,
        max_frames: usize,
    ) -> Option<StackId> {
        let mut foreign = false;
        for base_stack in self.base_stacks.both() {
            if !base_stack.is_readable(start) {
                base_stack.cut(0);
            }
            foreign |= !base_stack.pages.is_empty();
        }
        foreign.then(|| self.recall(start.foreign(), max_frames, Candidate::UNKNOWN))?
    }
}

impl BaseStack {
    /// True if all of its words can be read, for a thread that runs at `start`.
    fn is_readable(&self, start: Caller) -> bool {
        let running = running_page(start.sp);
        let mut pages = self.pages.iter();
        pages.all(|page| page == running || probe::is_readable(page))
    }

    /// True if all words of `entry`, and those of the base stack from there on, are on known
    /// stacks, or it is a foreign one and they are in pages that the system is asked about.
    pub(super) fn covers(&self, entry: &Entry) -> bool {
        if !entry.is_foreign() {
            return (entry.attachment.at as usize) < self.known;
        }
        let running = running_page(entry.stack_pointer());
        let words = entry.words.get(..entry.len as usize);
        let covered = |address| self.pages.hold(address) || probe::page_of(address) == running;
        words.is_some_and(|words| words.iter().all(|word| covered(word.address)))
    }

    /// Where an entry starts that was walked from `start` to frame `at`, reading the pages of
    /// `reader`.
    pub(super) fn start_of(&self, at: usize, start: Caller, reader: &Reader) -> Caller {
        if at < self.known && reader.pages.is_empty() {
            start
        } else {
            start.foreign()
        }
    }

    /// Takes the pages that a walk to it has read besides. `None` if there are too many.
    pub(super) fn add_pages(&mut self, reader: &Reader) -> Option<()> {
        let mut pages = reader.pages.iter();
        pages.try_for_each(|page| self.pages.insert(page))?;
        (!reader.overflowed).then_some(())
    }
}

/// The page that the tracer's own frames are in, below the function that runs with `stack_pointer`.
fn running_page(stack_pointer: usize) -> usize {
    probe::page_of(stack_pointer.wrapping_sub(1))
}
