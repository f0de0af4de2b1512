//! The walk that remembers what it reads.

use super::trunk::{TRUNK, Trunk, Version};
use super::{BEYOND, BRANCH_FRAMES, MOST, Memo, Tables, Walked, Way};
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::unwind::Caller;
use crate::engine::unwind::cfi::row::Row;
use crate::engine::unwind::cfi::walk::{NoStep, Word, no_step, step, unusual_step};

/// Where a walk that was cut short goes on.
#[derive(Clone, Copy)]
enum End {
    /// At this frame of the trunk.
    Trunk(usize),
    /// Nowhere: all frames were walked, or more than needed.
    Root(Path),
}

impl Tables<'_> {
    /// Fills `walked` with a frame from which there is no plain step, and returns its caller, if it has
    /// one. `None` if the step from there cannot be remembered.
    #[cold]
    #[inline(never)]
    fn step_over(
        self,
        frame: Caller,
        row: Row,
        end: usize,
        walked: &mut Walked,
    ) -> Option<Option<Caller>> {
        let by_fp = row.needs_frame_pointer();
        if let NoStep::Oldest(slot) = no_step(frame, row, end) {
            *walked = Walked::oldest(frame, by_fp, slot);
            return Some(None);
        }
        let stack = &self.unwinder.main_stack;
        let over = unusual_step(frame, row, end, |at| stack.end_of(at).is_some())?;
        let row = |pc| self.unwinder.row(self.arena, pc);
        // Frames are remembered by their addresses, so the step from there must be the same whether
        // it is the address of a call or not.
        let pc = over.caller.pc;
        if over.interrupted && row(pc) != row(pc.wrapping_add(1)) {
            return None;
        }
        *walked = Walked::over(frame, by_fp, &over, end);
        Some(Some(over.caller))
    }
}

impl Memo {
    /// Walks from `start` to the trunk, or all the way. `None` if `most` frames are more than can be
    /// remembered, a step cannot be, or there is no room for a new stack.
    pub(in super::super) fn walk(
        &mut self,
        tables: Tables,
        start: Caller,
        most: usize,
    ) -> Option<StackId> {
        if most > MOST {
            return None;
        }
        let (count, end) = self.follow(tables, start, most)?;
        let base = match end {
            End::Trunk(at) => at + 1,
            End::Root(_) => 0,
        };
        if base + count > TRUNK {
            self.trunks.recent().cut(0);
            return self.walk(tables, start, most);
        }
        if let End::Trunk(at) = end
            && count <= BRANCH_FRAMES
            && let Some(stack) = self.branch_off(tables, start, count, at)
        {
            return stack;
        }
        self.grow_trunk(tables, start, count, end)
    }

    /// Walks from `start` until the trunk is met or `most` frames and some more are known. Fills
    /// `walked` and returns how many there are, and hashes the paths to them. `None` if a step cannot
    /// be remembered.
    #[inline(never)]
    fn follow(&mut self, tables: Tables, start: Caller, most: usize) -> Option<(usize, End)> {
        let mut stack_end = tables.unwinder.main_stack.end_of_running(start.sp);
        let enough = most + BEYOND;
        let stacks = tables.stacks;
        // One by one, or they would not stay in registers.
        let Caller {
            mut pc,
            mut sp,
            mut fp,
        } = start;
        // Frames of the trunk that can still be met: those further out than the walk has got, and
        // than the last one that has changed.
        let trunk = self.trunks.for_walk(sp);
        let mut unchanged = trunk.len;
        let mut ahead = trunk.ahead(sp, unchanged);
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
                    match hash_and_compare(trunk, at, stacks, frames, &mut self.paths, most) {
                        None => return Some((count, End::Trunk(at))),
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
            let row = tables.unwinder.row(tables.arena, frame.pc);
            let Some(step) = step(frame, row, stack_end) else {
                let Some(caller) = tables.step_over(frame, row, stack_end, walked)? else {
                    break Path::COMPLETE;
                };
                if walked.way == Way::Beyond {
                    stack_end = tables.unwinder.main_stack.end_of_running(caller.sp);
                    ahead = trunk.ahead(caller.sp, unchanged);
                }
                Caller { pc, sp, fp } = caller;
                continue;
            };
            walked.caller = frame;
            walked.by_fp = row.is_by_frame_pointer();
            walked.way = Way::Plain;
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

    /// Remembers the frames just walked as a branch at frame `at` of the trunk. `None` if they take
    /// too many words for that or are too large; `Some(None)` if there is no room for the stack.
    fn branch_off(
        &mut self,
        tables: Tables,
        start: Caller,
        count: usize,
        at: usize,
    ) -> Option<Option<StackId>> {
        let joint = *self.trunks.recent().frames.get(at)?;
        let joint_fp = match count.checked_sub(1) {
            Some(last) => self.walked.get(last)?.fp_beyond(),
            None => start.fp,
        };
        let joint_above = joint.caller.sp.checked_sub(start.sp)?.try_into().ok()?;
        let branch = self.branches.replace(start)?;
        let mut needs_fp = joint.needs_fp;
        let mut len = 0;
        for walked in self.walked.get(..count)?.iter().rev() {
            len = walked.put_words(needs_fp, &mut branch.words, len)?;
            needs_fp = walked.needs_fp(needs_fp);
        }
        let frames = self.addresses.get(..count)?;
        let paths = &mut self.paths;
        let Some(path) = tables
            .stacks
            .extend(tables.arena, joint.path, frames, paths)
        else {
            return Some(None);
        };
        branch.stack = path.stack;
        branch.needs_fp = needs_fp;
        branch.frames = count as u8;
        branch.len = len as u8;
        branch.joint_at = at as u16;
        branch.joint = joint.path.stack;
        branch.joint_above = joint_above;
        branch.joint_fp = joint_fp;
        branch.trunk = self.trunks.which();
        branch.joined = Version::NONE;
        branch.start = start;
        Some(Some(path.stack))
    }

    /// Puts the frames just walked on the trunk, in place of those that were there beyond the frame
    /// where they meet it.
    fn grow_trunk(
        &mut self,
        tables: Tables,
        start: Caller,
        count: usize,
        end: End,
    ) -> Option<StackId> {
        let (base, len) = match end {
            End::Trunk(at) => (self.trunks.recent().frames.get(at)?.path, at + 1),
            End::Root(root) => (root, 0),
        };
        let trunk = self.trunks.keep(len);
        if let End::Root(root) = end {
            trunk.truncated = root == Path::TRUNCATED;
        }
        let frames = self.addresses.get(..count)?;
        let paths = &mut self.paths;
        let path = tables.stacks.extend(tables.arena, base, frames, paths)?;
        let grown = trunk.grow(self.walked.get(..count)?, self.paths.get(..count)?);
        if grown.is_none() {
            trunk.cut(0);
            return None;
        }
        let needs_fp = trunk.frames.get(..trunk.len)?.last()?.needs_fp;
        let branch = self.branches.replace(start)?;
        branch.stack = path.stack;
        branch.needs_fp = needs_fp;
        branch.frames = 0;
        branch.len = 0;
        branch.joint_at = trunk.len.checked_sub(1)? as u16;
        branch.joint = path.stack;
        branch.joint_above = 0;
        branch.joint_fp = start.fp;
        branch.trunk = self.trunks.which();
        branch.joined = Version::NONE;
        branch.start = start;
        Some(path.stack)
    }
}

/// Hashes the paths to the `frames` that have been walked below frame `at` of the trunk, and compares
/// the trunk from there on, while the stack's memory is fetched: see [`Trunk::first_change`].
#[inline(never)]
fn hash_and_compare(
    trunk: &Trunk,
    at: usize,
    stacks: &Stacks,
    frames: &[usize],
    paths: &mut [Path],
    most: usize,
) -> Option<usize> {
    let base = trunk
        .frames
        .get(at)
        .map_or(Path::TRUNCATED, |frame| frame.path);
    stacks.hash_ahead(base, frames, paths);
    trunk.first_change(at, at + 1 + frames.len(), most)
}
