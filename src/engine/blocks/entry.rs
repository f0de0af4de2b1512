//! An entry of the live table: written by the block's owner alone, read by any thread.
//!
//! An entry is one word, or two:
//!
//! ```text
//!  63        44  43     42       28 27            0
//! | place      | mov | session no.  | stack          |   place: offset in window, and for one-word entries the size
//! ```
//!
//! An entry of two words has the size in its second one. `Entry` says in which order they are written
//! and read, so that a reader never pairs words of two records.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Record;
use super::class::Class;
use crate::engine::session::SessionNumber;
use crate::engine::stacks::StackId;

const STACK: u64 = (1 << 28) - 1;
const SHORT_NUMBER_SHIFT: u32 = 28;
/// Sessions that have different short numbers.
pub(super) const SHORT_NUMBERS: u64 = 1 << 14;
/// In every short number, so that no entry in use is zero.
const USED: u64 = SHORT_NUMBERS;
const SHORT_NUMBER: u64 = USED | (SHORT_NUMBERS - 1);
const MOVING: u64 = 1 << 43;
const PLACE_SHIFT: u32 = 44;
/// In one-word entries the place is the size above the offset.
const SIZE_SHIFT: u32 = PLACE_SHIFT + 8;

/// A session's number in an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ShortNumber(u64);

impl ShortNumber {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn of(number: SessionNumber) -> Self {
        Self(USED | (number.0 % SHORT_NUMBERS))
    }

    /// How many sessions ago an entry of this short number was written, seen from `now`; one from a
    /// later session looks very old, which a sweep allows for.
    pub(super) fn sessions_before(self, now: Self) -> u64 {
        now.0.wrapping_sub(self.0) % SHORT_NUMBERS
    }
}

/// What an entry's first word says.
#[derive(Clone, Copy)]
pub(super) struct Word(u64);

impl Word {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn new(
        class: Class,
        address: u64,
        size: u64,
        stack: StackId,
        short: ShortNumber,
    ) -> Self {
        let offset = address & ((1 << class.window_bits()) - 1);
        let place = if class.has_size_word() {
            offset << PLACE_SHIFT
        } else {
            size << SIZE_SHIFT | offset << PLACE_SHIFT
        };
        Self(place | short.0 << SHORT_NUMBER_SHIFT | stack.bits() & STACK)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn short_number(self) -> ShortNumber {
        ShortNumber(self.0 >> SHORT_NUMBER_SHIFT & SHORT_NUMBER)
    }

    /// True if this is of the session and not moving.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_settled_in(self, short: ShortNumber) -> bool {
        self.0 >> SHORT_NUMBER_SHIFT & (SHORT_NUMBER | MOVING >> SHORT_NUMBER_SHIFT) == short.0
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_moving(self) -> bool {
        self.0 & MOVING != 0
    }

    /// This word with the mark of a `realloc` that is under way.
    pub(super) fn moving(self) -> Self {
        Self(self.0 | MOVING)
    }

    /// This word without the mark of [`Word::moving`].
    pub(super) fn settled(self) -> Self {
        Self(self.0 & !MOVING)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn stack(self) -> StackId {
        StackId::from_bits(self.0 & STACK)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn offset(self, class: Class) -> u64 {
        self.0 >> PLACE_SHIFT & ((1 << class.window_bits()) - 1)
    }

    /// The size in the word itself, of an entry of one word.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn size(self) -> u64 {
        self.0 >> SIZE_SHIFT
    }

    /// True if this is, in an entry of one word, the record of the block that starts at `address`
    /// and was allocated in the session, and it is not moving.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_of(self, class: Class, address: u64, short: ShortNumber) -> bool {
        const COMPARED: u64 = (1 << (SIZE_SHIFT - SHORT_NUMBER_SHIFT)) - 1;
        let expected = Self::new(class, address, 0, StackId::COMPLETE, short);
        (self.0 ^ expected.0) >> SHORT_NUMBER_SHIFT & COMPARED == 0
    }

    /// True if this is the entry of the block that starts at `address`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_at(self, class: Class, address: u64) -> bool {
        !self.is_empty() && self.offset(class) == address & ((1 << class.window_bits()) - 1)
    }
}

/// The entry for blocks of one class that start in one window.
///
/// The writer of an entry of two words clears the first word, writes the size, and then writes the
/// first word. A reader that finds one first word before and after it has read the size has words
/// of one record.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) word: &'static AtomicU64,
    pub(super) size: Option<&'static AtomicU64>,
}

impl Entry {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn load(self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// The size that belongs to `word`, or `None` if the entry has changed meanwhile.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn size(self, word: Word) -> Option<u64> {
        let Some(size) = self.size else {
            return Some(word.size());
        };
        let bytes = size.load(Ordering::Acquire);
        (self.word.load(Ordering::Relaxed) == word.0).then_some(bytes)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn record(self, word: Word) -> Option<Record> {
        Some(Record {
            size: self.size(word)?,
            stack: word.stack(),
        })
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn store(self, word: Word, bytes: u64) {
        if let Some(size) = self.size {
            self.word.store(0, Ordering::Relaxed);
            size.store(bytes, Ordering::Release);
        }
        self.word.store(word.0, Ordering::Release);
    }

    /// Replaces the first word and leaves the size as it is.
    pub(super) fn relabel(self, word: Word) {
        self.word.store(word.0, Ordering::Release);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn clear(self) {
        self.word.store(0, Ordering::Relaxed);
    }

    /// Clears the entry if it still says `word`.
    pub(super) fn clear_if(self, word: Word) {
        let _ = self
            .word
            .compare_exchange(word.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}
