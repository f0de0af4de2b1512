//! Where a block's entry is: tables by region of the address space, made when they are first
//! needed.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::entry::{Entry, Word};
use crate::engine::arena::{Arena, zeroed_struct};

/// A class of block sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Dense,
    Small,
    Medium,
    Large,
    Huge,
}

impl Class {
    pub(super) const ALL: [Self; 5] = [
        Self::Dense,
        Self::Small,
        Self::Medium,
        Self::Large,
        Self::Huge,
    ];

    /// The class of a block of `size` bytes. `spaced`: no two blocks start within one aligned
    /// window of 32 bytes.
    #[inline]
    pub(super) const fn of(size: u64, spaced: bool) -> Self {
        match size {
            0..32 if !spaced => Self::Dense,
            0..32 => Self::Small,
            32..256 => Self::Small,
            256..4096 => Self::Medium,
            4096..65_536 => Self::Large,
            _ => Self::Huge,
        }
    }

    /// log2 of the window in bytes.
    #[inline]
    pub(super) const fn window_bits(self) -> u32 {
        match self {
            Self::Dense => 3,
            Self::Small => 5,
            Self::Medium => 8,
            Self::Large => 12,
            Self::Huge => 16,
        }
    }

    #[inline]
    pub(super) const fn has_size_word(self) -> bool {
        matches!(self, Self::Large | Self::Huge)
    }
}

/// Bits of the address space that user programs have, on every 64-bit target that this crate knows.
const ADDRESS_BITS: u32 = 48;
/// log2 of the bytes in a region.
const REGION_BITS: u32 = 20;
/// Three levels of directories lead to a region: small ones, so that a program with a small heap
/// has small directories.
const LEVEL_BITS: [u32; 3] = [10, 9, 9];

const _: () = assert!(LEVEL_BITS[0] + LEVEL_BITS[1] + LEVEL_BITS[2] + REGION_BITS == ADDRESS_BITS);

type Regions = [Region; 1 << LEVEL_BITS[2]];
type Middle = [OnceRef<'static, Regions>; 1 << LEVEL_BITS[1]];
type Root = [OnceRef<'static, Middle>; 1 << LEVEL_BITS[0]];

/// Words that share a mark of having been written; about a page.
const STRETCH: usize = 512;

/// The entries of one class in one region.
///
/// Reading a page that was never written costs a page of memory all the same, so whoever reads all
/// entries is told by the marks which stretches hold any.
struct Leaf<const WORDS: usize, const STRETCHES: usize> {
    written: [AtomicU8; STRETCHES],
    words: [AtomicU64; WORDS],
}

/// A leaf of any size.
#[derive(Clone, Copy)]
struct Table {
    written: &'static [AtomicU8],
    words: &'static [AtomicU64],
}

/// The leaves of one region, each made when the first block of its class appears there.
struct Region {
    dense: OnceRef<'static, Leaf<{ 1 << 17 }, 256>>,
    small: OnceRef<'static, Leaf<{ 1 << 15 }, 64>>,
    medium: OnceRef<'static, Leaf<{ 1 << 12 }, 8>>,
    large: OnceRef<'static, Leaf<512, 1>>,
    huge: OnceRef<'static, Leaf<32, 1>>,
}

zeroed_struct!(Leaf<const WORDS: usize, const STRETCHES: usize> { written, words });
zeroed_struct!(Region {
    dense,
    small,
    medium,
    large,
    huge
});

/// The tables of all regions.
pub(super) struct Shadow(OnceRef<'static, Root>);

impl Shadow {
    pub(super) const fn new() -> Self {
        Self(OnceRef::new())
    }

    /// Makes the first directory.
    pub(super) fn prepare(&self, arena: &Arena) -> Option<()> {
        arena.first_use(&self.0).map(drop)
    }

    /// The entry of `address` in `class` and its word, if they say that a block starts exactly
    /// there.
    #[inline]
    pub(super) fn find(&self, class: Class, address: u64) -> Option<(Entry, Word)> {
        let [upper, middle, lower] = path(address);
        let region = self
            .0
            .get()?
            .get(upper)?
            .get()?
            .get(middle)?
            .get()?
            .get(lower)?;
        let entry = region.table(class)?.entry(class, address)?;
        let word = entry.load();
        if word.is_at(class, address) {
            Some((entry, word))
        } else {
            None
        }
    }

    /// The entry of `address` in `class`, about to be written. `None` without memory for its table,
    /// or if the address is beyond those that the tables cover.
    #[inline]
    pub(super) fn make_entry(&self, arena: &Arena, class: Class, address: u64) -> Option<Entry> {
        let [upper, middle, lower] = path(address);
        let middles = arena.first_use(arena.first_use(&self.0)?.get(upper)?)?;
        let region = arena.first_use(middles.get(middle)?)?.get(lower)?;
        let table = match region.table(class) {
            Some(table) => table,
            None => region.make(arena, class)?,
        };
        table.mark(class, address);
        table.entry(class, address)
    }

    /// Calls `visit` with every entry that may have been written.
    pub(super) fn for_each_entry(&self, mut visit: impl FnMut(Entry)) {
        let middles = self.0.get().into_iter().flatten().filter_map(OnceRef::get);
        let regions = middles.flatten().filter_map(OnceRef::get).flatten();
        for region in regions {
            for class in Class::ALL {
                if let Some(table) = region.table(class) {
                    table.for_each_entry(class, &mut visit);
                }
            }
        }
    }
}

/// Indices of the region of `address` in the three directories; the first is too large for an
/// address that the tables do not cover.
#[inline]
fn path(address: u64) -> [usize; 3] {
    let region = (address >> REGION_BITS) as usize;
    let [_, middle, lower] = LEVEL_BITS;
    [
        (address >> (REGION_BITS + middle + lower)) as usize,
        region >> lower & ((1 << middle) - 1),
        region & ((1 << lower) - 1),
    ]
}

impl Region {
    #[inline]
    fn table(&self, class: Class) -> Option<Table> {
        Some(match class {
            Class::Dense => self.dense.get()?.table(),
            Class::Small => self.small.get()?.table(),
            Class::Medium => self.medium.get()?.table(),
            Class::Large => self.large.get()?.table(),
            Class::Huge => self.huge.get()?.table(),
        })
    }

    #[cold]
    fn make(&self, arena: &Arena, class: Class) -> Option<Table> {
        Some(match class {
            Class::Dense => arena.first_use(&self.dense)?.table(),
            Class::Small => arena.first_use(&self.small)?.table(),
            Class::Medium => arena.first_use(&self.medium)?.table(),
            Class::Large => arena.first_use(&self.large)?.table(),
            Class::Huge => arena.first_use(&self.huge)?.table(),
        })
    }
}

impl<const WORDS: usize, const STRETCHES: usize> Leaf<WORDS, STRETCHES> {
    const EVERY_WORD_HAS_A_MARK: () = assert!(WORDS.div_ceil(STRETCH) == STRETCHES);

    #[inline]
    fn table(&'static self) -> Table {
        let () = Self::EVERY_WORD_HAS_A_MARK;
        Table {
            written: &self.written,
            words: &self.words,
        }
    }
}

impl Table {
    /// Index of the first word of the entry for `address`.
    #[inline]
    fn index(class: Class, address: u64) -> usize {
        let bits = class.window_bits();
        let window = (address >> bits) as usize & ((1 << (REGION_BITS - bits)) - 1);
        if class.has_size_word() {
            2 * window
        } else {
            window
        }
    }

    #[inline]
    fn mark(self, class: Class, address: u64) {
        if let Some(mark) = self.written.get(Self::index(class, address) / STRETCH)
            && mark.load(Ordering::Relaxed) == 0
        {
            mark.store(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn entry(self, class: Class, address: u64) -> Option<Entry> {
        let index = Self::index(class, address);
        let size = if class.has_size_word() {
            Some(self.words.get(index + 1)?)
        } else {
            None
        };
        Some(Entry {
            word: self.words.get(index)?,
            size,
        })
    }

    fn for_each_entry(self, class: Class, visit: &mut impl FnMut(Entry)) {
        for (mark, words) in self.written.iter().zip(self.words.chunks(STRETCH)) {
            if mark.load(Ordering::Relaxed) == 0 {
                continue;
            }
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
}
