//! What debug information borrows from: mapped files and decompressed sections.
//!
//! Files are added while earlier ones are borrowed, as split debug information is found by reading
//! the program's own. So a stash only grows, and nothing in it moves.

use std::cell::{Cell, OnceCell};

use super::file::Mapped;

/// Files and sections that live until a module's names have been read.
pub(super) struct Stash {
    pub(super) files: Chain<Mapped>,
    pub(super) sections: Chain<Vec<u8>>,
    /// Pieces read since pages were released.
    pieces: Cell<u32>,
}

/// Pieces between two releases. Each brings in some pages around those that are read: 64 KiB for each of its
/// texts, and more for a whole unit.
const PIECES: u32 = 64;

impl Stash {
    pub(super) fn new() -> Self {
        Self {
            files: Chain::new(),
            sections: Chain::new(),
            pieces: Cell::new(0),
        }
    }

    /// Notes that a piece was read: a place in the code, the head of a unit, some symbols. After some pieces,
    /// pages of files are taken out of memory; those that are needed again are read again.
    pub(super) fn note_piece(&self) {
        let pieces = self.pieces.get() + 1;
        if pieces < PIECES {
            self.pieces.set(pieces);
        } else {
            self.release();
        }
    }

    /// Takes pages of files out of memory.
    pub(super) fn release(&self) {
        self.files.iter().for_each(Mapped::release);
        self.pieces.set(0);
    }
}

/// Values that are added and never moved or taken away.
pub(super) struct Chain<T>(OnceCell<Box<Link<T>>>);

struct Link<T> {
    value: T,
    next: Chain<T>,
}

impl<T> Chain<T> {
    const fn new() -> Self {
        Self(OnceCell::new())
    }

    pub(super) fn add(&self, value: T) -> &T {
        let mut end = self;
        while let Some(link) = end.0.get() {
            end = &link.next;
        }
        let next = Self::new();
        &end.0.get_or_init(|| Box::new(Link { value, next })).value
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let links = std::iter::successors(self.0.get(), |link| link.next.0.get());
        links.map(|link| &link.value)
    }
}

impl<T> Drop for Chain<T> {
    /// Link by link: a program may have thousands of files, and a recursion would go as deep.
    fn drop(&mut self) {
        let mut rest = self.0.take();
        while let Some(mut link) = rest {
            rest = link.next.0.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the mapping of `mapped` that are in memory.
    #[cfg(target_os = "linux")]
    fn resident(mapped: &Mapped) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
        let start = format!("{:x}-", mapped.bytes().as_ptr().addr());
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
        let line = lines.find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.expect("the mapping is listed")
            .parse::<usize>()
            .expect("a number")
            << 10
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_are_released_after_some_pieces_and_read_again() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let contents: Vec<u8> = (0..4_u32 << 20).map(|n| (n >> 12) as u8).collect();
        std::fs::write(file.path(), &contents).expect("room for the file");
        let stash = Stash::new();
        let mapped = stash.files.add(Mapped::open(file.path()).expect("a file"));
        assert!(mapped.bytes() == contents);
        for _ in 1..PIECES {
            stash.note_piece();
        }
        assert!(resident(mapped) > 0);
        stash.note_piece();
        assert_eq!(resident(mapped), 0);
        assert!(mapped.bytes() == contents);
    }

    #[test]
    fn what_is_added_stays_where_it_is() {
        let chain = Chain::new();
        let first = chain.add(1);
        let others: Vec<&u32> = (2..2000).map(|number| chain.add(number)).collect();
        assert_eq!(*first, 1);
        assert!(others.into_iter().copied().eq(2..2000));
    }
}
