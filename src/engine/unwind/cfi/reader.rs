//! The memory that one walk may read.
//!
//! On a known stack everything from the stack pointer to its end is readable. On any other the walk
//! asks the system about each page before it reads there, and remembers the answer for this one
//! walk alone: the program may unmap such memory at any time.

use super::probe::{PAGE, is_readable, page_of};
use super::rule::UnwindRule;
use super::stack::{MainStack, OwnStack};
use super::word::{Word, read};
use crate::engine::unwind::Caller;

/// Largest frame on a stack that is not known, in bytes.
const LARGEST_FRAME: usize = 1 << 20;
/// Pages that are kept in mind: mostly one or two of each stack.
const PAGES: usize = 16;

/// Pages of stacks that are not known, found to be readable. All zeros: none.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Pages {
    list: [usize; PAGES],
    len: usize,
}

impl Pages {
    pub(in crate::engine) const NONE: Self = Self {
        list: [0; PAGES],
        len: 0,
    };

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = usize> {
        self.list.iter().take(self.len).copied()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(in crate::engine) fn hold(&self, address: usize) -> bool {
        self.iter().any(|page| page == page_of(address))
    }

    /// `None` if there is no room for the page of `address`.
    pub(in crate::engine) fn insert(&mut self, address: usize) -> Option<()> {
        if !self.hold(address) {
            *self.list.get_mut(self.len)? = page_of(address);
            self.len += 1;
        }
        Some(())
    }
}

/// What one walk knows of the memory that it reads.
pub(in crate::engine) struct Reader<'a> {
    main: &'a MainStack,
    pub(in crate::engine) own: OwnStack,
    /// Pages that are on no known stack.
    pub(in crate::engine) pages: Pages,
    /// There were more such pages than are kept in mind.
    pub(in crate::engine) overflowed: bool,
    /// The stack that the walk has come to is not known.
    foreign: bool,
}

impl<'a> Reader<'a> {
    pub(in crate::engine) fn new(main: &'a MainStack, own: OwnStack) -> Self {
        Self {
            main,
            own,
            pages: Pages::NONE,
            overflowed: false,
            foreign: false,
        }
    }

    /// Where the memory ends that may be read from `stack_pointer` on, with which the thread runs.
    #[inline]
    pub(in crate::engine) fn begin(&mut self, stack_pointer: usize) -> usize {
        match self.own.end_of_running(self.main, stack_pointer) {
            Some(end) => end,
            None => self.begin_elsewhere(stack_pointer),
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_elsewhere(&mut self, stack_pointer: usize) -> usize {
        // The tracer's own frames lie right below.
        let page = page_of(stack_pointer.wrapping_sub(1));
        self.keep(page);
        self.foreign = true;
        page.wrapping_add(PAGE)
    }

    /// Where the memory ends that may be read from `stack_pointer` on, of the stack that the walk
    /// was led to.
    #[cold]
    pub(in crate::engine) fn switch_to(&mut self, stack_pointer: usize) -> usize {
        let known = self.own.end_of_running(self.main, stack_pointer);
        self.foreign = known.is_none();
        known.unwrap_or(stack_pointer)
    }

    /// The stack that the walk has come to is not known.
    pub(in crate::engine) fn is_foreign(&self) -> bool {
        self.foreign
    }

    fn known_end(&self, address: usize) -> Option<usize> {
        self.own
            .end_of(address)
            .or_else(|| self.main.end_of(address))
    }

    /// How far the stack of `frame` can be read, if that is further than to `end` and far enough
    /// for a plain step by `rule`.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn further(
        &mut self,
        frame: Caller,
        rule: UnwindRule,
        end: usize,
    ) -> Option<usize> {
        if !self.foreign {
            return None;
        }
        let base = rule.base(frame.sp, frame.fp)?;
        let cfa = base.wrapping_add_signed(rule.cfa_offset());
        let size = cfa.checked_sub(frame.sp)?;
        if cfa <= end || size > LARGEST_FRAME {
            return None;
        }
        let mut page = page_of(end);
        while page < cfa {
            if !self.may_read(page) {
                return None;
            }
            page = page.checked_add(PAGE)?;
        }
        Some(page)
    }

    /// The word at `address`, if it can be read. From `stack_pointer` to `end` it can.
    #[cold]
    pub(in crate::engine) fn read(
        &mut self,
        address: usize,
        stack_pointer: usize,
        end: usize,
    ) -> Option<Word> {
        if !address.is_multiple_of(8) {
            return None;
        }
        let may_read = (stack_pointer..end).contains(&address)
            || self.known_end(address).is_some()
            || self.may_read(address);
        if !may_read {
            return None;
        }
        // SAFETY: aligned, and readable.
        let value = unsafe { read(address) };
        Some(Word { address, value })
    }

    /// Asks the system about the page of `address`, unless this walk has asked before.
    fn may_read(&mut self, address: usize) -> bool {
        if self.pages.hold(address) {
            return true;
        }
        let readable = is_readable(address);
        if readable {
            self.keep(address);
        }
        readable
    }

    fn keep(&mut self, address: usize) {
        self.overflowed |= self.pages.insert(address).is_none();
    }
}
