//! The stack cache: a thread's last stacks, so that most of a stack need not be walked again.
//!
//! It is a set-associative cache. The key of an entry is where a walk starts: return address, stack
//! pointer and, if it matters, frame register. The value is the number of a stack. An entry is valid as
//! long as the words that its walk has read are unchanged.
//!
//! Neighbouring entries would have most of their words in common, since they share their older frames.
//! So those are kept once, as the base stack, and an entry has only the frames up to its attachment
//! point:
//!
//! ```text
//!  oldest frame                                                           most recent frame
//!
//!  base stack    main ── run ── serve ── handle ── parse ── value
//!                                          │
//!  entry 1                                 ├── read ── grow ── (start)
//!  entry 2                                 └── reply ── push ── (start)
//!                                          ▲
//!                                          attachment point of both
//! ```
//!
//! How the cache is asked, and how it is filled:
//!
//! ```text
//! for entry in set[hash(start.pc, start.sp)]:                     -- one of 4 ways
//!     if entry.start is not start, or a word of it has changed:     continue
//!     if its base stack has changed since the entry was last used:
//!         find the attachment point again, or                       continue
//!     if a word of the base stack, from there outwards, has changed: continue
//!     return entry.stack
//! walk from start until a frame of the base stack is met whose words are unchanged
//! intern the frames walked, on top of that frame's stack
//! if there are few: evict an entry of the set and fill it; else: put them on the base stack
//! ```
//!
//! # Why the answer is exact
//!
//! A walk is a function of the registers it starts with and of the words it reads: the rule of each
//! return address never changes. So it is remembered together with the address and the value of
//! every word that mattered. When a later walk starts with the same registers and all those words
//! are unchanged, it would read the same words and give the same answer; it need not be done. Words
//! are compared from the most recent frame outwards. Each comparison that holds shows that the walk
//! would get as far as the next address on the list, so no address is read that the walk itself
//! would not read: not even after a thread has moved to another stack, or a stack was unmapped and
//! another one took its place.
//!
//! On known stacks all of that memory stays readable. What was read anywhere else may have been
//! unmapped since, so the system is asked about those pages before they are compared ([`foreign`]).
//!
//! The frame register is such a word only where it matters: up to the next frame that finds its CFA
//! by it, counted outwards. Elsewhere the program uses it for whatever it likes.
//!
//! # What is remembered
//!
//! The *base stack*: the last stack that was walked, from the oldest frame on. A walk that comes to
//! a frame of the base stack, with the same registers, goes no further if the words from there on
//! are unchanged. There is a second one, for the last stack that had little in common with it.
//!
//! *Entries*: for many places that allocate the few frames between there and a base stack.

mod attachment;
mod base_stack;
mod base_stacks;
mod candidate;
mod entries;
mod fill;
mod foreign;
#[cfg(test)]
mod tests;

use crate::engine::memory::arena::{Arena, Zeroed};
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::unwind::cfi::reader::Pages;
use crate::engine::unwind::cfi::walk::UnusualStep;
use crate::engine::unwind::cfi::word::{Word, read};
use crate::engine::unwind::cfi::{Unwinder, probe};
use crate::engine::unwind::{Caller, OwnStack};
use attachment::Attachment;
use base_stacks::BaseStacks;
pub(crate) use candidate::Candidate;
use entries::{Entries, WAYS};

/// Maximum number of frames that can be asked for. Deeper stacks are not cached.
pub(super) const MAX_FRAMES: usize = 1100;
/// Frames that a walk goes beyond those that are asked for, so that the next one, from a caller,
/// still meets the base stack.
const BEYOND: usize = 64;
const MAX_WALKED: usize = MAX_FRAMES + BEYOND;
/// Frames and words of the longest entry. A longer one becomes part of the base stack.
const MAX_ENTRY_FRAMES: usize = 10;
const MAX_ENTRY_WORDS: usize = 12;

/// One cached stack: the frames from `start` to a base stack. All but the words is one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Entry {
    /// The words that lead from `start` to the attachment point, most recent last; `len` of them.
    words: [Word; MAX_ENTRY_WORDS],
    /// The key: where the walk starts. No stack pointer if the entry is not in use.
    start: Caller,
    attachment: Attachment,
    /// The value.
    stack: StackId,
    /// The frame register is a part of the key.
    needs_fp: bool,
    len: u8,
}

const _: () = assert!(size_of::<Entry>() == 256);

/// A frame of the walk that is under way.
#[derive(Clone, Copy)]
struct WalkedFrame {
    caller: Caller,
    /// The frame's CFA was found by the frame register.
    by_fp: bool,
    kind: StepKind,
    /// The words that the step to the caller has read. Address 0 if the frame register was not saved.
    return_word: Word,
    fp_word: Word,
    /// Counts only if `kind` says so.
    link_word: Word,
}

/// How the walk got from a frame to its caller.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum StepKind {
    Plain,
    /// By a word that says where the caller's frame is. It is further out on this stack.
    Linked,
    /// The caller's frame is on another stack.
    Beyond,
}

/// One thread's memory. Arrays are filled from their start, so a thread with few stacks that are not deep
/// touches a page or two of each; small fields stand in front of an array, on its first page.
#[repr(C)]
pub(crate) struct StackCache {
    own: OwnStack,
    entries: Entries,
    base_stacks: BaseStacks,
    walked: [WalkedFrame; MAX_WALKED],
    /// The return addresses of these frames, and the stacks up to each.
    addresses: [usize; MAX_WALKED],
    paths: [Path; MAX_WALKED],
}

// SAFETY: integers and booleans, all valid when zero: an empty base stack, and entries that start
// nowhere. It is shared between threads by `ThreadSlot` alone, which lets one in at a time.
unsafe impl Zeroed for StackCache {}

/// What a walk needs besides the cache.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub(super) arena: &'a Arena,
    pub(super) unwinder: &'a Unwinder,
    pub(super) stacks: &'a Stacks,
}

impl StackCache {
    /// Must come before another thread uses the cache: what the last one knew of its own stack is not
    /// true of this one's.
    pub(crate) fn hand_over(&mut self) {
        self.base_stacks.clear();
        self.own = OwnStack::default();
    }

    /// What the thread knows of its own stack.
    pub(crate) fn own_stack(&self) -> OwnStack {
        self.own
    }

    /// Empties it, whatever state it is in: its thread may have been in the middle of a change.
    #[cold]
    pub(crate) fn clear(&mut self, arena: &Arena) {
        self.hand_over();
        self.entries.clear(arena.budget());
    }

    /// True if it has more memory than that of a thread with few stacks.
    pub(crate) fn has_grown(&self) -> bool {
        self.entries.has_grown()
    }

    /// Fast path of [`StackCache::recall`]: the cached stack for `start`, if every word that its walk
    /// read is unchanged, and its base stack has not changed since the entry was last used.
    ///
    /// Compares as many words as tell the `max_frames` most recent frames. Makes no call, so that
    /// everything stays in registers. So it also tries no entry after the first whose own words are
    /// unchanged: that would hardly ever help. That entry is the candidate, which [`StackCache::recall`]
    /// need not look for a second time.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn recall_fast(
        &self,
        start: Caller,
        max_frames: usize,
    ) -> Result<StackId, Candidate> {
        let mut ways = self.entries.ways(start).ok_or(Candidate::NONE)?.iter();
        let entry = ways
            .find(|entry| entry.is_valid(start))
            .ok_or(Candidate::NONE)?;
        if self.base_stacks.is_valid_fast(entry, max_frames) {
            Ok(entry.stack)
        } else {
            Err(Candidate::of(entry))
        }
    }

    /// The cached stack for `start`, if every word that its walk read is unchanged. `candidate`: what
    /// [`StackCache::recall_fast`] has found out for this very `start`.
    ///
    /// Compares as many words as tell the `max_frames` most recent frames; the stack may have more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn recall(
        &mut self,
        start: Caller,
        max_frames: usize,
        candidate: Candidate,
    ) -> Option<StackId> {
        if candidate == Candidate::NONE {
            return None;
        }
        let ways = self.entries.ways_mut(start)?;
        let at = candidate.way(ways);
        if let Some(entry) = ways.get_mut(at)
            && self.base_stacks.is_valid(entry, max_frames)
        {
            return Some(entry.stack);
        }
        self.recall_behind(start, max_frames, at)
    }

    /// [`StackCache::recall`] by an entry behind that in way `first`, whose own words are unchanged but
    /// not its base stack's: the two change places, so that [`StackCache::recall_fast`] finds the valid
    /// one. By any entry, if there is no such way.
    #[inline(never)]
    fn recall_behind(&mut self, start: Caller, max_frames: usize, first: usize) -> Option<StackId> {
        let ways = self.entries.ways_mut(start)?;
        let mut in_front = (first < WAYS).then_some(first);
        for at in in_front.map_or(0, |first| first + 1)..WAYS {
            let entry = ways.get_mut(at)?;
            if !entry.is_valid(start) {
                continue;
            }
            if self.base_stacks.is_valid(entry, max_frames) {
                let stack = entry.stack;
                if let Some(in_front) = in_front {
                    swap(ways, in_front, at);
                }
                return Some(stack);
            }
            in_front = in_front.or(Some(at));
        }
        None
    }
}

/// In a function of its own: an entry on the stack would be there while a stack is walked, too.
#[cold]
#[inline(never)]
fn swap(ways: &mut [Entry; WAYS], one: usize, other: usize) {
    ways.swap(one, other);
}

impl Entry {
    /// Fills an entry whose words are in place; `len` of them count. Comes last: from now on the entry is
    /// in use.
    fn fill(
        &mut self,
        start: Caller,
        needs_fp: bool,
        stack: StackId,
        attachment: Attachment,
        len: usize,
    ) {
        self.needs_fp = needs_fp;
        self.stack = stack;
        self.attachment = attachment;
        self.len = len as u8;
        self.start = start;
    }

    /// True if a walk from `start` would still come to the attachment point: the key is equal, and the
    /// entry's own words are unchanged.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_valid(&self, start: Caller) -> bool {
        let words = self.words.get(..self.len as usize);
        self.start.sp == start.sp
            && self.start.pc == start.pc
            && (!self.needs_fp || self.start.fp == start.fp)
            && words.is_some_and(all_unchanged)
    }
}

/// Compares from the most recent word, the last one, on.
#[cfg_attr(not(debug_assertions), inline(always))]
fn all_unchanged(words: &[Word]) -> bool {
    // Four at a time, one after the other: none is read before the one in front has been compared.
    let (oldest, fours) = words.as_rchunks();
    for [d, c, b, a] in fours.iter().rev() {
        if !a.is_unchanged() || !b.is_unchanged() || !c.is_unchanged() || !d.is_unchanged() {
            return false;
        }
    }
    oldest.iter().rev().all(Word::is_unchanged)
}

impl Word {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_unchanged(&self) -> bool {
        // SAFETY: a walk has read the address, and the comparisons before this one have shown that
        // it would read it again now.
        let now = unsafe { read(self.address) };
        now == self.value
    }
}

impl WalkedFrame {
    /// The last frame of a walk. `slot`: where it was read that it is, if it was.
    #[cold]
    fn oldest(caller: Caller, by_fp: bool, slot: Option<usize>) -> Self {
        let word = |address| Word { address, value: 0 };
        Self {
            caller,
            by_fp,
            kind: StepKind::Plain,
            return_word: word(slot.unwrap_or(0)),
            fp_word: word(0),
            link_word: word(0),
        }
    }

    /// A frame whose stack ends at `end`, from which the walk got on by such a step.
    #[cold]
    fn over(caller: Caller, by_fp: bool, step: &UnusualStep, end: usize) -> Self {
        let none = Word {
            address: 0,
            value: 0,
        };
        Self {
            caller,
            by_fp,
            kind: if step.caller.is_beyond(caller, end) {
                StepKind::Beyond
            } else {
                StepKind::Linked
            },
            return_word: step.return_word,
            fp_word: step.fp_word.unwrap_or(none),
            link_word: step.link.unwrap_or(none),
        }
    }

    /// The frame register of the next frame.
    fn fp_beyond(&self) -> usize {
        if self.fp_word.address == 0 {
            self.caller.fp
        } else {
            self.fp_word.value
        }
    }

    /// Puts down the words that tell where the next frame is, those last that a comparison is to
    /// read first, and returns where they end. `needs_fp`: the frame register matters in the next
    /// frame. `None` if there is no room.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn put_words(&self, needs_fp: bool, words: &mut [Word], mut end: usize) -> Option<usize> {
        if needs_fp && self.fp_word.address != 0 {
            *words.get_mut(end)? = self.fp_word;
            end += 1;
        }
        if self.return_word.address != 0 {
            *words.get_mut(end)? = self.return_word;
            end += 1;
        }
        if self.kind != StepKind::Plain && self.link_word.address != 0 {
            *words.get_mut(end)? = self.link_word;
            end += 1;
        }
        Some(end)
    }

    /// True if the frame register matters here; `beyond`: it does in the next frame.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn needs_fp(&self, beyond: bool) -> bool {
        self.by_fp || (beyond && self.fp_word.address == 0)
    }
}
