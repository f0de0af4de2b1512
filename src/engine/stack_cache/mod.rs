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

mod base_stack;
mod base_stacks;
mod entries;
mod fill;
mod foreign;
#[cfg(test)]
mod tests;

use crate::engine::memory::arena::{Arena, Zeroed};
use crate::engine::stacks::{Path, StackId, Stacks};
use crate::engine::unwind::cfi::reader::Pages;
use crate::engine::unwind::cfi::walk::{UnusualStep, Word, read};
use crate::engine::unwind::cfi::{Unwinder, probe};
use crate::engine::unwind::{Caller, OwnStack};
use base_stack::Version;
use base_stacks::BaseStacks;
use entries::{Entries, WAYS};

/// Frames of a stack that are asked for at most; deeper ones are not remembered.
pub(super) const MAX_FRAMES: usize = 1100;
/// Frames that a walk goes beyond those that are asked for, so that the next one, from a caller,
/// still meets the base stack.
const BEYOND: usize = 64;
const MAX_WALKED: usize = MAX_FRAMES + BEYOND;
/// Frames and words of the longest entry. A longer one becomes part of the base stack.
const MAX_ENTRY_FRAMES: usize = 10;
const MAX_ENTRY_WORDS: usize = 12;

/// The way from one place to the base stack.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry {
    start: Caller,
    stack: StackId,
    needs_fp: bool,
    frames: u8,
    /// How many words count.
    len: u8,
    /// Which of the base stacks it was last found to lead to.
    base_stack: u8,
    /// The frame of the base stack that it leads to: how many are older, how far up the stack,
    /// which stack it is, and the frame register there.
    attachment_at: u16,
    attachment_above: u32,
    attachment: StackId,
    attachment_fp: usize,
    /// The base stack that was found to have that frame, and which of its words count.
    attached: Version,
    base_words: (u16, u16),
    /// The words on the way, the most recent last.
    words: [Word; MAX_ENTRY_WORDS],
}

const _: () = assert!(size_of::<Entry>() == 256);

/// A frame that has just been walked over.
#[derive(Clone, Copy)]
struct WalkedFrame {
    caller: Caller,
    /// The frame's CFA was found by the frame register.
    by_fp: bool,
    kind: StepKind,
    /// The words read to get to the next frame; address 0 for a frame register that was not saved.
    return_word: Word,
    fp_word: Word,
    /// Counts only if `kind` says so.
    link_word: Word,
}

/// How the walk came to the next frame.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum StepKind {
    Plain,
    /// By a word that tells where the next frame is, on the same stack.
    Linked,
    /// By such a word or without one, on another stack.
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
    /// Of the same frames, the return addresses and what they are called.
    addresses: [usize; MAX_WALKED],
    paths: [Path; MAX_WALKED],
}

// SAFETY: integers and booleans, all valid when zero: an empty base stack, and entries that start
// nowhere. It is shared between threads by `ThreadSlot` alone, which lets one in at a time.
unsafe impl Zeroed for StackCache {}

/// Everything that a walk needs besides.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub(super) arena: &'a Arena,
    pub(super) unwinder: &'a Unwinder,
    pub(super) stacks: &'a Stacks,
}

impl StackCache {
    /// Another thread takes it over: what the last one knew of its own stack is not true of this
    /// one's.
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

    /// The stack of `start` and its callers, of which the `max_frames` most recent count, if all
    /// that was read on a way from there is unchanged, and the base stack is still the one that the
    /// way was last found to lead to: else [`StackCache::recall`] has the answer. There is no call
    /// in it, so that everything stays in registers; that is also why it looks at no way after an
    /// unchanged one, which would hardly ever help.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn recall_fast(&self, start: Caller, max_frames: usize) -> Option<StackId> {
        let mut ways = self.entries.ways(start)?.iter();
        let entry = ways.find(|entry| entry.is_valid(start))?;
        self.base_stacks
            .is_valid_fast(entry, max_frames)
            .then_some(entry.stack)
    }

    /// The same, whatever has become of the base stack. The way takes the place of the one that
    /// kept [`StackCache::recall_fast`] from it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn recall(&mut self, start: Caller, max_frames: usize) -> Option<StackId> {
        let ways = self.entries.ways_mut(start)?;
        let mut in_front = None;
        for at in 0..WAYS {
            let entry = ways.get_mut(at)?;
            if !entry.is_valid(start) {
                continue;
            }
            if self.base_stacks.is_valid(entry, max_frames) {
                let stack = entry.stack;
                if let Some(in_front) = in_front {
                    ways.swap(in_front, at);
                }
                return Some(stack);
            }
            in_front = in_front.or(Some(at));
        }
        None
    }
}

impl Entry {
    /// Starts nowhere.
    const EMPTY: Self = Self {
        start: Caller {
            pc: 0,
            sp: 0,
            fp: 0,
        },
        stack: StackId::TRUNCATED,
        needs_fp: false,
        frames: 0,
        len: 0,
        base_stack: 0,
        attachment_at: 0,
        attachment_above: 0,
        attachment: StackId::TRUNCATED,
        attachment_fp: 0,
        attached: Version::NONE,
        base_words: (0, 0),
        words: [Word {
            address: 0,
            value: 0,
        }; MAX_ENTRY_WORDS],
    };

    /// True if a walk from `start` would still come to the attachment point.
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
