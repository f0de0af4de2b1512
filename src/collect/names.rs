//! The names of return addresses in the form in which many stacks are put together: each address is
//! looked up by one multiplication, and what has to be known of a frame is known once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

use crate::snapshot::Frame;
use crate::symbols::{GLOBAL_FILE, Held, Role, Seen, Symbols, type_of};

/// The frames of all addresses of a snapshot.
#[derive(Default)]
pub(super) struct Names {
    by_address: HashMap<usize, Range<u32>, BuildHasherDefault<AddressHasher>>,
    frames: Vec<Named>,
}

/// A frame, and what the stacks need of it.
struct Named {
    frame: Frame,
    role: Role,
    held: Option<Held>,
    is_physical: bool,
    is_global: bool,
    /// Equal for frames that are equal.
    number: u32,
}

/// A frame of [`Names`], by its place in there.
#[derive(Clone, Copy)]
pub(super) struct FrameAt(u32);

impl Names {
    /// Asks for the names of `address` later, with those of all others.
    pub(super) fn want(&mut self, address: usize) {
        self.by_address.entry(address).or_default();
    }

    /// Has everything named that was asked for.
    pub(super) fn resolve(&mut self, symbols: &Symbols) {
        let addresses: Vec<usize> = self.by_address.keys().copied().collect();
        symbols.resolve(&addresses);
        let mut numbers: HashMap<Frame, u32> = HashMap::new();
        for (address, place) in &mut self.by_address {
            let start = self.frames.len() as u32;
            let held = symbols.held(*address);
            for (at, frame) in symbols.frames(*address).iter().enumerate() {
                let next = numbers.len() as u32;
                let number = *numbers.entry(frame.clone()).or_insert(next);
                self.frames.push(Named {
                    frame: frame.clone(),
                    role: Role::of(frame),
                    held: held.get(at).cloned().flatten(),
                    is_physical: at == 0,
                    is_global: frame.filename() == GLOBAL_FILE,
                    number,
                });
            }
            *place = start..self.frames.len() as u32;
        }
    }

    /// The frames at `address`, what is inlined last.
    #[inline]
    pub(super) fn at(&self, address: usize) -> impl Iterator<Item = FrameAt> {
        let place = self.by_address.get(&address).cloned().unwrap_or_default();
        place.map(FrameAt)
    }

    #[inline]
    pub(super) fn role(&self, at: FrameAt) -> Role {
        self.named(at).role
    }

    /// The type of what a stack, oldest frame first, allocates.
    pub(super) fn type_of(&self, stack: &[FrameAt]) -> Option<Arc<str>> {
        type_of(stack.iter().rev().map(|at| {
            let named = self.named(*at);
            Seen {
                held: named.held.as_ref(),
                is_library: named.role.is_library(),
                is_physical: named.is_physical,
                is_global: named.is_global,
            }
        }))
    }

    pub(super) fn frame(&self, at: FrameAt) -> Frame {
        self.named(at).frame.clone()
    }

    /// Equal for stacks whose frames are equal.
    pub(super) fn hash(&self, stack: &[FrameAt]) -> u64 {
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
pub(super) fn mix(bits: u64) -> u64 {
    let product = u128::from(bits) * 0x9E37_79B9_7F4A_7C15;
    (product as u64) ^ (product >> 64) as u64
}

/// Return addresses are no attack: whoever chooses them runs code in this process.
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
