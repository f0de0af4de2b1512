//! Live blocks: for each the size, the stack and the session, found by address without a lock.
//!
//! A shadow of the address space. A block of at least W bytes shares the aligned window of W bytes that it starts in
//! with no other start of such a block, since blocks do not overlap: so each class of sizes has a table with one entry
//! per window of its own width, and the thread that owns a block is the only one that writes the block's entry.
//!
//! | class  | sizes in bytes | window | entry |
//! |--------|----------------|--------|-------|
//! | dense  | 1..32          | 8      | 8     |
//! | small  | 32..256        | 32     | 8     |
//! | medium | 256..4096      | 256    | 8     |
//! | large  | 4096..65536    | 4096   | 16    |
//! | huge   | 65536..        | 65536  | 16    |
//!
//! An allocator that packs blocks closer than 8 bytes may let two records meet in one window; the older is then
//! replaced and counted as such, never mixed up.
//!
//! Entries are words:
//!
//! ```text
//!  63        44  43     42       28 27            0
//! | place      | mov | session tag | stack          |   place: offset in window, and for one-word entries the size
//! ```
//!
//! A two-word entry has the size in its second word. The order of writes and reads that keeps the two together is in
//! `Entry`.

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::arena::{Arena, zeroed_struct};
use super::session::Epoch;
use super::stacks::StackId;

/// Bits of the address space that user programs have, on every 64-bit target that this crate knows.
const ADDRESS_BITS: u32 = 48;
/// Tables are made for one region of addresses at a time.
const REGION_BITS: u32 = 20;
const DIRECTORY_BITS: u32 = (ADDRESS_BITS - REGION_BITS) / 2;
const DIRECTORY: usize = 1 << DIRECTORY_BITS;

/// One-word entries of a region for windows of `2^bits` bytes.
const fn entries(bits: u32) -> usize {
    1 << (REGION_BITS - bits)
}

type Leaf<const WORDS: usize> = [AtomicU64; WORDS];

/// The tables of one region, each made when the first block of its class appears there.
struct Region {
    dense: OnceRef<'static, Leaf<{ entries(3) }>>,
    small: OnceRef<'static, Leaf<{ entries(5) }>>,
    medium: OnceRef<'static, Leaf<{ entries(8) }>>,
    large: OnceRef<'static, Leaf<{ 2 * entries(12) }>>,
    huge: OnceRef<'static, Leaf<{ 2 * entries(16) }>>,
}

type Regions = [Region; DIRECTORY];
type Root = [OnceRef<'static, Regions>; DIRECTORY];

zeroed_struct!(Region {
    dense,
    small,
    medium,
    large,
    huge
});

/// A class of block sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Dense,
    Small,
    Medium,
    Large,
    Huge,
}

impl Class {
    const ALL: [Self; 5] = [
        Self::Dense,
        Self::Small,
        Self::Medium,
        Self::Large,
        Self::Huge,
    ];

    #[inline]
    const fn of(size: u64) -> Self {
        match size {
            0..32 => Self::Dense,
            32..256 => Self::Small,
            256..4096 => Self::Medium,
            4096..65_536 => Self::Large,
            _ => Self::Huge,
        }
    }

    /// log2 of the window in bytes.
    #[inline]
    const fn window_bits(self) -> u32 {
        match self {
            Self::Dense => 3,
            Self::Small => 5,
            Self::Medium => 8,
            Self::Large => 12,
            Self::Huge => 16,
        }
    }

    #[inline]
    const fn has_size_word(self) -> bool {
        matches!(self, Self::Large | Self::Huge)
    }
}

const STACK: u64 = (1 << 28) - 1;
const TAG_SHIFT: u32 = 28;
const TAGS: u64 = (1 << 15) - 1;
const MOVING: u64 = 1 << 43;
const PLACE_SHIFT: u32 = 44;
/// In one-word entries the place is the size above the offset.
const SIZE_SHIFT: u32 = PLACE_SHIFT + 8;

/// Sessions after which [`Live::sweep`] must have run, well before a tag comes round again.
pub(crate) const SWEEP_EVERY: u64 = 8192;

/// A session's number in an entry: 1..=32767, so that no entry in use is zero.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tag(u64);

impl Tag {
    #[inline]
    fn of(epoch: Epoch) -> Self {
        Self(epoch.0 % TAGS + 1)
    }

    /// How many sessions ago an entry of this tag was written, seen from `now`; one from a later session looks very
    /// old, which [`Live::sweep`] allows for.
    fn sessions_before(self, now: Self) -> u64 {
        (now.0 + TAGS - self.0) % TAGS
    }
}

/// A block's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) size: u64,
    pub(crate) stack: StackId,
}

/// What an entry's first word says.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    #[inline]
    fn new(class: Class, address: u64, size: u64, stack: StackId, tag: Tag) -> Self {
        let offset = address & ((1 << class.window_bits()) - 1);
        let place = if class.has_size_word() {
            offset << PLACE_SHIFT
        } else {
            size << SIZE_SHIFT | offset << PLACE_SHIFT
        };
        Self(place | tag.0 << TAG_SHIFT | stack.bits() & STACK)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn tag(self) -> Tag {
        Tag(self.0 >> TAG_SHIFT & TAGS)
    }

    fn is_moving(self) -> bool {
        self.0 & MOVING != 0
    }

    fn stack(self) -> StackId {
        StackId::from_bits(self.0 & STACK)
    }

    fn offset(self, class: Class) -> u64 {
        self.0 >> PLACE_SHIFT & ((1 << class.window_bits()) - 1)
    }

    /// True if this is the entry of the block that starts at `address`.
    fn is_at(self, class: Class, address: u64) -> bool {
        !self.is_empty() && self.offset(class) == address & ((1 << class.window_bits()) - 1)
    }
}

/// One entry: where a block of one class that starts in one window is noted.
///
/// The writer of a two-word entry clears the first word, writes the size and then the first word again; a reader that
/// sees the same first word before and after reading the size has a pair that belongs together.
#[derive(Clone, Copy)]
struct Entry {
    word: &'static AtomicU64,
    size: Option<&'static AtomicU64>,
}

impl Entry {
    #[inline]
    fn load(self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// The size that belongs to `word`, or `None` if the entry has changed meanwhile.
    #[inline]
    fn size(self, word: Word) -> Option<u64> {
        let Some(size) = self.size else {
            return Some(word.0 >> SIZE_SHIFT);
        };
        let bytes = size.load(Ordering::Acquire);
        (self.word.load(Ordering::Relaxed) == word.0).then_some(bytes)
    }

    fn record(self, word: Word) -> Option<Record> {
        Some(Record {
            size: self.size(word)?,
            stack: word.stack(),
        })
    }

    #[inline]
    fn store(self, word: Word, bytes: u64) {
        if let Some(size) = self.size {
            self.word.store(0, Ordering::Relaxed);
            size.store(bytes, Ordering::Release);
        }
        self.word.store(word.0, Ordering::Release);
    }

    fn clear(self) {
        self.word.store(0, Ordering::Relaxed);
    }

    /// Clears the entry if it still says `word`.
    fn clear_if(self, word: Word) {
        let _ = self
            .word
            .compare_exchange(word.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A block whose `realloc` is under way: still live at its old size, but from now on another thread may be given its
/// address, and then overwrites the entry.
pub(crate) struct Moving {
    entry: Entry,
    word: Word,
    pub(crate) record: Record,
}

/// The record could not be made: no memory for the table, or an address beyond the 48 bits that the tables cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The table of live blocks.
pub(crate) struct Live {
    root: OnceRef<'static, Root>,
}

impl Live {
    pub(crate) const fn new() -> Self {
        Self {
            root: OnceRef::new(),
        }
    }

    /// Makes the table that every block needs, ahead of the first one.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        arena.first_use(&self.root).map(drop)
    }

    /// Notes a block that this thread has just received. Returns the record of a block that was at the same place and
    /// whose return the tracer did not see: its bytes are to be taken off the counters.
    #[inline]
    pub(crate) fn insert(
        &self,
        arena: &Arena,
        address: usize,
        record: Record,
        epoch: Epoch,
    ) -> Result<Option<Record>, NoRoom> {
        let class = Class::of(record.size);
        let address = address as u64;
        let entry = self.make_entry(arena, class, address).ok_or(NoRoom)?;
        let tag = Tag::of(epoch);
        let old = entry.load();
        // A moving entry is settled by the thread that moves the block.
        let stale = !old.is_empty() && old.tag() == tag && !old.is_moving();
        let replaced = if stale { entry.record(old) } else { None };
        entry.store(
            Word::new(class, address, record.size, record.stack, tag),
            record.size,
        );
        Ok(replaced)
    }

    /// Forgets the block at `address`, which this thread owns and was asked for with `size` bytes. `None` if it is not
    /// of session `epoch`.
    #[inline]
    pub(crate) fn take(&self, address: usize, size: usize, epoch: Epoch) -> Option<Record> {
        let (entry, word) = self.find(Class::of(size as u64), address as u64)?;
        let record = entry.record(word);
        entry.clear();
        if word.tag() == Tag::of(epoch) {
            record
        } else {
            None
        }
    }

    /// Marks the block at `address`, which this thread owns, as moving.
    pub(crate) fn begin_move(&self, address: usize, size: usize, epoch: Epoch) -> Option<Moving> {
        let (entry, word) = self.find(Class::of(size as u64), address as u64)?;
        let record = entry.record(word);
        if word.tag() != Tag::of(epoch) {
            entry.clear();
            return None;
        }
        let word = Word(word.0 | MOVING);
        entry.word.store(word.0, Ordering::Release);
        Some(Moving {
            entry,
            word,
            record: record?,
        })
    }

    /// The block was moved or resized: its old entry goes, unless the address has a new owner who wrote it anew.
    pub(crate) fn finish_move(&self, moving: &Moving) {
        moving.entry.clear_if(moving.word);
    }

    /// The block stayed where it was: nothing has changed. Nobody else can have been given its address.
    pub(crate) fn cancel_move(&self, moving: &Moving) {
        moving
            .entry
            .word
            .store(moving.word.0 & !MOVING, Ordering::Release);
    }

    /// The block that starts at `address`, whoever owns it. Any number is allowed; nothing is read at that address.
    pub(crate) fn get(&self, address: usize, epoch: Epoch) -> Option<Record> {
        Class::ALL.into_iter().find_map(|class| {
            let (entry, word) = self.find(class, address as u64)?;
            if word.tag() == Tag::of(epoch) {
                entry.record(word)
            } else {
                None
            }
        })
    }

    /// Calls `visit` with every block of session `epoch`. Blocks that come or go meanwhile may or may not be seen;
    /// every other block is seen once.
    pub(crate) fn for_each(&self, epoch: Epoch, mut visit: impl FnMut(Record)) {
        let tag = Tag::of(epoch);
        self.for_each_entry(|entry| {
            let word = entry.load();
            if !word.is_empty()
                && word.tag() == tag
                && let Some(record) = entry.record(word)
            {
                visit(record);
            }
        });
    }

    /// Clears the entries of sessions that ended before `epoch`, so that their tags can be used again.
    ///
    /// Entries of the next `SWEEP_EVERY` sessions are left alone: other threads may be ahead of this one.
    pub(crate) fn sweep(&self, epoch: Epoch) {
        let now = Tag::of(epoch);
        self.for_each_entry(|entry| {
            let word = entry.load();
            if !word.is_empty()
                && (1..TAGS - SWEEP_EVERY).contains(&word.tag().sessions_before(now))
            {
                entry.clear_if(word);
            }
        });
    }

    /// The entry of `address` in `class` and its word, if they say that a block starts exactly there.
    #[inline]
    fn find(&self, class: Class, address: u64) -> Option<(Entry, Word)> {
        let region = self
            .root
            .get()?
            .get(upper(address)?)?
            .get()?
            .get(lower(address))?;
        let entry = region.entry(class, address)?;
        let word = entry.load();
        if word.is_at(class, address) {
            Some((entry, word))
        } else {
            None
        }
    }

    #[inline]
    fn make_entry(&self, arena: &Arena, class: Class, address: u64) -> Option<Entry> {
        let root = arena.first_use(&self.root)?;
        let regions = arena.first_use(root.get(upper(address)?)?)?;
        let region = regions.get(lower(address))?;
        region.entry(class, address).or_else(|| {
            region.make(arena, class)?;
            region.entry(class, address)
        })
    }

    fn for_each_entry(&self, mut visit: impl FnMut(Entry)) {
        let regions = self
            .root
            .get()
            .into_iter()
            .flatten()
            .filter_map(OnceRef::get)
            .flatten();
        for region in regions {
            for class in Class::ALL {
                region.for_each_entry(class, &mut visit);
            }
        }
    }
}

/// Index into the root; `None` for addresses that the tables do not cover.
#[inline]
fn upper(address: u64) -> Option<usize> {
    let index = (address >> (REGION_BITS + DIRECTORY_BITS)) as usize;
    if index < DIRECTORY { Some(index) } else { None }
}

/// Index into the regions below one entry of the root.
#[inline]
fn lower(address: u64) -> usize {
    (address >> REGION_BITS) as usize & (DIRECTORY - 1)
}

impl Region {
    fn words(&self, class: Class) -> Option<&'static [AtomicU64]> {
        Some(match class {
            Class::Dense => self.dense.get()?,
            Class::Small => self.small.get()?,
            Class::Medium => self.medium.get()?,
            Class::Large => self.large.get()?,
            Class::Huge => self.huge.get()?,
        })
    }

    #[cold]
    fn make(&self, arena: &Arena, class: Class) -> Option<()> {
        match class {
            Class::Dense => arena.first_use(&self.dense).map(drop),
            Class::Small => arena.first_use(&self.small).map(drop),
            Class::Medium => arena.first_use(&self.medium).map(drop),
            Class::Large => arena.first_use(&self.large).map(drop),
            Class::Huge => arena.first_use(&self.huge).map(drop),
        }
    }

    #[inline]
    fn entry(&self, class: Class, address: u64) -> Option<Entry> {
        let words = self.words(class)?;
        let window = (address as usize >> class.window_bits())
            & ((1 << (REGION_BITS - class.window_bits())) - 1);
        if class.has_size_word() {
            Some(Entry {
                word: words.get(2 * window)?,
                size: Some(words.get(2 * window + 1)?),
            })
        } else {
            Some(Entry {
                word: words.get(window)?,
                size: None,
            })
        }
    }

    fn for_each_entry(&self, class: Class, visit: &mut impl FnMut(Entry)) {
        let Some(words) = self.words(class) else {
            return;
        };
        if class.has_size_word() {
            for pair in words.chunks_exact(2) {
                if let [word, size] = pair {
                    visit(Entry {
                        word,
                        size: Some(size),
                    });
                }
            }
        } else {
            words
                .iter()
                .for_each(|word| visit(Entry { word, size: None }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(5);
    const BASE: usize = 0x7fff_1230_0000;

    /// One size from each end of every class.
    const SIZES: [u64; 10] = [1, 31, 32, 255, 256, 4095, 4096, 65_535, 65_536, 1 << 40];

    fn record(size: u64, stack: u64) -> Record {
        Record {
            size,
            stack: StackId::from_bits(stack),
        }
    }

    fn insert(live: &Live, arena: &Arena, address: usize, record: Record) -> Option<Record> {
        live.insert(arena, address, record, EPOCH).expect("room")
    }

    fn all(live: &Live) -> Vec<Record> {
        let mut found = Vec::new();
        live.for_each(EPOCH, |record| found.push(record));
        found
    }

    #[test]
    fn a_record_reads_as_it_was_written_in_every_class_and_at_every_offset() {
        for size in SIZES {
            let window = 1 << Class::of(size).window_bits();
            for offset in [0, 1, 8, 16, window / 2, window - 1] {
                let (arena, live) = (Arena::new(), Live::new());
                let (address, stack) = (BASE + offset, (1 << 28) - 1);
                assert_eq!(insert(&live, &arena, address, record(size, stack)), None);
                assert_eq!(live.get(address, EPOCH), Some(record(size, stack)));
                assert_eq!(all(&live), [record(size, stack)]);
                assert_eq!(live.get(address, Epoch(6)), None);
                for near in [
                    address + 1,
                    address - 1,
                    address + window,
                    address ^ (1 << 47),
                ] {
                    assert_eq!(live.get(near, EPOCH), None, "{size} at {offset}");
                }
                let taken = live.take(address, size as usize, EPOCH);
                assert_eq!(taken, Some(record(size, stack)));
                assert_eq!(live.take(address, size as usize, EPOCH), None);
                assert_eq!(all(&live), []);
            }
        }
    }

    #[test]
    fn blocks_side_by_side_keep_their_own_records() {
        let (arena, live) = (Arena::new(), Live::new());
        let mut address = BASE - 100_000;
        let mut expect = Vec::new();
        for round in 0..2000_u64 {
            let size = SIZES[round as usize % 9];
            // Sizes below 8 may share a window; see the table of classes.
            insert(&live, &arena, address, record(size, round));
            expect.push((address, record(size, round)));
            address += size.max(8) as usize;
        }
        assert_eq!(all(&live).len(), expect.len());
        for (address, record) in expect {
            assert_eq!(live.get(address, EPOCH), Some(record));
        }
    }

    #[test]
    fn any_number_can_be_looked_up() {
        let (arena, live) = (Arena::new(), Live::new());
        for address in [
            0,
            1,
            8,
            4096,
            usize::MAX,
            usize::MAX / 2,
            1 << 48,
            (1 << 48) - 1,
        ] {
            assert_eq!(live.get(address, EPOCH), None);
            insert(&live, &arena, BASE, record(50, 3));
            assert_eq!(live.get(address, EPOCH), None);
            assert_eq!(live.take(address, 50, EPOCH), None);
        }
        let outside = live.insert(&arena, 1 << 48, record(50, 3), EPOCH);
        assert_eq!(outside, Err(NoRoom));
    }

    #[test]
    fn a_record_at_the_place_of_a_new_block_is_handed_out_unless_it_moves_or_is_dead() {
        for size in [8, 100, 1000, 5000, 100_000] {
            let (arena, live) = (Arena::new(), Live::new());
            insert(&live, &arena, BASE, record(size, 3));
            assert_eq!(
                insert(&live, &arena, BASE, record(size, 4)),
                Some(record(size, 3))
            );

            let moving = live.begin_move(BASE, size as usize, EPOCH).expect("known");
            assert_eq!(moving.record, record(size, 4));
            assert_eq!(insert(&live, &arena, BASE, record(size, 5)), None);
            live.finish_move(&moving);
            assert_eq!(live.get(BASE, EPOCH), Some(record(size, 5)));

            // A failed move leaves an ordinary record, not one that the next block may ignore.
            let moving = live.begin_move(BASE, size as usize, EPOCH).expect("known");
            live.cancel_move(&moving);
            assert_eq!(
                insert(&live, &arena, BASE, record(size, 6)),
                Some(record(size, 5))
            );

            let later = live.insert(&arena, BASE, record(size, 7), Epoch(6));
            assert_eq!(later, Ok(None));
        }
    }

    #[test]
    fn a_sweep_spares_this_session_and_those_just_begun() {
        let (arena, live) = (Arena::new(), Live::new());
        let now = Epoch(100_000);
        let ages = [-8000_i64, -1, 0, 1, 2, 8000, 20_000];
        for (place, age) in ages.iter().enumerate() {
            let epoch = Epoch((now.0 as i64 - age) as u64);
            live.insert(&arena, BASE + 64 * place, record(64, 3), epoch)
                .expect("room");
        }
        live.sweep(now);
        for (place, age) in ages.iter().enumerate() {
            let epoch = Epoch((now.0 as i64 - age) as u64);
            assert_eq!(
                live.get(BASE + 64 * place, epoch).is_some(),
                *age <= 0,
                "{age}"
            );
        }
    }
}
