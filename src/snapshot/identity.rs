//! Maps keyed by [`Frame::identity`](super::frame::Frame::identity), for loops that meet the same
//! few frames millions of times.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Right only as long as the frames whose addresses are keys stay alive.
pub(crate) type IdentityMap<V> = HashMap<usize, V, BuildHasherDefault<IdentityHasher>>;

/// Hashes one address. The default hasher is made to withstand keys chosen by an enemy, at several
/// times the cost; addresses are chosen by the allocator.
#[derive(Debug, Default)]
pub(crate) struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The table looks at both ends of a hash; folding the product makes both depend on every
        // bit of the number.
        let product = u128::from(number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}
