//! What debug information borrows from: mapped files and decompressed sections.
//!
//! Files are added while earlier ones are borrowed, as split debug information is found by reading
//! the program's own. So a stash only grows, and nothing in it moves.

use std::cell::OnceCell;

use super::file::Mapped;

/// Files and sections that live until a module's names have been read.
pub(super) struct Stash {
    pub(super) files: Chain<Mapped>,
    pub(super) sections: Chain<Vec<u8>>,
}

impl Stash {
    pub(super) const fn new() -> Self {
        Self {
            files: Chain::new(),
            sections: Chain::new(),
        }
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

    #[test]
    fn what_is_added_stays_where_it_is() {
        let chain = Chain::new();
        let first = chain.add(1);
        let others: Vec<&u32> = (2..2000).map(|number| chain.add(number)).collect();
        assert_eq!(*first, 1);
        assert!(others.into_iter().copied().eq(2..2000));
    }
}
