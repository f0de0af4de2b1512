//! Where an entry joins a base stack.

use crate::engine::stacks::StackId;
use crate::engine::unwind::DEEPEST;

/// An entry's attachment point: a frame of a base stack, and what was found there last.
#[derive(Clone, Copy)]
pub(super) struct Attachment {
    /// The stack up to this frame.
    pub(super) stack: StackId,
    /// The frame register in this frame.
    pub(super) fp: usize,
    /// How far the frame is above the entry's start, in bytes.
    pub(super) above: u32,
    /// How many frames of the base stack are older.
    pub(super) at: u16,
    /// How many frames the entry has below it.
    pub(super) frames: u8,
    /// Which of the base stacks has the frame, as far as is known.
    pub(super) base_stack: u8,
    /// The version of the base stack in which the frame was found last, and which of its words count
    /// then.
    pub(super) version: Version,
    pub(super) words: (u16, u16),
}

impl Attachment {
    /// None: of an entry that is not in use.
    pub(super) const NONE: Self = Self {
        stack: StackId::TRUNCATED,
        fp: 0,
        above: 0,
        at: 0,
        frames: 0,
        base_stack: 0,
        version: Version::NONE,
        words: (0, 0),
    };
}

/// Stands for the contents of a base stack together with a number of frames that are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Version(u64);

impl Version {
    /// The version of no base stack: at least one frame is always asked for.
    pub(super) const NONE: Self = Self(0);

    /// `changes` fills what `max_frames` leaves of the bits.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn new(changes: u64, max_frames: usize) -> Self {
        const MAX_BITS: u32 = 17;
        const { assert!(DEEPEST < 1 << MAX_BITS) };
        Self(changes << MAX_BITS | max_frames as u64)
    }
}
