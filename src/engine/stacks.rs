//! Distinct call stacks, as a calling-context tree: a node is a return address and the node of the
//! caller, and a stack is the number of its most recent frame's node.
//!
//! Nodes are only ever added, so a stack's number stays good for the life of the process and is
//! read without a lock. A node is found by the hash of the whole path to it, which is known for
//! every frame of a stack before any node is: so the look-ups of several frames do not wait for each
//! other's memory. The hash only says where to look. Two nodes are the same if address and caller
//! agree, and as the caller was found in the same way, two stacks are the same only if every address
//! agrees. Two threads that add the same node at the same time may leave it there twice; the stacks
//! then read the same, and whoever groups them does so by what they read.

mod index;

use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::race::OnceRef;

use super::arena::{Arena, zeroed_struct};
use index::{Index, Key};

/// The number of a stack: the node of its most recent frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct StackId(u32);

impl StackId {
    /// The root of stacks that were read to their oldest frame; on its own, a stack without frames.
    pub(crate) const COMPLETE: Self = Self(0);
    /// The root of stacks that go on beyond their oldest known frame.
    pub(crate) const TRUNCATED: Self = Self(1);
    /// A stack that could not be kept: the table was full, or there was no memory for it.
    pub(crate) const OVERFLOW: Self = Self(2);

    const FIRST: u32 = 3;
    /// Numbers have 28 bits in a block's record.
    const END: u32 = 1 << 28;

    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    #[inline(always)]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits as u32)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bits of a user program's addresses, on every 64-bit target that this crate knows.
const ADDRESS_BITS: u32 = 48;

/// One frame: a return address and the caller's node, in three parts to take no more than 12 bytes.
struct Node {
    address: AtomicU32,
    address_above: AtomicU32,
    caller: AtomicU32,
}

zeroed_struct!(Node {
    address,
    address_above,
    caller
});

impl Node {
    #[inline]
    fn address(&self) -> usize {
        let above = u64::from(self.address_above.load(Ordering::Relaxed)) << 32;
        (above | u64::from(self.address.load(Ordering::Relaxed))) as usize
    }

    #[inline]
    fn caller(&self) -> StackId {
        StackId(self.caller.load(Ordering::Relaxed))
    }
}

const CHUNK: usize = 4096;
/// From this many on, nodes are put on large pages.
const MANY: usize = 16 * CHUNK;
const CHUNKS: usize = (StackId::END as usize) / CHUNK;
type Chunk = [Node; CHUNK];

/// A stack, with the hash of the path to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) stack: StackId,
    pub(crate) hash: PathHash,
}

impl Path {
    /// Where stacks that are known to their oldest frame begin.
    pub(crate) const COMPLETE: Self = Self {
        stack: StackId::COMPLETE,
        hash: PathHash(0x2545_F491_4F6C_DD1D),
    };
    /// Where stacks begin whose oldest frames are not known.
    pub(crate) const TRUNCATED: Self = Self {
        stack: StackId::TRUNCATED,
        hash: PathHash(0x9E37_79B9_7F4A_7C15),
    };
}

/// The hash of a stack's addresses, from the oldest to the most recent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct PathHash(u64);

impl PathHash {
    /// With one frame more.
    #[inline]
    pub(crate) fn then(self, address: usize) -> Self {
        let mixed = u128::from(self.0 ^ address as u64) * 0x9E37_79B9_7F4A_7C15;
        Self(((mixed as u64) ^ (mixed >> 64) as u64).wrapping_add(0x5851_F42D_4C95_7F2D))
    }
}

/// The table of stacks.
pub(crate) struct Stacks {
    nodes: OnceRef<'static, [OnceRef<'static, Chunk>; CHUNKS]>,
    index: Index,
    /// The next node's number, counted from [`StackId::FIRST`].
    added: AtomicU32,
}

impl Stacks {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: OnceRef::new(),
            index: Index::new(),
            added: AtomicU32::new(0),
        }
    }

    /// Makes the tables that every stack needs, ahead of the first one.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        self.index.prepare(arena)?;
        arena.first_use(&self.nodes).map(drop)
    }

    /// The stack of `frames`, return addresses from the most recent to the oldest. `None` when it
    /// is new and there is no room for it.
    pub(crate) fn intern(
        &self,
        arena: &Arena,
        frames: &[usize],
        truncated: bool,
    ) -> Option<StackId> {
        let root = if truncated {
            Path::TRUNCATED
        } else {
            Path::COMPLETE
        };
        Some(self.extend(arena, root, frames.iter())?.stack)
    }

    /// The stack of `frames`, the most recent first, on top of `base`. `None` when it is new and
    /// there is no room for it.
    ///
    /// A stack that is known takes one look-up: the node of its most recent frame is found by the
    /// hash of the path, and the others by their numbers. They were mostly added one after the other
    /// and lie side by side.
    #[inline]
    pub(crate) fn extend<'f>(
        &self,
        arena: &Arena,
        base: Path,
        frames: impl DoubleEndedIterator<Item = &'f usize> + Clone,
    ) -> Option<Path> {
        let hashes = frames.clone().rev();
        let hash = hashes.fold(base.hash, |hash, address| hash.then(*address));
        let mut callers = frames.clone();
        let Some(recent) = callers.next() else {
            return Some(base);
        };
        let known = self.index.find(Key::of_path(*recent, hash)?, |caller| {
            self.is_path(caller, callers.clone(), base.stack)
        });
        match known {
            Some(stack) => Some(Path { stack, hash }),
            None => self.extend_anew(arena, base, frames.rev()),
        }
    }

    #[cold]
    #[inline(never)]
    fn extend_anew<'f>(
        &self,
        arena: &Arena,
        base: Path,
        mut oldest_first: impl Iterator<Item = &'f usize>,
    ) -> Option<Path> {
        oldest_first.try_fold(base, |caller, address| self.then(arena, caller, *address))
    }

    /// True if `stack` is made of `frames` on top of `base`.
    #[inline]
    fn is_path<'f>(
        &self,
        stack: StackId,
        mut frames: impl Iterator<Item = &'f usize>,
        base: StackId,
    ) -> bool {
        let below = frames.try_fold(stack, |at, address| {
            let node = self.node(at)?;
            (node.address() == *address).then(|| node.caller())
        });
        below == Some(base)
    }

    /// The stack with one frame more than `caller`. `None` when it is new and there is no room for
    /// it.
    #[inline]
    pub(crate) fn then(&self, arena: &Arena, caller: Path, address: usize) -> Option<Path> {
        let hash = caller.hash.then(address);
        let key = Key::of_path(address, hash)?;
        let stack = match self.index.find(key, |found| found == caller.stack) {
            Some(stack) => stack,
            None => self.add(arena, key, caller.stack, address)?,
        };
        Some(Path { stack, hash })
    }

    /// Has the memory fetched that [`Stacks::child`] will read.
    #[inline]
    pub(crate) fn prefetch(&self, address: usize, hash: PathHash) {
        if let Some(key) = Key::of_path(address, hash) {
            self.index.prefetch(key);
        }
    }

    /// Calls `visit` with the return addresses of `stack`, from the most recent to the oldest, and
    /// returns the root.
    pub(crate) fn read(&self, stack: StackId, mut visit: impl FnMut(usize)) -> StackId {
        let mut at = stack;
        while at.0 >= StackId::FIRST {
            let Some(node) = self.node(at) else {
                return StackId::TRUNCATED;
            };
            visit(node.address());
            at = node.caller();
        }
        at
    }

    #[inline]
    fn node(&self, id: StackId) -> Option<&'static Node> {
        self.nodes
            .get()?
            .get(id.index() / CHUNK)?
            .get()?
            .get(id.index() % CHUNK)
    }

    #[cold]
    #[inline(never)]
    fn add(&self, arena: &Arena, key: Key, caller: StackId, address: usize) -> Option<StackId> {
        self.index
            .add(arena, key, caller, || self.new_node(arena, caller, address))
    }

    fn new_node(&self, arena: &Arena, caller: StackId, address: usize) -> Option<StackId> {
        // The sum cannot wrap: additions stop long before, at `END`.
        if self.added.load(Ordering::Relaxed) >= StackId::END - StackId::FIRST {
            return None;
        }
        let id = StackId(StackId::FIRST + self.added.fetch_add(1, Ordering::Relaxed));
        let chunk = arena.first_use(&self.nodes)?.get(id.index() / CHUNK)?;
        let chunk = if id.index() < MANY {
            arena.first_use(chunk)?
        } else {
            arena.first_use_among_many(chunk)?
        };
        let node = chunk.get(id.index() % CHUNK)?;
        node.address.store(address as u32, Ordering::Relaxed);
        node.address_above
            .store((address as u64 >> 32) as u32, Ordering::Relaxed);
        node.caller.store(caller.0, Ordering::Relaxed);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stacks: &Stacks, id: StackId) -> (Vec<usize>, StackId) {
        let mut frames = Vec::new();
        let root = stacks.read(id, |address| frames.push(address));
        (frames, root)
    }

    #[test]
    fn a_stack_reads_as_it_was_interned() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        let mut ids = Vec::new();
        for frames in [
            &[][..],
            &[1],
            &[2],
            &[1, 2],
            &[2, 1],
            &[3, 1, 2],
            &[(1 << 48) - 1; 40],
        ] {
            for truncated in [false, true] {
                let id = stacks.intern(&arena, frames, truncated).expect("memory");
                assert_eq!(stacks.intern(&arena, frames, truncated), Some(id));
                let root = if truncated {
                    StackId::TRUNCATED
                } else {
                    StackId::COMPLETE
                };
                assert_eq!(read(&stacks, id), (frames.to_vec(), root));
                assert!(!ids.contains(&id));
                ids.push(id);
            }
        }
    }

    #[test]
    fn growth_loses_nothing_and_keeps_numbers() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        let frames = |n: usize| [n + 1, n / 3 + 1_000_000, n / 1000 + 2_000_000, 42];
        let ids: Vec<_> = (0..300_000)
            .map(|n| stacks.intern(&arena, &frames(n), false).expect("memory"))
            .collect();
        assert!(stacks.index.generation() > 2, "the test must reach growth");
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(stacks.intern(&arena, &frames(n), false), Some(*id));
            assert_eq!(read(&stacks, *id).0, frames(n));
        }
    }

    #[test]
    fn equal_hashes_do_not_make_equal_stacks() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        // Planted: paths that all have the same hash must still be told apart.
        let hash = Path::COMPLETE.hash.then(77);
        let child = |caller, address| {
            let key = Key::of_path(address, hash).expect("an address");
            match stacks.index.find(key, |found| found == caller) {
                Some(stack) => Some(stack),
                None => stacks.add(&arena, key, caller, address),
            }
        };
        let mut ids = Vec::new();
        for address in 1..=100 {
            for caller in [StackId::COMPLETE, StackId::TRUNCATED] {
                ids.push((address, caller, child(caller, address).expect("memory")));
            }
        }
        for (address, caller, id) in ids {
            assert_eq!(child(caller, address), Some(id));
            assert_eq!(read(&stacks, id), (vec![address], caller));
        }
    }

    #[test]
    fn a_path_is_found_only_if_every_frame_of_it_agrees() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        let extend = |base, frames: &[usize]| stacks.extend(&arena, base, frames.iter());
        let base = extend(Path::COMPLETE, &[7, 8, 9]).expect("memory");
        let whole = extend(base, &[1, 2, 3]).expect("memory");
        assert_eq!(extend(Path::COMPLETE, &[1, 2, 3, 7, 8, 9]), Some(whole));
        assert_eq!(extend(base, &[]), Some(base));
        // Planted: the hash of another path, so that only the comparison can tell.
        let other = extend(Path::COMPLETE, &[4, 8, 9]).expect("memory");
        let forged = Path {
            hash: base.hash,
            ..other
        };
        let forged = extend(forged, &[1, 2, 3]).expect("memory");
        assert_eq!(forged.hash, whole.hash);
        assert_eq!(read(&stacks, forged.stack).0, [1, 2, 3, 4, 8, 9]);
        assert_eq!(read(&stacks, whole.stack).0, [1, 2, 3, 7, 8, 9]);
    }

    #[test]
    fn addresses_that_no_program_has_are_refused() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        for address in [0, 1 << 48, usize::MAX] {
            assert_eq!(stacks.intern(&arena, &[address], false), None);
        }
    }

    #[test]
    fn without_memory_a_new_stack_is_refused_and_a_known_one_found() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        let known = stacks.intern(&arena, &[1, 2, 3], false).expect("memory");
        arena.set_limit(0);
        let refused = (1..1_000_000).find(|n| stacks.intern(&arena, &[*n, 9, 9], false).is_none());
        assert!(refused.is_some());
        assert_eq!(stacks.intern(&arena, &[1, 2, 3], false), Some(known));
    }

    #[test]
    fn threads_agree_on_what_a_stack_reads() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        std::thread::scope(|scope| {
            for start in 0..4 {
                let (arena, stacks) = (&arena, &stacks);
                scope.spawn(move || {
                    for step in 0..20_000 {
                        let n = (step * 7 + start) % 5000;
                        let frames = [n + 1, n / 10 + 1, n / 100 + 1];
                        let id = stacks.intern(arena, &frames, false).expect("memory");
                        assert_eq!(read(stacks, id).0, frames);
                    }
                });
            }
        });
    }
}
