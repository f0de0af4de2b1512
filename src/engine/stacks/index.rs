//! The index of stacks: from the hash of a path to the node at its end. A hash table that grows while
//! no thread waits.
//!
//! An entry is one word, so eight of them share a cache line: a look-up mostly waits for memory. It has
//! as many bits of the hash as there is room for, which is enough to place it in a table of any size.
//! Only the node itself tells whether it is the right one.
//!
//! A table that is filling up is followed by one of twice its size. The thread that created the new
//! table copies the entries. Meanwhile both are searched; afterwards the old one's memory is given
//! back. An entry that was added to the old table too late is not copied. Its node is then added once
//! more, and reads as the first one does.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::{PathHash, StackId};
use crate::engine::memory::arena::{Arena, zeroed_struct};
use crate::engine::memory::prefetch::prefetch;

/// What a node is found by: as many bits of the hash as an entry has room for.
///
/// Where an entry belongs, in tables of any size, they say too: the lower ones where in a piece,
/// the ones above in which piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    #[inline]
    pub(super) fn of_path(hash: PathHash) -> Self {
        Self(hash.0 >> NUMBER_BITS)
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

/// What an entry says. The number is never 0, so that no entry in use is.
///
/// ```text
///  63            28 27              0
/// | key            | node's number   |
/// ```
#[derive(Clone, Copy)]
struct Word(u64);

const NUMBER_BITS: u32 = 28;
const _: () = assert!(StackId::FIRST > 0 && StackId::END <= 1 << NUMBER_BITS);

impl Word {
    const FREE: u64 = 0;

    fn new(key: Key, node: StackId) -> Self {
        Self(key.0 << NUMBER_BITS | node.bits())
    }

    #[inline]
    fn key(self) -> Key {
        Key(self.0 >> NUMBER_BITS)
    }

    #[inline]
    fn node(self) -> StackId {
        StackId::from_bits(self.0 & ((1 << NUMBER_BITS) - 1))
    }
}

/// A part of a table. How many entries are taken it does not say: threads that add stacks would pass that word
/// from one processor to the next.
struct Piece {
    entries: [AtomicU64; ENTRIES],
}

zeroed_struct!(Piece { entries });

const PIECE_BITS: u32 = 12;
const ENTRIES: usize = 1 << PIECE_BITS;
/// The table grows when this many of [`ENTRIES`] are taken on average: a node's entry then takes 10 to 20
/// bytes, and a look-up of a new path reads 14 entries at most on average, two lines of memory.
const GROW_AT: u32 = ENTRIES as u32 / 16 * 13;
/// Entries that a search reads at most, and so the furthest that a new one is put from its place. Where there is none
/// free within that the table grows too; if it cannot, the stack is refused.
const MAX_SEARCHED: usize = ENTRIES / 4;

/// Generation `g` has `2^g` times as many pieces as the first. Pieces that no node needs are not
/// made.
const FIRST_BITS: u32 = 2;
const GENERATIONS: u32 = 16;
const _: () = assert!(PIECE_BITS + FIRST_BITS + GENERATIONS <= u64::BITS - NUMBER_BITS);
/// From this generation on, pieces are dense tables: the hash spreads entries over all of them.
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
        self.piece(arena, newest, Key(0)).map(drop)
    }

    /// The node at the end of a path, of those for which `key` is right: the one that `is_right`
    /// too.
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
        let piece = self.piece_if_made(generation, key)?;
        for entry in piece.from(key) {
            let word = entry.load(Ordering::Acquire);
            if word == Word::FREE {
                return None;
            }
            let word = Word(word);
            if word.key() == key && is_right(word.node()) {
                return Some(word.node());
            }
        }
        None
    }

    /// Has the memory fetched that [`Index::find`] will read.
    #[inline]
    pub(super) fn prefetch(&self, key: Key) {
        let newest = self.newest.load(Ordering::Relaxed);
        if let Some(piece) = self.piece_if_made(newest, key)
            && let Some(entry) = piece.entries.get(key.entry())
        {
            prefetch(entry);
        }
    }

    /// Adds the node that `make` makes, unless there is no room for it. `nodes`: how many there are.
    pub(super) fn add(
        &self,
        arena: &Arena,
        key: Key,
        nodes: u32,
        make: impl FnOnce() -> Option<StackId>,
    ) -> Option<StackId> {
        let newest = self.newest.load(Ordering::Acquire);
        let is_full = nodes >> (FIRST_BITS + newest) >= GROW_AT;
        let grown = is_full.then(|| self.grown(arena, newest, key)).flatten();
        let piece = match grown {
            Some((_, piece)) => piece,
            None => self.piece(arena, newest, key)?,
        };
        let node = make()?;
        let word = Word::new(key, node);
        (piece.add(word) || self.add_beyond(arena, newest, word)).then_some(node)
    }

    /// Adds `word` to a generation after `generation`, where there was no room for it. False if there is none in
    /// any.
    ///
    /// Each turn takes a later generation, and there are few. One turn is nearly always enough: at half the load
    /// no place is crowded, unless hashes agree in many bits.
    #[cold]
    #[inline(never)]
    fn add_beyond(&self, arena: &Arena, mut generation: u32, word: Word) -> bool {
        while let Some((next, piece)) = self.grown(arena, generation, word.key()) {
            if piece.add(word) {
                return true;
            }
            generation = next;
        }
        false
    }

    /// A generation after `generation`, which begins now unless it has begun, and its piece for `key`. `None`
    /// if there is none, or no memory for the piece.
    #[cold]
    #[inline(never)]
    fn grown(&self, arena: &Arena, generation: u32, key: Key) -> Option<(u32, &'static Piece)> {
        let newest = self.newest.load(Ordering::Acquire);
        let next = newest.max(generation + 1);
        let piece = (next < GENERATIONS).then(|| self.piece(arena, next, key))??;
        let begun =
            self.newest
                .compare_exchange(next - 1, next, Ordering::AcqRel, Ordering::Relaxed);
        if begun.is_ok() {
            self.move_to(arena, next);
        }
        Some((next, piece))
    }

    /// Copies what older generations hold to `newest`, and gives their memory back. Without memory
    /// for the copies they stay, and are still searched.
    #[cold]
    fn move_to(&self, arena: &Arena, newest: u32) {
        let oldest = self.oldest.load(Ordering::Acquire);
        let older = Key(0).piece(oldest)..Key(0).piece(newest);
        let Some(pieces) = self.pieces.get().and_then(|pieces| pieces.get(older)) else {
            return;
        };
        for piece in pieces.iter().filter_map(OnceRef::get) {
            for entry in &piece.entries {
                let word = entry.load(Ordering::Acquire);
                if word == Word::FREE {
                    continue;
                }
                let word = Word(word);
                let Some(piece) = self.piece(arena, newest, word.key()) else {
                    return;
                };
                if !piece.add(word) {
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
    fn piece_if_made(&self, generation: u32, key: Key) -> Option<&'static Piece> {
        self.pieces.get()?.get(key.piece(generation))?.get()
    }

    fn piece(&self, arena: &Arena, generation: u32, key: Key) -> Option<&'static Piece> {
        let pieces = arena.first_use(&self.pieces)?;
        let piece = pieces.get(key.piece(generation))?;
        if generation < LARGE {
            arena.first_use(piece)
        } else {
            arena.first_use_dense(piece)
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
    fn from(&self, key: Key) -> impl Iterator<Item = &AtomicU64> {
        (0..MAX_SEARCHED).filter_map(move |at| self.entries.get((key.entry() + at) % ENTRIES))
    }

    /// False if every entry that a search for it would read is taken.
    fn add(&self, word: Word) -> bool {
        self.from(word.key()).any(|entry| {
            // Looked at before it is tried: an exchange that fails takes the line from other processors too.
            entry.load(Ordering::Relaxed) == Word::FREE
                // Released: a thread that finds the entry reads the node.
                && entry
                    .compare_exchange(Word::FREE, word.0, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that all belong to one entry of one piece. Seen to fail while that alone did not make the table grow.
    #[test]
    fn a_crowded_place_makes_the_table_grow_and_loses_nothing() {
        let (arena, index) = (Arena::new(), Index::new());
        index.prepare(&arena).expect("memory");
        let keys = (0..3 * MAX_SEARCHED as u64).map(|n| Key(n << (PIECE_BITS + FIRST_BITS)));
        let node = |key: Key| StackId::from_bits(key.0 % 1000 + u64::from(StackId::FIRST));
        for (added, key) in keys.clone().enumerate() {
            let made = index.add(&arena, key, 0, || Some(node(key)));
            assert_eq!(made, Some(node(key)), "{added}");
        }
        assert!(index.generation() > 0);
        for key in keys {
            assert_eq!(index.find(key, |_| true), Some(node(key)));
        }
    }

    /// Keys that belong to one place in the next three generations too. Seen to fail while a call made the table
    /// grow once at most.
    #[test]
    fn places_that_are_crowded_in_several_generations_lose_nothing() {
        let (arena, index) = (Arena::new(), Index::new());
        index.prepare(&arena).expect("memory");
        let keys = (0..2 * MAX_SEARCHED as u64).map(|n| Key(n << (PIECE_BITS + FIRST_BITS + 3)));
        let node = |key: Key| StackId::from_bits((key.0 >> PIECE_BITS) + u64::from(StackId::FIRST));
        for (added, key) in keys.clone().enumerate() {
            let made = index.add(&arena, key, 0, || Some(node(key)));
            assert_eq!(made, Some(node(key)), "{added}");
        }
        assert!(index.generation() > 3);
        for key in keys {
            assert_eq!(index.find(key, |_| true), Some(node(key)));
        }
    }

    /// Keys that agree in every bit that places them: the table cannot tell them apart, and says so.
    #[test]
    fn keys_that_no_generation_parts_are_refused_in_the_end() {
        let (arena, index) = (Arena::new(), Index::new());
        index.prepare(&arena).expect("memory");
        let node = |n: usize| StackId::from_bits(n as u64 + u64::from(StackId::FIRST));
        let made = (0..MAX_SEARCHED + 2).map(|n| index.add(&arena, Key(7), 0, || Some(node(n))));
        let made: Vec<_> = made.collect();
        let (kept, refused) = made.split_at(MAX_SEARCHED);
        assert!(kept.iter().all(Option::is_some), "as many as fit are kept");
        assert_eq!(refused, [None; 2]);
        for n in 0..MAX_SEARCHED {
            assert_eq!(index.find(Key(7), |found| found == node(n)), Some(node(n)));
        }
    }
}
