//! The walk that remembers what it reads.

use super::trunk::{TRUNK, Version};
use super::{BEYOND, BRANCH_FRAMES, Branch, MOST, Memo, Tables, Walked, Word};
use crate::engine::stacks::{Path, StackId};
use crate::engine::unwind::Caller;
use crate::engine::unwind::cfi::row::Kind;
use crate::engine::unwind::cfi::walk::{Beyond, step};

/// Where a walk that was cut short goes on.
#[derive(Clone, Copy)]
enum End {
    /// At this frame of the trunk.
    Trunk(usize),
    /// Nowhere: all frames were walked, or more than needed.
    Root(Path),
}

impl Memo {
    /// Walks from `start` to the trunk, or all the way. `None` if `most` frames are more than can be
    /// remembered, a step is not plain, or there is no room for a new stack.
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
            self.trunk.cut(0);
            return self.walk(tables, start, most);
        }
        if let End::Trunk(at) = end {
            self.trunk.met = at;
            if count <= BRANCH_FRAMES
                && let Some(stack) = self.branch_off(tables, start, count, at)
            {
                return stack;
            }
        }
        self.grow_trunk(tables, start, count, end)
    }

    /// Walks from `start` until the trunk is met or `most` frames and some more are known. Fills
    /// `walked` and returns how many there are. `None` if a step is not plain.
    fn follow(&mut self, tables: Tables, start: Caller, most: usize) -> Option<(usize, End)> {
        let stack_end = tables.unwinder.main_stack.end_of(start.sp)?;
        let enough = most + BEYOND;
        let mut frame = start;
        let mut count = 0;
        // Frames of the trunk that can still be met: those further out than the walk has got, and
        // than the last one that has changed.
        let mut candidates = self.trunk.not_below(frame.sp);
        loop {
            while candidates > 0 && self.trunk.frames.get(candidates - 1)?.caller.sp < frame.sp {
                candidates -= 1;
            }
            if let Some(at) = candidates.checked_sub(1)
                && self.trunk.frames.get(at)?.is_at(frame)
            {
                match self.trunk.first_change(at, at + 1 + count, most) {
                    None => return Some((count, End::Trunk(at))),
                    Some(changed) => candidates = changed,
                }
            }
            if count == enough {
                return Some((count, End::Root(Path::TRUNCATED)));
            }
            let row = tables.unwinder.row(tables.arena, frame.pc);
            let (next, walked) = match step(frame, row, stack_end) {
                Beyond::Caller(step) => (
                    Some(step.caller),
                    Walked {
                        caller: frame,
                        by_fp: row.kind() == Kind::FromFramePointer,
                        return_word: Word {
                            address: step.return_slot,
                            value: step.return_word,
                        },
                        fp_word: Word {
                            address: step.frame_pointer_slot.unwrap_or(0),
                            value: step.caller.fp,
                        },
                    },
                ),
                Beyond::Nothing(slot) => (
                    None,
                    Walked {
                        caller: frame,
                        by_fp: row.kind() == Kind::FromFramePointer,
                        return_word: Word {
                            address: slot.unwrap_or(0),
                            value: 0,
                        },
                        fp_word: Word {
                            address: 0,
                            value: 0,
                        },
                    },
                ),
                Beyond::Unknown => return None,
            };
            *self.walked.get_mut(count)? = walked;
            count += 1;
            match next {
                Some(next) => frame = next,
                None => return Some((count, End::Root(Path::COMPLETE))),
            }
        }
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
        let joint = *self.trunk.frames.get(at)?;
        let joint_fp = match count.checked_sub(1) {
            Some(last) => self.walked.get(last)?.fp_beyond(),
            None => start.fp,
        };
        let joint_above = joint.caller.sp.checked_sub(start.sp)?.try_into().ok()?;
        let branch = self.branches.replace(start)?;
        let mut needs_fp = joint.needs_fp;
        let mut len = 0;
        let mut put = |word: Word| {
            *branch.words.get_mut(len)? = word;
            len += 1;
            Some(())
        };
        for walked in self.walked.get(..count)?.iter().rev() {
            if let Some(word) = walked.fp_word(needs_fp) {
                put(word)?;
            }
            if let Some(word) = walked.return_word() {
                put(word)?;
            }
            needs_fp = walked.needs_fp(needs_fp);
        }
        let frames = self.walked.get(..count)?.iter().map(Walked::pc);
        let Some(Path { stack, .. }) = tables.stacks.extend(tables.arena, joint.path, frames)
        else {
            return Some(None);
        };
        *branch = Branch {
            start,
            stack,
            needs_fp,
            frames: count as u8,
            len: len as u8,
            joint_at: at as u16,
            joint: joint.path.stack,
            joint_above,
            joint_fp,
            joined: Version::NONE,
            ..*branch
        };
        Some(Some(stack))
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
        let trunk = &mut self.trunk;
        let (mut path, mut needs_fp, base) = match end {
            End::Trunk(at) => {
                let joint = trunk.frames.get(at)?;
                (joint.path, joint.needs_fp, at + 1)
            }
            End::Root(root) => {
                trunk.truncated = root == Path::TRUNCATED;
                (root, false, 0)
            }
        };
        trunk.cut(base);
        prefetch(self.walked.get(..count)?, tables, path);
        for walked in self.walked.get(..count)?.iter().rev() {
            path = tables.stacks.then(tables.arena, path, walked.caller.pc)?;
            let words = [walked.fp_word(needs_fp), walked.return_word()];
            needs_fp = walked.needs_fp(needs_fp);
            trunk.grow(walked.caller, path, words, needs_fp)?;
        }
        trunk.met = trunk.len;
        let branch = self.branches.replace(start)?;
        *branch = Branch {
            start,
            stack: path.stack,
            needs_fp,
            frames: 0,
            len: 0,
            joint_at: trunk.len.checked_sub(1)? as u16,
            joint: path.stack,
            joint_above: 0,
            joint_fp: start.fp,
            joined: Version::NONE,
            ..*branch
        };
        Some(path.stack)
    }
}

/// Has the memory fetched that interning reads, for all frames at a time.
fn prefetch(walked: &[Walked], tables: Tables, base: Path) {
    walked.iter().rev().fold(base.hash, |hash, walked| {
        let hash = hash.then(walked.caller.pc);
        tables.stacks.prefetch(walked.caller.pc, hash);
        hash
    });
}
