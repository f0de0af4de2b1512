//! From the hash of a path to the node at its end: a hash table that grows without anybody waiting.
//!
//! Entries say all that is needed to compare and to place them, so a look-up reads one line of
//! memory. A table that is
//! filling up is followed by one of twice its size, to which whoever made it copies the entries;
//! meanwhile both are searched, afterwards the old one's memory is given back. An entry that was
//! added to the old table too late to be copied is forgotten: its node is then added once more, and
//! reads the same.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::{ADDRESS_BITS, PathHash, StackId};
use crate::engine::arena::{Arena, zeroed_struct};
use crate::engine::prefetch::prefetch;

/// What a node is found by.
///
/// ```text
///          63        48 47                              0
/// address | hash       | return address                  |
///          63      56 55            28 27               0
/// node    | hash     | caller         | its number       |
/// ```
#[derive(Clone, Copy)]
pub(super) struct Key {
    place: Place,
    /// The first word of the entry.
    word: u64,
    /// The rest of the hash.
    hash: u64,
}

const NUMBER_BITS: u32 = 28;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;
const HASH_SHIFT: u32 = 2 * NUMBER_BITS;

impl Key {
    /// The path with this hash, to the frame with this return address. `None` for addresses that no
    /// program has.
    #[inline]
    pub(super) fn of_path(address: usize, hash: PathHash) -> Option<Self> {
        let address = address as u64;
        if address == 0 || address >> ADDRESS_BITS != 0 {
            return None;
        }
        Some(Self::new(
            address | hash.0 >> ADDRESS_BITS << ADDRESS_BITS,
            hash.0 >> 40 & 0xFF,
        ))
    }

    /// From an entry's words.
    fn of_entry(word: u64, node: u64) -> Self {
        Self::new(word, node >> HASH_SHIFT)
    }

    #[inline]
    fn new(word: u64, hash: u64) -> Self {
        Self {
            place: Place::of(word, hash),
            word,
            hash,
        }
    }
}

/// Where an entry belongs, in tables of any size: the upper bits say in which piece, the lower ones
/// where in it.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    /// From what the words of an entry say apart from the numbers, which are not known when a path
    /// is looked for.
    #[inline]
    fn of(word: u64, hash: u64) -> Self {
        let key = word ^ hash.rotate_left(40);
        let mixed = u128::from(key) * 0x9E37_79B9_7F4A_7C15;
        Self((mixed as u64) ^ (mixed >> 64) as u64)
    }

    #[inline]
    fn piece(self, generation: u32) -> usize {
        let bits = FIRST_BITS + generation;
        let first = (1 << bits) - (1 << FIRST_BITS);
        first + (self.0 as usize >> PIECE_BITS & ((1 << bits) - 1))
    }

    #[inline]
    fn entry(self) -> usize {
        self.0 as usize & (ENTRIES - 1)
    }
}

/// 0 in the first word: free; in the second: the first one was only just written.
struct Entry {
    address: AtomicU64,
    node: AtomicU64,
}

zeroed_struct!(Entry { address, node });

/// A part of a table.
struct Piece {
    used: AtomicU32,
    entries: [Entry; ENTRIES],
}

zeroed_struct!(Piece { used, entries });

const PIECE_BITS: u32 = 12;
const ENTRIES: usize = 1 << PIECE_BITS;
/// A piece this full makes the table grow.
const GROW_AT: u32 = ENTRIES as u32 / 4 * 3;
/// A piece this full takes no more when the table cannot grow.
const FULL_AT: u32 = ENTRIES as u32 / 16 * 15;

/// Generation `g` has `2^g` times as many pieces as the first. Pieces that no node needs are not
/// made.
const FIRST_BITS: u32 = 2;
const GENERATIONS: u32 = 16;
/// From this generation on, pieces are put on large pages: a look-up anywhere in a table of several
/// megabytes otherwise waits for the page tables too.
const LARGE: u32 = 5;
const PIECES: usize = (1 << (FIRST_BITS + GENERATIONS)) - (1 << FIRST_BITS);

/// The table.
pub(super) struct Index {
    pieces: OnceRef<'static, [OnceRef<'static, Piece>; PIECES]>,
    /// The generation that takes new entries, and the oldest one that still has some of its own.
    newest: AtomicU32,
    oldest: AtomicU32,
}

impl Index {
    pub(super) const fn new() -> Self {
        Self {
            pieces: OnceRef::new(),
            newest: AtomicU32::new(0),
            oldest: AtomicU32::new(0),
        }
    }

    pub(super) fn prepare(&self, arena: &Arena) -> Option<()> {
        let newest = self.newest.load(Ordering::Acquire);
        self.piece(arena, newest, Place(0)).map(drop)
    }

    /// The node at the end of a path, of those for which `key` is right: the one with a caller that
    /// `is_right` too.
    #[inline]
    pub(super) fn find(
        &self,
        key: Key,
        mut is_right: impl FnMut(StackId) -> bool,
    ) -> Option<StackId> {
        let newest = self.newest.load(Ordering::Acquire);
        match self.find_in(newest, key, &mut is_right) {
            None if self.oldest.load(Ordering::Relaxed) != newest => {
                self.find_in_older(key, &mut is_right)
            }
            found => found,
        }
    }

    #[cold]
    #[inline(never)]
    fn find_in_older(
        &self,
        key: Key,
        is_right: &mut impl FnMut(StackId) -> bool,
    ) -> Option<StackId> {
        let oldest = self.oldest.load(Ordering::Acquire);
        let newest = self.newest.load(Ordering::Acquire);
        (oldest..=newest)
            .rev()
            .find_map(|generation| self.find_in(generation, key, is_right))
    }

    #[inline]
    fn find_in(
        &self,
        generation: u32,
        key: Key,
        is_right: &mut impl FnMut(StackId) -> bool,
    ) -> Option<StackId> {
        let piece = self.piece_if_made(generation, key.place)?;
        for entry in piece.from(key.place) {
            let word = entry.address.load(Ordering::Acquire);
            if word == key.word {
                let node = entry.node.load(Ordering::Acquire);
                let caller = StackId::from_bits(node >> NUMBER_BITS & NUMBER);
                if node != 0 && node >> HASH_SHIFT == key.hash && is_right(caller) {
                    return Some(StackId::from_bits(node & NUMBER));
                }
            } else if word == 0 {
                return None;
            }
        }
        None
    }

    /// Has the memory fetched that [`Index::find`] will read.
    #[inline]
    pub(super) fn prefetch(&self, key: Key) {
        let newest = self.newest.load(Ordering::Relaxed);
        if let Some(piece) = self.piece_if_made(newest, key.place)
            && let Some(entry) = piece.entries.get(key.place.entry())
        {
            prefetch(entry);
        }
    }

    /// Adds the node that `make` makes for a path from `caller`, unless there is no room for it.
    pub(super) fn add(
        &self,
        arena: &Arena,
        key: Key,
        caller: StackId,
        make: impl FnOnce() -> Option<StackId>,
    ) -> Option<StackId> {
        let piece = self.piece_with_room(arena, key.place)?;
        let stack = make()?;
        let node = key.hash << HASH_SHIFT | caller.bits() << NUMBER_BITS | stack.bits();
        piece.add(key.place, key.word, node).then_some(stack)
    }

    /// The newest generation's piece for `place`, in a new generation if that piece is full.
    fn piece_with_room(&self, arena: &Arena, place: Place) -> Option<&'static Piece> {
        let newest = self.newest.load(Ordering::Acquire);
        let piece = self.piece(arena, newest, place)?;
        let used = piece.used.load(Ordering::Relaxed);
        if used < GROW_AT {
            return Some(piece);
        }
        if newest + 1 < GENERATIONS
            && let Some(fresh) = self.piece(arena, newest + 1, place)
        {
            let begun = self.newest.compare_exchange(
                newest,
                newest + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if begun.is_ok() {
                self.move_to(arena, newest + 1);
            }
            return Some(fresh);
        }
        (used < FULL_AT).then_some(piece)
    }

    /// Copies what older generations hold to `newest`, and gives their memory back. Without memory
    /// for the copies they stay, and are still searched.
    #[cold]
    fn move_to(&self, arena: &Arena, newest: u32) {
        let oldest = self.oldest.load(Ordering::Acquire);
        let older = Place(0).piece(oldest)..Place(0).piece(newest);
        let Some(pieces) = self.pieces.get().and_then(|pieces| pieces.get(older)) else {
            return;
        };
        for piece in pieces.iter().filter_map(OnceRef::get) {
            for entry in &piece.entries {
                let word = entry.address.load(Ordering::Acquire);
                let node = entry.node.load(Ordering::Acquire);
                if word == 0 || node == 0 {
                    continue;
                }
                let place = Key::of_entry(word, node).place;
                let Some(piece) = self.piece(arena, newest, place) else {
                    return;
                };
                if !piece.add(place, word, node) {
                    return;
                }
            }
        }
        self.oldest.fetch_max(newest, Ordering::AcqRel);
        for piece in pieces.iter().filter_map(OnceRef::get) {
            arena.empty(piece);
        }
    }

    #[inline]
    fn piece_if_made(&self, generation: u32, place: Place) -> Option<&'static Piece> {
        self.pieces.get()?.get(place.piece(generation))?.get()
    }

    fn piece(&self, arena: &Arena, generation: u32, place: Place) -> Option<&'static Piece> {
        let pieces = arena.first_use(&self.pieces)?;
        let piece = pieces.get(place.piece(generation))?;
        if generation < LARGE {
            arena.first_use(piece)
        } else {
            arena.first_use_among_many(piece)
        }
    }

    #[cfg(test)]
    pub(super) fn generation(&self) -> u32 {
        self.newest.load(Ordering::Relaxed)
    }
}

impl Piece {
    /// The entries in the order in which a search reads them.
    #[inline]
    fn from(&self, place: Place) -> impl Iterator<Item = &Entry> {
        let (before, from) = self.entries.split_at(place.entry());
        from.iter().chain(before)
    }

    /// False if every entry is taken.
    fn add(&self, place: Place, word: u64, node: u64) -> bool {
        for entry in self.from(place) {
            let taken =
                entry
                    .address
                    .compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                self.used.fetch_add(1, Ordering::Relaxed);
                entry.node.store(node, Ordering::Release);
                return true;
            }
        }
        false
    }
}
