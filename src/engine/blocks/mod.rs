//! The live table: each live block's size, stack and session, found by the block's address without a
//! lock.
//!
//! It is a shadow of the address space. Memory is divided into aligned windows of W bytes. Blocks do
//! not overlap, so no two blocks of at least W bytes start in one window. Each class of sizes has a
//! window width of its own, and a table with one entry per window. So an entry belongs to one block,
//! and the thread that owns the block is the only one that writes it.
//!
//! | class  | sizes in bytes | window | entry |
//! |--------|----------------|--------|-------|
//! | dense  | 1..32          | 8      | 8     |
//! | small  | 32..256        | 32     | 8     |
//! | medium | 256..4096      | 256    | 8     |
//! | large  | 4096..65536    | 4096   | 16    |
//! | huge   | 65536..        | 65536  | 16    |
//!
//! Where the inner allocator is known to keep blocks 32 bytes apart, blocks under 32 bytes count as
//! small. The dense table is then never created. An allocator that packs blocks closer than 8 bytes
//! may let two records meet in one window. The older one is then replaced and counted as replaced.

mod class;
mod entry;
mod filter;
mod shadow;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU8, Ordering};

use crate::engine::memory::arena::Arena;
use crate::engine::session::SessionNumber;
use crate::engine::stacks::StackId;

use class::Class;
use entry::{Entry, SHORT_NUMBERS, ShortNumber, Word};
pub(crate) use filter::Filter;
use shadow::Shadow;

/// Sessions after which [`LiveTable::sweep`] must have run, well before a short number comes round
/// again.
pub(crate) const SWEEP_EVERY: u64 = 4096;

/// How close the inner allocator may put the starts of two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// As close as their sizes allow.
    Close = 1,
    /// At least 32 bytes apart, and never two in one aligned window of 32 bytes.
    Wide = 2,
}

/// A block's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) size: u64,
    pub(crate) stack: StackId,
}

/// A block whose `realloc` is under way. It is live with its old size, but another thread may receive
/// its address at any moment and then overwrites the entry.
pub(crate) struct Moving {
    entry: Entry,
    word: Word,
    pub(crate) address: usize,
    pub(crate) size: u64,
}

impl Moving {
    /// The record that is marked.
    pub(crate) fn record(&self) -> Record {
        Record {
            size: self.size,
            stack: self.word.stack(),
        }
    }
}

/// An empty entry of one word, and the record to write there.
pub(crate) struct FreeEntry {
    entry: Entry,
    word: Word,
}

impl FreeEntry {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn write(self) {
        self.entry.store(self.word, self.word.size());
    }
}

/// An entry of one word with the record of a block that this thread owns.
pub(crate) struct OwnEntry {
    entry: Entry,
    word: Word,
}

impl OwnEntry {
    /// The record.
    #[inline]
    pub(crate) fn record(&self) -> Record {
        Record {
            size: self.word.size(),
            stack: self.word.stack(),
        }
    }

    /// The recorded size in bytes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn size(&self) -> u64 {
        self.word.size()
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove(self) {
        self.entry.clear();
    }

    /// Marks the block, which starts at `address`, as moving.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn begin_move(self, address: usize) -> Moving {
        let word = self.word.moving();
        self.entry.relabel(word);
        Moving {
            entry: self.entry,
            word,
            address,
            size: word.size(),
        }
    }
}

/// The record could not be written: there is no memory for the table, or the address is beyond
/// those that the tables cover (at least 48 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The table of live blocks.
pub(crate) struct LiveTable {
    shadow: Shadow,
    /// A [`Spacing`], or 0 until the first block.
    spacing: AtomicU8,
}

impl LiveTable {
    pub(crate) const fn new() -> Self {
        Self {
            shadow: Shadow::new(),
            spacing: AtomicU8::new(0),
        }
    }

    /// Decides, once and for all, which table has the records of tiny blocks. Must be called before
    /// every [`insert`]. `find_out` runs at the first call, or at several that come first together.
    /// Until then [`free_entry`] finds none for tiny blocks.
    ///
    /// [`insert`]: Self::insert
    /// [`free_entry`]: Self::free_entry
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn settle_spacing(&self, find_out: impl FnOnce() -> Spacing) {
        if self.spacing.load(Ordering::Relaxed) == 0 {
            let spacing = find_out() as u8;
            let _ = self
                .spacing
                .compare_exchange(0, spacing, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// True once a block has come from an allocator that is not known as glibc's `malloc`.
    pub(crate) fn is_close(&self) -> bool {
        self.spacing.load(Ordering::Relaxed) == Spacing::Close as u8
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn class(&self, size: u64) -> Class {
        Class::of(
            size,
            self.spacing.load(Ordering::Relaxed) == Spacing::Wide as u8,
        )
    }

    /// Creates the table that every block needs. `None` without memory for it.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        self.shadow.prepare(arena)
    }

    /// Writes the record of a block that this thread has just received. Returns the record that was in
    /// the entry: the tracer has missed the free of that block, which must be counted now.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn insert(
        &self,
        arena: &Arena,
        address: usize,
        record: Record,
        number: SessionNumber,
    ) -> Result<Option<Record>, NoRoom> {
        if let Some(free) = self.free_entry(address, record, number) {
            free.write();
            return Ok(None);
        }
        self.insert_slow(arena, address as u64, record, number)
    }

    /// The entry for the `record` of a block that this thread has just received at `address`, if it
    /// is an entry of one word and is empty.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn free_entry(
        &self,
        address: usize,
        record: Record,
        number: SessionNumber,
    ) -> Option<FreeEntry> {
        self.writable_entry(address, record, number, Word::is_empty)
    }

    /// Where to write the `record` of a block that `realloc` has just put at `address`, if it takes
    /// one word. What is moving there is settled by the thread that moves it, as far as it is still
    /// there.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn entry_after_move(
        &self,
        address: usize,
        record: Record,
        number: SessionNumber,
    ) -> Option<FreeEntry> {
        self.writable_entry(address, record, number, |now| {
            now.is_empty() || now.is_moving()
        })
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn writable_entry(
        &self,
        address: usize,
        record: Record,
        number: SessionNumber,
        is_writable: impl FnOnce(Word) -> bool,
    ) -> Option<FreeEntry> {
        let address = address as u64;
        // So that the compiler knows the numbers of the class.
        match self.class(record.size) {
            Class::Small => {
                self.writable_entry_in(Class::Small, address, record, number, is_writable)
            }
            Class::Medium => {
                self.writable_entry_in(Class::Medium, address, record, number, is_writable)
            }
            _ => None,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn writable_entry_in(
        &self,
        class: Class,
        address: u64,
        record: Record,
        number: SessionNumber,
        is_writable: impl FnOnce(Word) -> bool,
    ) -> Option<FreeEntry> {
        let entry = self.shadow.entry(class, address)?;
        if !is_writable(entry.load()) {
            return None;
        }
        let short = ShortNumber::of(number);
        let word = Word::new(class, address, record.size, record.stack, short);
        Some(FreeEntry { entry, word })
    }

    #[inline(never)]
    fn insert_slow(
        &self,
        arena: &Arena,
        address: u64,
        record: Record,
        number: SessionNumber,
    ) -> Result<Option<Record>, NoRoom> {
        let class = self.class(record.size);
        let entry = self
            .shadow
            .make_entry(arena, class, address)
            .ok_or(NoRoom)?;
        let short = ShortNumber::of(number);
        let old = entry.load();
        // A moving entry is settled by the thread that moves the block.
        let stale = !old.is_empty() && old.short_number() == short && !old.is_moving();
        let replaced = if stale { entry.record(old) } else { None };
        entry.store(
            Word::new(class, address, record.size, record.stack, short),
            record.size,
        );
        Ok(replaced)
    }

    /// Removes the record of the block at `address`, which this thread owns and has allocated with
    /// `size` bytes. Returns the record, or `None` if there is none of session `number`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove(
        &self,
        address: usize,
        size: usize,
        number: SessionNumber,
    ) -> Option<Record> {
        match self.class(size as u64) {
            Class::Small => self.remove_as(Class::Small, address as u64, number),
            class => self.remove_slow(class, address as u64, number),
        }
    }

    /// The entry of the block at `address`, which this thread owns and has allocated with `size`
    /// bytes, if it is an entry of one word and its record is of session `number`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn own_entry(
        &self,
        address: usize,
        size: usize,
        number: SessionNumber,
    ) -> Option<OwnEntry> {
        let address = address as u64;
        match self.class(size as u64) {
            Class::Small => self.own_entry_in(Class::Small, address, number),
            Class::Medium => self.own_entry_in(Class::Medium, address, number),
            _ => None,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn own_entry_in(&self, class: Class, address: u64, number: SessionNumber) -> Option<OwnEntry> {
        let entry = self.shadow.entry(class, address)?;
        let word = entry.load();
        if word.is_of(class, address, ShortNumber::of(number)) {
            Some(OwnEntry { entry, word })
        } else {
            None
        }
    }

    #[inline(never)]
    fn remove_slow(&self, class: Class, address: u64, number: SessionNumber) -> Option<Record> {
        self.remove_as(class, address, number)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn remove_as(&self, class: Class, address: u64, number: SessionNumber) -> Option<Record> {
        let (entry, word) = self.shadow.find(class, address)?;
        if !word.is_settled_in(ShortNumber::of(number)) {
            // A moving entry belongs to the thread that reallocates. It has freed the address, and
            // this thread has then received it without a record.
            if !word.is_moving() {
                entry.clear();
            }
            return None;
        }
        let record = entry.record(word);
        entry.clear();
        record
    }

    /// Marks the block at `address`, which this thread owns, as moving.
    pub(crate) fn begin_move(
        &self,
        address: usize,
        size: usize,
        number: SessionNumber,
    ) -> Option<Moving> {
        let (entry, word) = self.shadow.find(self.class(size as u64), address as u64)?;
        let size = entry.size(word);
        if word.is_moving() {
            return None;
        }
        if word.short_number() != ShortNumber::of(number) {
            entry.clear();
            return None;
        }
        let word = word.moving();
        entry.relabel(word);
        Some(Moving {
            entry,
            word,
            address,
            size: size?,
        })
    }

    /// Clears the old entry of a block that now starts at `address`, unless the old address has a new
    /// owner who has written over it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn finish_move(&self, moving: &Moving, address: usize) {
        if address == moving.address {
            // Nobody else has the address, so nobody else writes the entry.
            moving.entry.clear();
        } else {
            moving.entry.clear_if(moving.word);
        }
    }

    /// Takes the mark of [`LiveTable::begin_move`] back. The block stayed where it was, so nobody else
    /// can have received its address.
    pub(crate) fn cancel_move(&self, moving: &Moving) {
        moving.entry.relabel(moving.word.settled());
    }

    /// The record of the block that starts at `address`, of any owner. Nothing is read at that
    /// address, so any number will do.
    pub(crate) fn get(&self, address: usize, number: SessionNumber) -> Option<Record> {
        Class::ALL.into_iter().find_map(|class| {
            let (entry, word) = self.shadow.find(class, address as u64)?;
            if word.short_number() == ShortNumber::of(number) {
                entry.record(word)
            } else {
                None
            }
        })
    }

    /// Calls `visit` with every record of session `number`. A record that is written or removed
    /// meanwhile may or may not be seen; every other one is seen once.
    pub(crate) fn for_each(&self, number: SessionNumber, mut visit: impl FnMut(Record)) {
        let short = ShortNumber::of(number);
        self.shadow.for_each_entry(|entry| {
            let word = entry.load();
            if !word.is_empty()
                && word.short_number() == short
                && let Some(record) = entry.record(word)
            {
                visit(record);
            }
        });
    }

    /// Clears the entries of sessions that ended before `number`, so that their short numbers can
    /// be used again.
    ///
    /// Entries of the next `SWEEP_EVERY` sessions are left alone: other threads may be ahead of
    /// this one.
    pub(crate) fn sweep(&self, number: SessionNumber) {
        let now = ShortNumber::of(number);
        self.shadow.for_each_entry(|entry| {
            let word = entry.load();
            if !word.is_empty()
                && (1..SHORT_NUMBERS - SWEEP_EVERY)
                    .contains(&word.short_number().sessions_before(now))
            {
                entry.clear_if(word);
            }
        });
    }
}
