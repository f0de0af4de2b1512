//! What the fast path of a look-up has found out for the slow one.

use super::Entry;
use super::entries::WAYS;

/// The entry that a look-up has found to start where it asks, with its own words unchanged, while its
/// base stack has changed. By the entry's address, which is only compared: it is in a register already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Candidate(usize);

impl Candidate {
    /// No entry is valid, not even its own words.
    pub(crate) const NONE: Self = Self(0);
    /// Nobody has looked.
    pub(crate) const UNKNOWN: Self = Self(1);

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn of(entry: &Entry) -> Self {
        Self(std::ptr::from_ref(entry).addr())
    }

    /// In which of `ways` it is; beyond them, if it is none of them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn way(self, ways: &[Entry; WAYS]) -> usize {
        let first = ways.as_ptr().addr();
        self.0.wrapping_sub(first) / size_of::<Entry>()
    }
}
