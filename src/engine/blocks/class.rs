//! Classes of block sizes: each has windows of its own width.

/// A class of block sizes. The table of them is in `blocks/mod.rs`.
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
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn of(size: u64, spaced: bool) -> Self {
        match size {
            32..256 => Self::Small,
            0..32 if spaced => Self::Small,
            0..32 => Self::Dense,
            256..4096 => Self::Medium,
            4096..65_536 => Self::Large,
            _ => Self::Huge,
        }
    }

    /// log2 of the window in bytes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn window_bits(self) -> u32 {
        match self {
            Self::Dense => 3,
            Self::Small => 5,
            Self::Medium => 8,
            Self::Large => 12,
            Self::Huge => 16,
        }
    }

    /// True if the size of a block takes a word of its own in an entry.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn has_size_word(self) -> bool {
        matches!(self, Self::Large | Self::Huge)
    }
}
