//! A stack that was walked, frame by frame.

use super::attachment::{Attachment, Version};
use super::{Entry, Pages, StepKind, WalkedFrame, Word, all_unchanged};
use crate::engine::stacks::Path;
use crate::engine::unwind::Caller;

/// Frames of the longest base stack.
pub(super) const MAX_BASE_FRAMES: usize = 2048;
/// Stacks that one base stack leads over: those of coroutines, and of deep recursion that was given
/// another one.
const MAX_STACKS: usize = 8;

/// A frame of the base stack.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) caller: Caller,
    pub(super) path: Path,
    /// Where the words end that were read to get from here to the oldest frame.
    words: u32,
    /// `caller.fp` matters.
    pub(super) needs_fp: bool,
}

/// A stack that was walked.
#[repr(C)]
pub(super) struct BaseStack {
    pub(super) len: usize,
    /// How often frames were cut off.
    changes: u64,
    stacks: usize,
    /// The oldest frame on each of the stacks, the oldest stack first; `stacks` of them.
    begins: [u16; MAX_STACKS],
    /// The first frame is not the oldest of its stack.
    pub(super) truncated: bool,
    /// How many of the oldest frames have all their words on known stacks.
    pub(super) known: usize,
    /// Where words are that are on no known stack, those of entries too.
    pub(super) pages: Pages,
    /// Of all frames, those of the oldest first.
    words: [Word; 2 * MAX_BASE_FRAMES],
    /// Oldest first; `len` of them.
    pub(super) frames: [Frame; MAX_BASE_FRAMES],
}

/// Frames of the base stack, all on one stack, that a walk may still meet.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    /// How many are older than all of them.
    pub(super) start: usize,
    pub(super) frames: &'a [Frame],
}

impl Ahead<'_> {
    /// Leaves only those of the `len` oldest frames of the base stack.
    pub(super) fn cut(&mut self, len: usize) {
        let left = len.saturating_sub(self.start).min(self.frames.len());
        self.frames = self.frames.get(..left).unwrap_or_default();
    }
}

impl Frame {
    /// True if a walk that has come to `frame` would go on from here as the remembered one did.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_at(&self, frame: Caller) -> bool {
        let here = self.caller;
        here.sp == frame.sp && here.pc == frame.pc && (!self.needs_fp || here.fp == frame.fp)
    }
}

impl BaseStack {
    /// Fast path of [`BaseStack::is_valid`]: false if the attachment point was not found in this very
    /// version of the base stack.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_valid_fast(&self, entry: &Entry, max_frames: usize) -> bool {
        if entry.attachment.version != self.version(max_frames) {
            return false;
        }
        let (from, to) = entry.attachment.words;
        let words = self.words.get(from as usize..to as usize);
        words.is_some_and(all_unchanged)
    }

    /// True if a walk that has come to the attachment point of `entry` would continue along this base
    /// stack: it has that frame, and the words from there outwards are unchanged. If the base stack has
    /// changed since the entry was used last, the frame is looked for.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_valid(&self, entry: &mut Entry, max_frames: usize) -> bool {
        if entry.attachment.version != self.version(max_frames)
            && self.attach(entry, max_frames).is_none()
        {
            return false;
        }
        self.is_valid_fast(entry, max_frames)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn version(&self, max_frames: usize) -> Version {
        Version::new(self.changes, max_frames)
    }

    /// The attachment at frame `at` of this base stack, which is number `which` of the thread's, of an
    /// entry with `frames` frames that begins at the stack pointer `sp` and leaves `fp` in the frame
    /// register. `None` if the frame is too far above. That the words are unchanged is not known yet.
    pub(super) fn attachment(
        &self,
        which: u8,
        at: usize,
        frames: usize,
        sp: usize,
        fp: usize,
    ) -> Option<Attachment> {
        let frame = self.frames.get(at)?;
        Some(Attachment {
            stack: frame.path.stack,
            fp,
            above: frame.caller.sp.checked_sub(sp)?.try_into().ok()?,
            at: at.try_into().ok()?,
            frames: frames.try_into().ok()?,
            base_stack: which,
            ..Attachment::NONE
        })
    }

    /// Finds the attachment point of `entry`. `None` if that frame is not part of the base stack
    /// any more.
    #[inline(never)]
    fn attach(&self, entry: &mut Entry, max_frames: usize) -> Option<()> {
        let Attachment {
            at,
            above,
            stack,
            fp,
            frames,
            ..
        } = entry.attachment;
        let at = at as usize;
        let frame = self.frames.get(..self.len)?.get(at)?;
        let is_above = frame.caller.sp.wrapping_sub(entry.stack_pointer());
        if is_above != above as usize
            || !self.covers(entry)
            || frame.path.stack != stack
            || (frame.needs_fp && frame.caller.fp != fp)
        {
            return None;
        }
        let known = at + 1 + frames as usize;
        let (from, to) = self.words_that_count(at, known, max_frames)?;
        entry.attachment.words = (from as u16, to as u16);
        entry.attachment.version = self.version(max_frames);
        Some(())
    }

    /// The range of the base stack's words that an entry attached at frame `at` has to compare, if the
    /// whole stack has `known` frames: as many as tell the `max_frames` most recent frames, and whether
    /// there are more. `None` if the base stack has too few frames for that.
    fn words_that_count(
        &self,
        at: usize,
        known: usize,
        max_frames: usize,
    ) -> Option<(usize, usize)> {
        let to = self.frames.get(at)?.words as usize;
        if known > max_frames {
            // The words of older frames than those need not be compared.
            let from = self.frames.get(known - max_frames - 1)?.words as usize;
            return Some((from.min(to), to));
        }
        (!self.truncated).then_some((0, to))
    }

    /// The stack pointer of the oldest frame on the stack that `sp` is on: see
    /// [`BaseStack::stack_of`].
    #[inline]
    pub(super) fn end_of_stack(&self, sp: usize) -> usize {
        let (start, _) = self.stack_of(sp, self.len);
        let frames = self.frames.get(..self.len).unwrap_or_default();
        let end = frames
            .get(start)
            .map_or(usize::MAX, |frame| frame.caller.sp);
        if end >= sp { end } else { usize::MAX }
    }

    /// Of the `len` oldest frames, those on the stack that `sp` is on that are not below it.
    #[inline]
    pub(super) fn ahead(&self, sp: usize, len: usize) -> Ahead<'_> {
        let (start, end) = self.stack_of(sp, len);
        let frames = self.frames.get(start..end).unwrap_or_default();
        let count = frames.partition_point(|frame| frame.caller.sp >= sp);
        Ahead {
            start,
            frames: frames.get(..count).unwrap_or_default(),
        }
    }

    /// Of the `len` oldest frames, those on the stack that `sp` is on: where they begin and end.
    #[inline]
    fn stack_of(&self, sp: usize, len: usize) -> (usize, usize) {
        if self.stacks > 1 {
            self.stack_of_many(sp, len)
        } else {
            (0, len)
        }
    }

    /// Of the stacks that begin beyond `sp`, the one that begins nearest. No harm is done if it is
    /// on none of them.
    #[cold]
    fn stack_of_many(&self, sp: usize, len: usize) -> (usize, usize) {
        let begins = self.begins.get(..self.stacks).unwrap_or_default();
        let begin = |stack: usize| {
            begins
                .get(stack)
                .map_or(len, |begin| len.min(*begin as usize))
        };
        let frames = |stack: usize| (begin(stack), begin(stack + 1));
        let end_of = |stack: usize| Some(self.frames.get(begin(stack))?.caller.sp);
        (0..self.stacks)
            .filter(|stack| begin(*stack) < len && end_of(*stack).is_some_and(|end| end >= sp))
            .min_by_key(|stack| end_of(*stack))
            .map_or((len, len), frames)
    }

    /// Compares what was read from frame `at` on, of a stack of `known` frames. `None` if nothing
    /// has changed that counts, else how many frames are older than the most recent one that has a
    /// changed word.
    #[inline]
    pub(super) fn first_change(&self, at: usize, known: usize, max_frames: usize) -> Option<usize> {
        let Some((from, to)) = self.words_that_count(at, known, max_frames) else {
            return Some(0);
        };
        let words = self.words.get(from..to).unwrap_or_default();
        // Mostly so. The search for the one that has changed takes twice the instructions.
        if all_unchanged(words) {
            return None;
        }
        let changed = from + words.iter().rposition(|word| !word.is_unchanged())?;
        let frames = self.frames.get(..=at).unwrap_or_default();
        Some(frames.partition_point(|frame| frame.words as usize <= changed))
    }

    /// Cuts off all but the `len` oldest frames.
    pub(super) fn cut(&mut self, len: usize) {
        if len == 0 {
            self.pages = Pages::NONE;
        }
        self.len = len;
        self.known = self.known.min(len);
        self.changes += 1;
        let begins = self.begins.get(..self.stacks).unwrap_or_default();
        self.stacks = begins.partition_point(|begin| (*begin as usize) < len);
    }

    /// Becomes the `len` oldest frames of `other`.
    pub(super) fn copy(&mut self, other: &Self, len: usize) {
        self.cut(0);
        let (frames, words) = (&other.frames, &other.words);
        let kept = frames.get(..len).unwrap_or_default();
        let end = kept.last().map_or(0, |frame| frame.words as usize);
        let kept_words = words.get(..end).unwrap_or_default();
        for (place, frame) in self.frames.iter_mut().zip(kept) {
            *place = *frame;
        }
        for (place, word) in self.words.iter_mut().zip(kept_words) {
            *place = *word;
        }
        self.begins = other.begins;
        self.stacks = other.stacks;
        self.truncated = other.truncated;
        self.pages = other.pages;
        self.known = other.known;
        self.cut(len);
    }

    /// Adds the frames that were `walked`, the most recent first, with the stacks of each, and the
    /// words that were read to get from one to its caller. `None` if there is no room for them;
    /// what the base stack then holds is not to be used.
    #[inline(never)]
    pub(super) fn grow(&mut self, walked: &[WalkedFrame], paths: &[Path]) -> Option<()> {
        let (mut end, mut needs_fp) = match self.frames.get(..self.len)?.last() {
            Some(last) => (last.words as usize, last.needs_fp),
            None => (0, false),
        };
        let base = self.len;
        let len = base + walked.len();
        let frames = self.frames.get_mut(base..len)?;
        let (words, walked) = (&mut self.words, walked.iter().zip(paths));
        if base == 0 {
            self.begins = [0; MAX_STACKS];
            self.stacks = 1;
        }
        for (at, (frame, (walked, path))) in (base..).zip(frames.iter_mut().zip(walked.rev())) {
            // What the oldest one leads to is not here, if it leads anywhere.
            if walked.kind == StepKind::Beyond && at > 0 {
                *self.begins.get_mut(self.stacks)? = at as u16;
                self.stacks += 1;
            }
            end = walked.put_words(needs_fp, words, end)?;
            needs_fp = walked.needs_fp(needs_fp);
            *frame = Frame {
                caller: walked.caller,
                path: *path,
                words: end as u32,
                needs_fp,
            };
        }
        self.len = len;
        Some(())
    }
}
