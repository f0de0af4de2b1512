//! Fills the cache: the walk that keeps what it reads.

use super::base_stack::{BaseStack, MAX_BASE_FRAMES};
use super::{BEYOND, MAX_ENTRY_FRAMES, MAX_FRAMES, StackCache, StepKind, Tables, WalkedFrame};
use crate::engine::memory::arena::Arena;
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::unwind::Caller;
use crate::engine::unwind::cfi::Unwinder;
use crate::engine::unwind::cfi::reader::Reader;
use crate::engine::unwind::cfi::rule::UnwindRule;
use crate::engine::unwind::cfi::walk::{NoStep, no_step, step, unusual_step};
use crate::engine::unwind::cfi::word::Word;

/// Where an unusual step leads.
enum Step {
    To(Caller),
    /// Nowhere.
    Root(Path),
}

/// Where a walk has ended.
#[derive(Clone, Copy)]
enum End {
    /// At this frame of the base stack, whose words are unchanged.
    BaseStack(usize),
    /// At the oldest frame, or beyond all frames that were asked for.
    Root(Path),
}

impl Tables<'_> {
    /// Fills `walked` with a frame from which there is no plain step, and returns where the step
    /// leads that there is. `None` if it cannot be remembered.
    #[cold]
    #[inline(never)]
    fn step_over(
        self,
        frame: Caller,
        rule: UnwindRule,
        end: usize,
        reader: &mut Reader,
        walked: &mut WalkedFrame,
    ) -> Option<Step> {
        let by_fp = rule.needs_frame_pointer();
        match no_step(frame, rule, end) {
            NoStep::Oldest(slot) => {
                *walked = WalkedFrame::oldest(frame, by_fp, slot);
                return Some(Step::Root(Path::COMPLETE));
            }
            NoStep::UnknownCode => {
                *walked = WalkedFrame::oldest(frame, by_fp, None);
                return Some(Step::Root(Path::INCOMPLETE));
            }
            NoStep::Unusual => {}
        }
        let over = unusual_step(frame, rule, end, reader)?;
        let rule = |pc| self.unwinder.rule(self.arena, pc);
        // Frames are remembered by their addresses, so the step from there must be the same whether
        // it is the address of a call or not.
        let pc = over.caller.pc;
        if over.interrupted && rule(pc) != rule(pc.wrapping_add(1)) {
            return None;
        }
        *walked = WalkedFrame::over(frame, by_fp, &over, end);
        Some(Step::To(over.caller))
    }
}

impl StackCache {
    /// The stack of `caller`, by a walk that fills the cache. `None` if the walk needs a step that cannot
    /// be cached, or there is no memory for a new stack.
    ///
    /// At least `max_frames` frames are read, if there are as many. The stack may have more than those.
    pub(crate) fn fill(
        &mut self,
        arena: &Arena,
        unwinder: &Unwinder,
        stacks: &Stacks,
        caller: Caller,
        max_frames: usize,
    ) -> Option<StackId> {
        let tables = Tables {
            arena,
            unwinder,
            stacks,
        };
        unwinder.with_room(arena, || self.walk(tables, caller, max_frames))
    }

    /// Walks from `start` to the base stack, or all the way. `None` if `max_frames` frames are more
    /// than can be remembered, a step cannot be, or there is no room for a new stack.
    fn walk(&mut self, tables: Tables, start: Caller, max_frames: usize) -> Option<StackId> {
        if max_frames > MAX_FRAMES {
            return None;
        }
        if let Some(stack) = self.recall_foreign(start, max_frames) {
            return Some(stack);
        }
        let mut reader = Reader::new(&tables.unwinder.main_stack, self.own);
        let followed = self.follow(tables, start, max_frames, &mut reader);
        self.own = reader.own;
        let (count, end) = followed?;
        let base = match end {
            End::BaseStack(at) => at + 1,
            End::Root(_) => 0,
        };
        if base + count > MAX_BASE_FRAMES {
            self.base_stacks.recent().cut(0);
            return self.walk(tables, start, max_frames);
        }
        if let End::BaseStack(at) = end
            && count <= MAX_ENTRY_FRAMES
        {
            if self.base_stacks.recent().add_pages(&reader).is_none() {
                self.base_stacks.recent().cut(0);
                return self.walk(tables, start, max_frames);
            }
            let from = self.base_stacks.recent().start_of(at, start, &reader);
            if let Some(stack) = self.insert_entry(tables, from, count, at) {
                return stack;
            }
        }
        self.grow_base_stack(tables, start, count, end, &reader)
    }

    /// Walks from `start` until the base stack is met or `max_frames` frames and some more are
    /// known. Fills `walked` and returns how many there are, and hashes the paths to them. `None`
    /// if a step cannot be remembered.
    #[inline(never)]
    fn follow(
        &mut self,
        tables: Tables,
        start: Caller,
        max_frames: usize,
        reader: &mut Reader,
    ) -> Option<(usize, End)> {
        let mut stack_end = reader.begin(start.sp);
        let enough = max_frames + BEYOND;
        let stacks = tables.stacks;
        // One by one, or they would not stay in registers.
        let Caller {
            mut pc,
            mut sp,
            mut fp,
        } = start;
        // Frames of the base stack that can still be met: those further out than the walk has got,
        // and than the last one that has changed.
        let base_stack = self.base_stacks.for_walk(sp);
        let mut unchanged = base_stack.len;
        let mut ahead = base_stack.ahead(sp, unchanged);
        let mut count = 0;
        let root = loop {
            if count == enough {
                break Path::TRUNCATED;
            }
            let frame = Caller { pc, sp, fp };
            while let Some((next, older)) = ahead.frames.split_last()
                && next.caller.sp <= frame.sp
            {
                ahead.frames = older;
                if next.is_at(frame) {
                    let at = ahead.start + older.len();
                    let frames = self.addresses.get(..count)?;
                    match hash_and_compare(
                        base_stack,
                        at,
                        stacks,
                        frames,
                        &mut self.paths,
                        max_frames,
                    ) {
                        None => return Some((count, End::BaseStack(at))),
                        Some(changed) => {
                            unchanged = changed;
                            ahead.cut(changed);
                        }
                    }
                }
            }
            let walked = self.walked.get_mut(count)?;
            *self.addresses.get_mut(count)? = frame.pc;
            count += 1;
            let rule = tables.unwinder.rule(tables.arena, frame.pc);
            let mut plain = step(frame, rule, stack_end);
            if plain.is_none()
                && let Some(further) = reader.further(frame, rule, stack_end)
            {
                stack_end = further;
                plain = step(frame, rule, stack_end);
            }
            let Some(step) = plain else {
                let caller = match tables.step_over(frame, rule, stack_end, reader, walked)? {
                    Step::To(caller) => caller,
                    Step::Root(root) => break root,
                };
                if walked.kind == StepKind::Beyond {
                    stack_end = reader.switch_to(caller.sp);
                    ahead = base_stack.ahead(caller.sp, unchanged);
                }
                Caller { pc, sp, fp } = caller;
                continue;
            };
            walked.caller = frame;
            walked.by_fp = rule.is_by_frame_pointer();
            walked.kind = StepKind::Plain;
            walked.return_word = Word {
                address: step.slots.return_address,
                value: step.return_word,
            };
            walked.fp_word = Word {
                address: step.slots.frame_pointer,
                value: step.caller.fp,
            };
            Caller { pc, sp, fp } = step.caller;
        };
        let frames = self.addresses.get(..count)?;
        stacks.hash_ahead(root, frames, &mut self.paths);
        Some((count, End::Root(root)))
    }

    /// Remembers the frames just walked as an entry at frame `at` of the base stack. `None` if they
    /// take too many words for that or are too large; `Some(None)` if there is no room for the
    /// stack.
    #[inline(never)]
    fn insert_entry(
        &mut self,
        tables: Tables,
        start: Caller,
        count: usize,
        at: usize,
    ) -> Option<Option<StackId>> {
        let fp = match count.checked_sub(1) {
            Some(last) => self.walked.get(last)?.fp_beyond(),
            None => start.fp,
        };
        let which = self.base_stacks.which();
        let base_stack = self.base_stacks.recent();
        let frame = *base_stack.frames.get(at)?;
        let sp = start.plain().sp;
        let attachment = base_stack.attachment(which, at, count, sp, fp)?;
        let entry = self.entries.replace(start, tables.arena.budget())?;
        let mut needs_fp = frame.needs_fp;
        let mut len = 0;
        for walked in self.walked.get(..count)?.iter().rev() {
            len = walked.put_words(needs_fp, &mut entry.words, len)?;
            needs_fp = walked.needs_fp(needs_fp);
        }
        let frames = self.addresses.get(..count)?;
        let paths = &mut self.paths;
        let Some(path) = tables
            .stacks
            .extend(tables.arena, frame.path, frames, paths)
        else {
            return Some(None);
        };
        entry.fill(start, needs_fp, path.stack, attachment, len);
        Some(Some(path.stack))
    }

    /// Puts the frames just walked on the base stack, in place of those that were there beyond the
    /// frame where they meet it.
    #[inline(never)]
    fn grow_base_stack(
        &mut self,
        tables: Tables,
        start: Caller,
        count: usize,
        end: End,
        reader: &Reader,
    ) -> Option<StackId> {
        let (base, len) = match end {
            End::BaseStack(at) => (self.base_stacks.recent().frames.get(at)?.path, at + 1),
            End::Root(root) => (root, 0),
        };
        self.base_stacks.keep(len);
        let which = self.base_stacks.which();
        let base_stack = self.base_stacks.recent();
        if let End::Root(root) = end {
            base_stack.truncated = root == Path::TRUNCATED;
        }
        let frames = self.addresses.get(..count)?;
        let paths = &mut self.paths;
        let path = tables.stacks.extend(tables.arena, base, frames, paths)?;
        let grown = base_stack.grow(self.walked.get(..count)?, self.paths.get(..count)?);
        let kept = grown.and_then(|()| base_stack.add_pages(reader));
        if kept.is_none() {
            base_stack.cut(0);
            return Some(path.stack);
        }
        if base_stack.known == len && reader.pages.is_empty() {
            base_stack.known = base_stack.len;
        }
        let at = base_stack.len.checked_sub(1)?;
        let start = base_stack.start_of(at, start, reader);
        let needs_fp = base_stack.frames.get(at)?.needs_fp;
        let sp = start.plain().sp;
        let attachment = base_stack.attachment(which, at, 0, sp, start.fp)?;
        let entry = self.entries.replace(start, tables.arena.budget())?;
        entry.fill(start, needs_fp, path.stack, attachment, 0);
        Some(path.stack)
    }
}

/// Hashes the paths to the `frames` that have been walked below frame `at` of the base stack, and
/// compares the base stack from there on, while the stack's memory is fetched: see
/// [`BaseStack::first_change`].
#[inline(never)]
fn hash_and_compare(
    base_stack: &BaseStack,
    at: usize,
    stacks: &Stacks,
    frames: &[usize],
    paths: &mut [Path],
    max_frames: usize,
) -> Option<usize> {
    let base = base_stack
        .frames
        .get(at)
        .map_or(Path::TRUNCATED, |frame| frame.path);
    stacks.hash_ahead(base, frames, paths);
    base_stack.first_change(at, at + 1 + frames.len(), max_frames)
}
