//! Where an entry joins a base stack.

use super::base_stack::{BaseStack, Version};
use crate::engine::stacks::StackId;

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

    /// At frame `at` of `base_stack`, which is number `which` of the thread's. The entry has `frames`
    /// frames, begins at the stack pointer `sp`, and leaves `fp` in the frame register. `None` if the
    /// frame is too far above. That the base stack's words are unchanged is not known yet.
    pub(super) fn new(
        base_stack: &BaseStack,
        which: u8,
        at: usize,
        frames: usize,
        sp: usize,
        fp: usize,
    ) -> Option<Self> {
        let frame = base_stack.frames.get(at)?;
        Some(Self {
            stack: frame.path.stack,
            fp,
            above: frame.caller.sp.checked_sub(sp)?.try_into().ok()?,
            at: at.try_into().ok()?,
            frames: frames.try_into().ok()?,
            base_stack: which,
            version: Version::NONE,
            words: (0, 0),
        })
    }
}
