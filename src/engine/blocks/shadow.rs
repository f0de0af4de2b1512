//! The shadow table: from a block's address to its entry. Each class has leaves over the whole address
//! space, and directories that lead to them. Both are created when they are first needed.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::class::Class;
use super::entry::{Entry, Word};
use crate::engine::memory::arena::{Arena, zeroed_struct};

impl Class {
    /// log2 of the bytes whose entries one leaf holds.
    #[cfg_attr(not(debug_assertions), inline(always))]
    const fn leaf_bits(self) -> u32 {
        self.window_bits() + WORD_BITS - self.has_size_word() as u32
    }

    /// How many directories lead to the leaves of the whole address space: at least a group of
    /// them.
    const fn directories(self) -> usize {
        let own = 1 << (ADDRESS_BITS - self.leaf_bits() - DIRECTORY_BITS);
        if own < GROUP { GROUP } else { own }
    }

    /// The first of them among those of all classes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    const fn first_directory(self) -> usize {
        const SMALL: usize = Class::Dense.directories();
        const MEDIUM: usize = SMALL + Class::Small.directories();
        const LARGE: usize = MEDIUM + Class::Medium.directories();
        const HUGE: usize = LARGE + Class::Large.directories();
        match self {
            Self::Dense => 0,
            Self::Small => SMALL,
            Self::Medium => MEDIUM,
            Self::Large => LARGE,
            Self::Huge => HUGE,
        }
    }
}

/// Bits of the address space that user programs have, on every 64-bit target that this crate knows.
const ADDRESS_BITS: u32 = 48;
/// log2 of the words in a leaf, of 256 KiB.
const WORD_BITS: u32 = 15;
const WORDS: usize = 1 << WORD_BITS;
/// log2 of the leaves that a directory leads to. It is large, but only the pages that are used take
/// memory.
const DIRECTORY_BITS: u32 = 15;
const DIRECTORIES: usize = Class::Huge.first_directory() + Class::Huge.directories();

/// Entries of a table that share a mark of being in use: a reader of all entries does not read
/// the pages of the others.
const GROUP: usize = 64;

struct Directory {
    leaves: [Leaf; 1 << DIRECTORY_BITS],
    used: [AtomicU8; (1 << DIRECTORY_BITS) / GROUP],
}

/// The directories of all classes.
struct Directories {
    all: [OnceRef<'static, Directory>; DIRECTORIES],
    used: [AtomicU8; DIRECTORIES / GROUP],
}

zeroed_struct!(
    #[directory]
    Directory { leaves, used }
);
zeroed_struct!(
    #[directory]
    Directories { all, used }
);

/// The entries of a table in the groups that are in use.
fn in_use<'a, T>(entries: &'a [T], used: &'a [AtomicU8]) -> impl Iterator<Item = &'a T> {
    let groups = entries.chunks(GROUP).zip(used);
    groups
        .filter(|(_, used)| used.load(Ordering::Relaxed) != 0)
        .flat_map(|(entries, _)| entries)
}

fn use_entry(used: &[AtomicU8], index: usize) {
    if let Some(used) = used.get(index / GROUP) {
        used.store(1, Ordering::Relaxed);
    }
}

/// Words that share a mark: a page of them.
const STRETCH: usize = WORDS / STRETCHES as usize;
/// As many as the bits of the marks.
const STRETCHES: u32 = u64::BITS;
/// A leaf with at least this many written stretches is dense.
const DENSE: u32 = STRETCHES / 4 * 3;
/// Dense leaves after which the next one is a dense table. These are as much as a large page, which
/// the next one may take as a whole: so it at most doubles the memory of the leaves.
const MANY: u32 = 8;

/// The entries of one class in one part of the address space.
///
/// Reading a page that was never written costs a page of memory too. So a reader of all entries visits
/// only stretches that the marks say were written.
struct Leaf {
    words: OnceRef<'static, Words>,
    /// A bit per stretch: entries of it were written.
    written: AtomicU64,
}

#[repr(align(4096))]
struct Words {
    all: [AtomicU64; WORDS],
}

zeroed_struct!(Leaf { words, written });
zeroed_struct!(Words { all });

/// The tables of all classes.
pub(super) struct Shadow {
    directories: OnceRef<'static, Directories>,
    dense_leaves: AtomicU32,
}

impl Shadow {
    pub(super) const fn new() -> Self {
        Self {
            directories: OnceRef::new(),
            dense_leaves: AtomicU32::new(0),
        }
    }

    /// Makes the table that every block needs.
    pub(super) fn prepare(&self, arena: &Arena) -> Option<()> {
        arena.first_use(&self.directories).map(drop)
    }

    /// The entry of `address` in `class`, if there is memory for it that has been written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn entry(&self, class: Class, address: u64) -> Option<Entry> {
        let (directory, leaf) = path(class, address)?;
        let directory = self.directories.get()?.all.get(directory)?.get()?;
        let leaf = directory.leaves.get(leaf)?;
        let index = index(class, address);
        // A page that was never written is not to be read: that alone would map it.
        if leaf.is_written(index) {
            leaf.entry(class, index)
        } else {
            None
        }
    }

    /// The entry of `address` in `class` and its word, if they say that a block starts exactly
    /// there.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn find(&self, class: Class, address: u64) -> Option<(Entry, Word)> {
        let entry = self.entry(class, address)?;
        let word = entry.load();
        if word.is_at(class, address) {
            Some((entry, word))
        } else {
            None
        }
    }

    /// The entry of `address` in `class`, about to be written. `None` without memory for its table,
    /// or if the address is beyond those that the tables cover.
    pub(super) fn make_entry(&self, arena: &Arena, class: Class, address: u64) -> Option<Entry> {
        let (directory_at, leaf_at) = path(class, address)?;
        let directories = arena.first_use(&self.directories)?;
        let directory = arena.first_use(directories.all.get(directory_at)?)?;
        let leaf = directory.leaves.get(leaf_at)?;
        let index = index(class, address);
        if !leaf.is_written(index) {
            let before = leaf_at.checked_sub(1);
            let before = before.and_then(|before| directory.leaves.get(before));
            use_entry(&directories.used, directory_at);
            use_entry(&directory.used, leaf_at);
            self.touch(arena, leaf, before, (index / STRETCH) as u32)?;
        }
        leaf.entry(class, index)
    }

    /// Makes sure that `leaf` has words, and marks `stretch` as written. `before`: the leaf for
    /// lower addresses.
    ///
    /// A heap mostly grows upwards: so a leaf that follows a dense one is made as a dense table.
    /// Others get their pages one by one, as they are written.
    #[cold]
    #[inline(never)]
    fn touch(
        &self,
        arena: &Arena,
        leaf: &'static Leaf,
        before: Option<&Leaf>,
        stretch: u32,
    ) -> Option<()> {
        if leaf.words.get().is_none() {
            let dense = before.is_some_and(|before| before.written().count_ones() >= DENSE);
            let dense_leaves = self
                .dense_leaves
                .fetch_add(u32::from(dense), Ordering::Relaxed);
            if dense && dense_leaves >= MANY {
                arena.first_use_dense(&leaf.words)?;
            } else {
                arena.first_use(&leaf.words)?;
            }
        }
        leaf.written.fetch_or(1 << stretch, Ordering::Relaxed);
        Some(())
    }

    /// Calls `visit` with every entry that may have been written.
    pub(super) fn for_each_entry(&self, mut visit: impl FnMut(Entry)) {
        let Some(Directories { all, used }) = self.directories.get() else {
            return;
        };
        for class in Class::ALL {
            let start = class.first_directory();
            let end = start + class.directories();
            let all = all.get(start..end).unwrap_or_default();
            let used = used.get(start / GROUP..end / GROUP).unwrap_or_default();
            let directories = in_use(all, used).filter_map(OnceRef::get);
            for leaf in directories.flat_map(|directory| in_use(&directory.leaves, &directory.used))
            {
                leaf.for_each_entry(class, &mut visit);
            }
        }
    }
}

/// Indices of the directory of `address` and of the leaf in it. `None` if the address is beyond
/// those that the tables cover.
#[cfg_attr(not(debug_assertions), inline(always))]
fn path(class: Class, address: u64) -> Option<(usize, usize)> {
    let leaf = (address >> class.leaf_bits()) as usize;
    let directory = leaf >> DIRECTORY_BITS;
    (directory < class.directories()).then_some((
        class.first_directory() + directory,
        leaf & ((1 << DIRECTORY_BITS) - 1),
    ))
}

/// Index of the first word of the entry for `address` in its leaf.
#[cfg_attr(not(debug_assertions), inline(always))]
fn index(class: Class, address: u64) -> usize {
    let window = (address >> class.window_bits()) as usize;
    (window << class.has_size_word() as u32) & (WORDS - 1)
}

impl Leaf {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// True if the stretch of the word at `index` was written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_written(&self, index: usize) -> bool {
        self.written() >> (index / STRETCH) & 1 != 0
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entry(&self, class: Class, index: usize) -> Option<Entry> {
        let words = &self.words.get()?.all;
        let size = if class.has_size_word() {
            Some(words.get(index + 1)?)
        } else {
            None
        };
        Some(Entry {
            word: words.get(index)?,
            size,
        })
    }

    fn for_each_entry(&self, class: Class, visit: &mut impl FnMut(Entry)) {
        let words = self.words.get().map_or(&[][..], |words| &words.all);
        let written = self.written();
        for (stretch, words) in words.chunks(STRETCH).enumerate() {
            if written >> stretch & 1 == 0 {
                continue;
            }
            if class.has_size_word() {
                for [word, size] in words.as_chunks().0 {
                    visit(Entry {
                        word,
                        size: Some(size),
                    });
                }
            } else {
                words
                    .iter()
                    .for_each(|word| visit(Entry { word, size: None }));
            }
        }
    }
}
