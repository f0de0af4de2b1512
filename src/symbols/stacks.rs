//! From calls with names to the stacks that people read: trimmed at both ends, cut at the limit, and
//! with the type of what they allocate.
//!
//! ```text
//! calls       0x1170        0x1204                    0x13b8     places in machine code, oldest first
//! frames      _start        main  app::load           grow_one   inlined functions included
//! visible                   main  app::load                      without the runtime's at both ends
//! ```
//!
//! A call is a number that the caller chooses. Each is looked up by one multiplication, and what has to
//! be known of a frame is known once, because many stacks are put together.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::runtime::{Role, visible};
use super::types::{GLOBAL_FILE, Held, Seen, type_of};
use crate::snapshot::{Frame, Traceback};

/// The frames of all calls of a snapshot.
#[derive(Default)]
pub(crate) struct NamedCalls {
    by_call: HashMap<usize, Range<u32>, BuildHasherDefault<AddressHasher>>,
    frames: Vec<Named>,
    numbers: HashMap<Frame, u32>,
    // Of the stack that is put together, oldest first; kept for their memory.
    stack: Vec<FrameAt>,
    roles: Vec<Role>,
}

/// A frame, and what the stacks need of it.
struct Named {
    frame: Frame,
    role: Role,
    held: Option<Held>,
    is_physical: bool,
    is_fixed: bool,
    is_global: bool,
    /// Equal for frames that are equal.
    number: u32,
}

/// A frame of [`NamedCalls`], by its place in there.
#[derive(Clone, Copy)]
struct FrameAt(u32);

/// What a stack keeps of its frames.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Most frames, the most recent ones.
    pub(crate) limit: u16,
    /// Those of the runtime stay.
    pub(crate) runtime_frames: bool,
}

/// How a recorded stack ends at its oldest call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oldest {
    /// Nothing called it.
    Whole,
    /// More calls were there than are recorded.
    Truncated,
    /// Its caller could not be found.
    Incomplete,
}

/// The frame of blocks whose stack was not recorded.
const NOT_RECORDED: &str = "<stack not recorded>";

/// The stack of blocks whose stack was not recorded.
pub(crate) fn not_recorded() -> NamedStack {
    NamedStack {
        traceback: Traceback::of(Frame::named(NOT_RECORDED)),
        hash: 0,
        is_incomplete: false,
    }
}

pub(super) fn is_not_recorded(frame: &Frame) -> bool {
    frame.is_named() && frame.filename() == NOT_RECORDED
}

/// A stack as people read it.
#[derive(Clone)]
pub(crate) struct NamedStack {
    pub(crate) traceback: Traceback,
    /// Equal for stacks whose frames are equal.
    pub(crate) hash: u64,
    /// It ends in code that cannot be read through.
    pub(crate) is_incomplete: bool,
}

impl NamedCalls {
    /// Adds a call without frames; [`set`](Self::set) gives it some.
    pub(crate) fn want(&mut self, call: usize) {
        self.by_call.entry(call).or_default();
    }

    /// The calls that were added.
    pub(crate) fn calls(&self) -> Vec<usize> {
        self.by_call.keys().copied().collect()
    }

    /// The frames of a call, what is inlined last, and what each tells of the type of what it allocates.
    pub(crate) fn set(&mut self, call: usize, frames: &[Frame], held: &[Option<Held>]) {
        let start = self.frames.len() as u32;
        for (at, frame) in frames.iter().enumerate() {
            let next = self.numbers.len() as u32;
            let number = *self.numbers.entry(frame.clone()).or_insert(next);
            let held = held.get(at).cloned().flatten();
            let is_fixed = held.as_ref().is_some_and(Held::is_fixed);
            self.frames.push(Named {
                frame: frame.clone(),
                role: Role::of(frame),
                held: held.filter(|_| !is_fixed),
                is_physical: at == 0,
                is_fixed,
                is_global: frame.filename() == GLOBAL_FILE,
                number,
            });
        }
        let place = start..self.frames.len() as u32;
        self.by_call.insert(call, place);
    }

    /// The stack of these calls, oldest first.
    pub(crate) fn stack(
        &mut self,
        calls: impl Iterator<Item = usize>,
        oldest: Oldest,
        shape: Shape,
    ) -> NamedStack {
        self.stack.clear();
        self.roles.clear();
        for call in calls {
            let place = self.by_call.get(&call).cloned().unwrap_or_default();
            self.stack.extend(place.map(FrameAt));
        }
        let roles = self.stack.iter().map(|at| self.frames[at.0 as usize].role);
        self.roles.extend(roles);
        let visible = visible(&self.roles);
        // Where a program or a thread begins, nothing is missing.
        let from_start = visible.start > 0;
        let shown = match shape.runtime_frames {
            true => 0..self.stack.len(),
            false => visible,
        };
        let all = self.stack.get(shown).unwrap_or_default();
        let kept = all.len().min(shape.limit as usize);
        let newest = all.get(all.len() - kept..).unwrap_or_default();
        let frames = newest.iter().map(|at| self.named(*at).frame.clone());
        let traceback = Traceback::from_oldest_first(frames).unwrap_or_else(Traceback::unknown);
        let traceback = match self.type_of(&self.stack) {
            Some(name) => traceback.with_type_name(name),
            None => traceback,
        };
        NamedStack {
            traceback: match oldest {
                Oldest::Truncated => traceback.with_truncated(),
                Oldest::Whole | Oldest::Incomplete => {
                    traceback.with_total_nframe(u32::try_from(all.len().max(1)).unwrap_or(u32::MAX))
                }
            },
            hash: self.hash(newest),
            is_incomplete: !from_start && oldest == Oldest::Incomplete,
        }
    }

    /// The stack of these calls, oldest first, as it is: what their names will tell is not known.
    pub(crate) fn whole_stack(
        &self,
        calls: impl Iterator<Item = usize>,
        oldest: Oldest,
    ) -> NamedStack {
        let places = calls.filter_map(|call| self.by_call.get(&call).cloned());
        let stack: Vec<FrameAt> = places.flatten().map(FrameAt).collect();
        let frames = stack.iter().map(|at| self.named(*at).frame.clone());
        let traceback = Traceback::from_oldest_first(frames).unwrap_or_else(Traceback::unknown);
        NamedStack {
            traceback: match oldest {
                Oldest::Whole => traceback,
                Oldest::Truncated => traceback.with_truncated(),
                Oldest::Incomplete => traceback.with_incomplete(),
            },
            hash: self.hash(&stack),
            is_incomplete: false,
        }
    }

    /// The type of what a stack, oldest frame first, allocates.
    fn type_of(&self, stack: &[FrameAt]) -> Option<Arc<str>> {
        type_of(stack.iter().rev().map(|at| {
            let named = self.named(*at);
            Seen {
                held: named.held.as_ref(),
                is_library: named.role.is_library(),
                is_physical: named.is_physical,
                is_fixed: named.is_fixed,
                is_global: named.is_global,
                function: named.frame.function().unwrap_or_default(),
            }
        }))
    }

    fn hash(&self, stack: &[FrameAt]) -> u64 {
        stack.iter().fold(0, |hash, at| {
            mix(hash.rotate_left(7) ^ u64::from(self.named(*at).number))
        })
    }

    #[inline]
    fn named(&self, FrameAt(at): FrameAt) -> &Named {
        &self.frames[at as usize]
    }
}

/// Spreads the bits of a number over all of another.
pub(crate) fn mix(bits: u64) -> u64 {
    let product = u128::from(bits) * 0x9E37_79B9_7F4A_7C15;
    (product as u64) ^ (product >> 64) as u64
}

/// Return addresses are no attack: code that chooses them already runs in this process.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = mix(self.0 ^ address as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
