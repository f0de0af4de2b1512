//! What a thread knows of its last stacks, so that most of a stack need not be walked again.
//!
//! # Why the answer is exact
//!
//! A walk is a function of the registers it starts with and of the words it reads: the row of each
//! return address never changes. So it is remembered together with the address and the value of
//! every word that mattered. When a later walk starts with the same registers and all those words
//! are unchanged, it would read the same words and give the same answer; it need not be done. Words
//! are compared from the most recent frame outwards. Each comparison that holds shows that the walk
//! would get as far as the next address on the list, so no address is read that the walk itself
//! would not read: not even after a thread has moved to another stack, or a stack was unmapped and
//! another one took its place.
//!
//! The frame register is such a word only where it matters: up to the next frame that finds its CFA
//! by it, counted outwards. Elsewhere the program uses it for whatever it likes.
//!
//! # What is remembered
//!
//! The *trunk*: the last stack that was walked, from the oldest frame on. A walk that comes to a
//! frame of the trunk, with the same registers, goes no further if the words from there on are
//! unchanged.
//!
//! *Branches*: for many places that allocate the few frames between there and the trunk.

use super::Unwinder;
use super::row::Kind;
use super::walk::{Beyond, read, step};
use crate::engine::arena::{Arena, Zeroed};
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::unwind::Caller;

/// Frames of the longest trunk.
const TRUNK: usize = 4096;
/// Frames of a stack that are asked for at most; deeper ones are not remembered.
pub(super) const MOST: usize = 1100;
/// Frames that a walk goes beyond those that are asked for, so that the next one, from a caller,
/// still meets the trunk.
const BEYOND: usize = 64;
const BRANCHES: usize = 1024;
/// Frames and words of the longest branch. A longer one becomes part of the trunk.
const BRANCH_FRAMES: usize = 8;
const BRANCH_WORDS: usize = 12;

/// A word that a walk has read.
#[derive(Clone, Copy)]
struct Word {
    address: usize,
    value: usize,
}

/// A frame of the trunk.
#[derive(Clone, Copy)]
struct Frame {
    caller: Caller,
    path: Path,
    /// Where the words end that were read to get from here to the oldest frame.
    words: u32,
    /// `caller.fp` matters.
    needs_fp: bool,
}

/// The way from one place to the trunk.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Branch {
    start: Caller,
    needs_fp: bool,
    frames: u8,
    /// Where the words begin in `list`.
    first: u8,
    stack: StackId,
    /// The frame of the trunk that it leads to, how many frames are older, and the frame register
    /// there.
    joint: StackId,
    joint_sp: usize,
    joint_fp: usize,
    joint_at: u32,
    list: [Word; BRANCH_WORDS],
}

/// A frame that has just been walked over.
#[derive(Clone, Copy)]
struct Walked {
    caller: Caller,
    /// The frame's CFA was found by the frame register.
    by_fp: bool,
    /// The words read to get to the next frame; address 0 for a frame register that was not saved.
    return_word: Word,
    fp_word: Word,
}

/// One thread's memory.
pub(crate) struct Memo {
    branches: [Branch; BRANCHES],
    /// Oldest first; `len` of them.
    trunk: [Frame; TRUNK],
    len: usize,
    /// Where the last walk met the trunk.
    met: usize,
    /// The trunk's first frame is not the oldest of its stack.
    truncated: bool,
    /// Of all frames of the trunk, those of the oldest first.
    words: [Word; 2 * TRUNK],
    walked: [Walked; MOST + BEYOND],
}

// SAFETY: integers and booleans, all valid when zero: an empty trunk, and branches that start
// nowhere. It is shared between threads by `Thread` alone, which lets one in at a time.
unsafe impl Zeroed for Memo {}

/// Where a walk that was cut short goes on.
#[derive(Clone, Copy)]
enum End {
    /// At this frame of the trunk.
    Trunk(usize),
    /// Nowhere: all frames were walked, or more than needed.
    Root(Path),
}

/// Everything that a walk needs besides.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub(super) arena: &'a Arena,
    pub(super) unwinder: &'a Unwinder,
    pub(super) stacks: &'a Stacks,
}

impl Memo {
    /// The stack of `start` and its callers, of which the `most` most recent count. `None` if a
    /// step is not plain, or there is no room for a new stack.
    #[inline(always)]
    pub(super) fn stack(
        &mut self,
        tables: Tables,
        start: Caller,
        most: usize,
    ) -> Option<StackId> {
        match self.recall(start, most) {
            Some(stack) => Some(stack),
            None => self.walk(tables, start, most),
        }
    }

    /// The stack, if all that was read last time is unchanged.
    #[inline(always)]
    fn recall(&self, start: Caller, most: usize) -> Option<StackId> {
        let branch = self.branches.get(branch_of(start))?;
        if branch.start.sp != start.sp
            || branch.start.pc != start.pc
            || (branch.needs_fp && branch.start.fp != start.fp)
        {
            return None;
        }
        let words = branch.list.get(branch.first as usize..)?;
        if !words.iter().all(|word| word.is_unchanged()) {
            return None;
        }
        let at = branch.joint_at as usize;
        let joint = self.trunk.get(..self.len)?.get(at)?;
        if joint.caller.sp != branch.joint_sp
            || joint.path.stack != branch.joint
            || (joint.needs_fp && joint.caller.fp != branch.joint_fp)
        {
            return None;
        }
        let known = at + 1 + branch.frames as usize;
        let (from, to) = self.words_that_count(at, known, most)?;
        self.words
            .get(from..to)?
            .iter()
            .rev()
            .all(|word| word.is_unchanged())
            .then_some(branch.stack)
    }

    /// Of a stack of `known` frames, that from frame `at` of the trunk on are the trunk's: the words
    /// that tell that `most` of them are as they were, and that there are more if there are. `None`
    /// if the trunk does not know enough of them.
    #[inline(always)]
    fn words_that_count(&self, at: usize, known: usize, most: usize) -> Option<(usize, usize)> {
        let to = self.trunk.get(at)?.words as usize;
        if known > most {
            // The words of older frames than those need not be compared.
            let from = self.trunk.get(known - most - 1)?.words as usize;
            return Some((from.min(to), to));
        }
        (!self.truncated).then_some((0, to))
    }

    /// Walks to the trunk, or all the way.
    #[inline(never)]
    fn walk(&mut self, tables: Tables, start: Caller, most: usize) -> Option<StackId> {
        let (count, end) = self.follow(tables, start, most)?;
        let base = match end {
            End::Trunk(at) => at + 1,
            End::Root(_) => 0,
        };
        if base + count > TRUNK {
            self.len = 0;
            return self.walk(tables, start, most);
        }
        if let End::Trunk(at) = end {
            self.met = at;
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
        let mut candidates = self.not_below(frame.sp);
        loop {
            while candidates > 0 && self.trunk.get(candidates - 1)?.caller.sp < frame.sp {
                candidates -= 1;
            }
            if let Some(at) = candidates.checked_sub(1)
                && self.trunk.get(at)?.is_at(frame)
            {
                match self.first_change(at, at + 1 + count, most) {
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

    /// How many frames of the trunk have their stack pointer at `sp` or beyond.
    fn not_below(&self, sp: usize) -> usize {
        let sp_of = |at: usize| self.trunk.get(at).map_or(0, |frame| frame.caller.sp);
        let mut count = self.met.min(self.len);
        while count < self.len && sp_of(count) >= sp {
            count += 1;
        }
        while count > 0 && sp_of(count - 1) < sp {
            count -= 1;
        }
        count
    }

    /// Compares what was read from frame `at` of the trunk on, of a stack of `known` frames. `None`
    /// if nothing has changed that counts, else how many frames are older than the most recent one
    /// that has a changed word.
    fn first_change(&self, at: usize, known: usize, most: usize) -> Option<usize> {
        let Some((from, to)) = self.words_that_count(at, known, most) else {
            return Some(0);
        };
        let words = self.words.get(from..to).unwrap_or_default();
        let changed = from + words.iter().rposition(|word| !word.is_unchanged())?;
        let frames = self.trunk.get(..=at).unwrap_or_default();
        Some(frames.partition_point(|frame| frame.words as usize <= changed))
    }

    /// Remembers the frames just walked as a branch at frame `at` of the trunk. `None` if they read
    /// too many words for that; `Some(None)` if there is no room for the stack.
    fn branch_off(
        &mut self,
        tables: Tables,
        start: Caller,
        count: usize,
        at: usize,
    ) -> Option<Option<StackId>> {
        let joint = *self.trunk.get(at)?;
        let joint_fp = match count.checked_sub(1) {
            Some(last) => self.walked.get(last)?.fp_beyond(),
            None => start.fp,
        };
        let branch = self.branches.get_mut(branch_of(start))?;
        // Until it is finished it starts nowhere.
        branch.start.sp = 0;
        let mut needs_fp = joint.needs_fp;
        // Words are read outwards, and what matters is known from the outside: so the list is
        // filled from its end.
        let mut first = BRANCH_WORDS;
        for walked in self.walked.get(..count)?.iter().rev() {
            for word in walked.words(needs_fp).into_iter().flatten() {
                first = first.checked_sub(1)?;
                *branch.list.get_mut(first)? = word;
            }
            needs_fp = walked.needs_fp(needs_fp);
        }
        let path = extend(self.walked.get(..count)?, tables, joint.path);
        let Some(Path { stack, .. }) = path else {
            return Some(None);
        };
        branch.start = start;
        branch.needs_fp = needs_fp;
        branch.frames = count as u8;
        branch.first = first as u8;
        branch.stack = stack;
        branch.joint = joint.path.stack;
        branch.joint_sp = joint.caller.sp;
        branch.joint_fp = joint_fp;
        branch.joint_at = at as u32;
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
        let (mut path, mut needs_fp, mut words) = match end {
            End::Trunk(at) => {
                let joint = self.trunk.get(at)?;
                (joint.path, joint.needs_fp, joint.words as usize)
            }
            End::Root(root) => {
                self.truncated = root == Path::TRUNCATED;
                (root, false, 0)
            }
        };
        self.len = match end {
            End::Trunk(at) => at + 1,
            End::Root(_) => 0,
        };
        prefetch(self.walked.get(..count)?, tables, path);
        for walked in self.walked.get(..count)?.iter().rev() {
            path = tables.stacks.then(tables.arena, path, walked.caller.pc)?;
            for word in walked.words(needs_fp).into_iter().flatten() {
                *self.words.get_mut(words)? = word;
                words += 1;
            }
            needs_fp = walked.needs_fp(needs_fp);
            *self.trunk.get_mut(self.len)? = Frame {
                caller: walked.caller,
                path,
                words: words as u32,
                needs_fp,
            };
            self.len += 1;
        }
        self.met = self.len;
        let branch = self.branches.get_mut(branch_of(start))?;
        branch.start = start;
        branch.needs_fp = needs_fp;
        branch.frames = 0;
        branch.first = BRANCH_WORDS as u8;
        branch.stack = path.stack;
        branch.joint = path.stack;
        branch.joint_sp = start.sp;
        branch.joint_fp = start.fp;
        branch.joint_at = self.len.checked_sub(1)? as u32;
        Some(path.stack)
    }
}

/// The stack of the frames `walked`, of which the first is the most recent, on top of `base`.
fn extend(walked: &[Walked], tables: Tables, base: Path) -> Option<Path> {
    if walked.len() > 1 {
        prefetch(walked, tables, base);
    }
    walked.iter().rev().try_fold(base, |caller, walked| {
        tables.stacks.then(tables.arena, caller, walked.caller.pc)
    })
}

/// Has the memory fetched that interning reads, for all frames at a time.
fn prefetch(walked: &[Walked], tables: Tables, base: Path) {
    walked.iter().rev().fold(base.hash, |hash, walked| {
        let hash = hash.then(walked.caller.pc);
        tables.stacks.prefetch(walked.caller.pc, hash);
        hash
    });
}

/// Where the branch from `start` is remembered.
#[inline(always)]
fn branch_of(start: Caller) -> usize {
    let key = (start.sp as u64) ^ (start.pc as u64).rotate_left(23);
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BRANCHES.ilog2())) as usize
}

impl Word {
    #[inline(always)]
    fn is_unchanged(&self) -> bool {
        // SAFETY: a walk has read the address, and the comparisons before this one have shown that
        // it would read it again now.
        let now = unsafe { read(self.address) };
        now == self.value
    }
}

impl Frame {
    /// True if a walk that has come to `frame` would go on from here as the remembered one did.
    #[inline(always)]
    fn is_at(&self, frame: Caller) -> bool {
        let here = self.caller;
        here.sp == frame.sp && here.pc == frame.pc && (!self.needs_fp || here.fp == frame.fp)
    }
}

impl Walked {
    /// The frame register of the next frame.
    fn fp_beyond(&self) -> usize {
        if self.fp_word.address == 0 {
            self.caller.fp
        } else {
            self.fp_word.value
        }
    }

    /// The words that matter, in the order in which a comparison must *not* read them: the return
    /// address, which tells the frame, is compared first. `beyond`: the next frame needs the frame
    /// register.
    #[inline(always)]
    fn words(&self, beyond: bool) -> [Option<Word>; 2] {
        let fp = beyond && self.fp_word.address != 0;
        [
            fp.then_some(self.fp_word),
            (self.return_word.address != 0).then_some(self.return_word),
        ]
    }

    /// True if the frame register matters here; `beyond`: it does in the next frame.
    #[inline(always)]
    fn needs_fp(&self, beyond: bool) -> bool {
        self.by_fp || (beyond && self.fp_word.address == 0)
    }
}
