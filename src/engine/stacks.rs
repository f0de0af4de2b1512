//! Distinct call stacks, as a calling-context tree: a node is a return address and the node of the
//! caller, and a stack is the number of its most recent frame's node.
//!
//! Nodes are only ever added, so a stack's number stays good for the life of the process and is
//! read without a lock. Two stacks are the same only if every address agrees: a node is found by
//! the hash of (caller, address) and then compared in full. Two threads that add the same node at
//! the same time may leave it there twice; the stacks then read the same, and whoever groups them
//! does so by what they read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::arena::{Arena, zeroed_struct};

/// The number of a stack: the node of its most recent frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits as u32)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One frame: a return address and the caller's node.
struct Node {
    address: AtomicU64,
    caller: AtomicU32,
}

zeroed_struct!(Node { address, caller });

const CHUNK: usize = 4096;
const CHUNKS: usize = (StackId::END as usize) / CHUNK;
type Chunk = [Node; CHUNK];

/// A part of the hash table. Slots hold a node's number and the upper half of its hash; 0 is empty.
struct Piece {
    used: AtomicU32,
    slots: [AtomicU64; SLOTS],
}

zeroed_struct!(Piece { used, slots });

const SLOTS: usize = 4096;
/// A piece this full makes the table grow.
const GROW_AT: u32 = SLOTS as u32 / 4 * 3;
/// A piece this full takes no more when the table cannot grow.
const FULL_AT: u32 = SLOTS as u32 / 16 * 15;

/// Generation `g` has `2^g` pieces. Growing is going on to the next generation: nothing is moved,
/// older generations are still searched, and half of all nodes are in the newest.
const GENERATIONS: u32 = 17;
const PIECES: usize = (1 << GENERATIONS) - 1;

/// The table of stacks.
pub(crate) struct Stacks {
    nodes: OnceRef<'static, [OnceRef<'static, Chunk>; CHUNKS]>,
    pieces: OnceRef<'static, [OnceRef<'static, Piece>; PIECES]>,
    /// The next node's number, counted from [`StackId::FIRST`].
    added: AtomicU32,
    newest: AtomicU32,
}

impl Stacks {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: OnceRef::new(),
            pieces: OnceRef::new(),
            added: AtomicU32::new(0),
            newest: AtomicU32::new(0),
        }
    }

    /// Makes the tables that every stack needs, ahead of the first one.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        self.piece(arena, self.newest.load(Ordering::Acquire), 0)?;
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
            StackId::TRUNCATED
        } else {
            StackId::COMPLETE
        };
        frames.iter().rev().try_fold(root, |caller, address| {
            self.node(arena, caller, *address as u64)
        })
    }

    /// Calls `visit` with the return addresses of `stack`, from the most recent to the oldest, and
    /// returns the root.
    pub(crate) fn read(&self, stack: StackId, mut visit: impl FnMut(usize)) -> StackId {
        let mut at = stack;
        while at.0 >= StackId::FIRST {
            let Some(node) = self.get(at) else {
                return StackId::TRUNCATED;
            };
            visit(node.address.load(Ordering::Relaxed) as usize);
            at = StackId(node.caller.load(Ordering::Relaxed));
        }
        at
    }

    fn get(&self, id: StackId) -> Option<&'static Node> {
        self.nodes
            .get()?
            .get(id.index() / CHUNK)?
            .get()?
            .get(id.index() % CHUNK)
    }

    fn node(&self, arena: &Arena, caller: StackId, address: u64) -> Option<StackId> {
        let hash = hash(caller, address);
        let newest = self.newest.load(Ordering::Acquire);
        (0..=newest)
            .rev()
            .find_map(|generation| self.find(generation, hash, caller, address))
            .or_else(|| self.add(arena, hash, caller, address))
    }

    fn find(&self, generation: u32, hash: u64, caller: StackId, address: u64) -> Option<StackId> {
        let piece = self
            .pieces
            .get()?
            .get(piece_index(generation, hash))?
            .get()?;
        for slot in probe(piece, hash) {
            let word = slot.load(Ordering::Acquire);
            if word == 0 {
                return None;
            }
            if let Some(id) = self.matches(word, hash, caller, address) {
                return Some(id);
            }
        }
        None
    }

    /// The node that slot `word` names, if it is the one for (`caller`, `address`).
    fn matches(&self, word: u64, hash: u64, caller: StackId, address: u64) -> Option<StackId> {
        if word >> 32 != hash >> 32 {
            return None;
        }
        let id = StackId(word as u32);
        let node = self.get(id)?;
        let same = node.address.load(Ordering::Relaxed) == address
            && node.caller.load(Ordering::Relaxed) == caller.0;
        same.then_some(id)
    }

    #[cold]
    fn add(&self, arena: &Arena, hash: u64, caller: StackId, address: u64) -> Option<StackId> {
        let piece = self.piece_with_room(arena, hash)?;
        let id = self.new_node(arena, caller, address)?;
        let word = hash >> 32 << 32 | u64::from(id.0);
        for slot in probe(piece, hash) {
            match slot.compare_exchange(0, word, Ordering::Release, Ordering::Acquire) {
                Ok(_) => {
                    piece.used.fetch_add(1, Ordering::Relaxed);
                    return Some(id);
                }
                // Another thread was first with the same node: this one's stays unused.
                Err(taken) => {
                    if let Some(theirs) = self.matches(taken, hash, caller, address) {
                        return Some(theirs);
                    }
                }
            }
        }
        None
    }

    fn new_node(&self, arena: &Arena, caller: StackId, address: u64) -> Option<StackId> {
        // The sum cannot wrap: additions stop long before, at `END`.
        if self.added.load(Ordering::Relaxed) >= StackId::END - StackId::FIRST {
            return None;
        }
        let id = StackId(StackId::FIRST + self.added.fetch_add(1, Ordering::Relaxed));
        let chunk = arena.first_use(&self.nodes)?.get(id.index() / CHUNK)?;
        let node = arena.first_use(chunk)?.get(id.index() % CHUNK)?;
        node.address.store(address, Ordering::Relaxed);
        node.caller.store(caller.0, Ordering::Relaxed);
        Some(id)
    }

    /// The newest generation's piece for `hash`, in a new generation if that piece is full.
    fn piece_with_room(&self, arena: &Arena, hash: u64) -> Option<&'static Piece> {
        let newest = self.newest.load(Ordering::Acquire);
        let piece = self.piece(arena, newest, hash)?;
        let used = piece.used.load(Ordering::Relaxed);
        if used < GROW_AT {
            return Some(piece);
        }
        if newest + 1 < GENERATIONS
            && let Some(fresh) = self.piece(arena, newest + 1, hash)
        {
            // Whoever loses finds the same generation begun.
            let _ = self.newest.compare_exchange(
                newest,
                newest + 1,
                Ordering::Release,
                Ordering::Relaxed,
            );
            return Some(fresh);
        }
        (used < FULL_AT).then_some(piece)
    }

    fn piece(&self, arena: &Arena, generation: u32, hash: u64) -> Option<&'static Piece> {
        arena.first_use(
            arena
                .first_use(&self.pieces)?
                .get(piece_index(generation, hash))?,
        )
    }
}

/// Mixes both parts into all bits: the upper 32 tell nodes apart in a slot, the lower 29 place
/// them.
fn hash(caller: StackId, address: u64) -> u64 {
    let key = address ^ u64::from(caller.0).rotate_left(40) ^ 0x2545_F491_4F6C_DD1D;
    let product = u128::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (product as u64) ^ (product >> 64) as u64
}

fn piece_index(generation: u32, hash: u64) -> usize {
    let first = (1 << generation) - 1;
    first + ((hash as usize >> 12) & first)
}

/// The slots of `piece` in the order in which `hash` tries them.
fn probe(piece: &'static Piece, hash: u64) -> impl Iterator<Item = &'static AtomicU64> {
    let (before, from) = piece.slots.split_at(hash as usize & (SLOTS - 1));
    from.iter().chain(before)
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
            &[usize::MAX; 40],
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
        let frames = |n: usize| [n, n / 3 + 1_000_000, n / 1000 + 2_000_000, 42];
        let ids: Vec<_> = (0..60_000)
            .map(|n| stacks.intern(&arena, &frames(n), false).expect("memory"))
            .collect();
        assert!(
            stacks.newest.load(Ordering::Relaxed) > 2,
            "the test must reach growth"
        );
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(stacks.intern(&arena, &frames(n), false), Some(*id));
            assert_eq!(read(&stacks, *id).0, frames(n));
        }
    }

    #[test]
    fn equal_hashes_do_not_make_equal_stacks() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        // Planted: nodes that all claim the same hash must still be told apart.
        let ids: Vec<_> = (0..100)
            .map(|address| {
                stacks
                    .add(&arena, 77, StackId::COMPLETE, address)
                    .expect("memory")
            })
            .collect();
        for (address, id) in ids.iter().enumerate() {
            let found = stacks.find(0, 77, StackId::COMPLETE, address as u64);
            assert_eq!(found, Some(*id));
            assert_eq!(read(&stacks, *id).0, [address]);
        }
        assert_eq!(stacks.find(0, 77, StackId::TRUNCATED, 5), None);
    }

    #[test]
    fn without_memory_a_new_stack_is_refused_and_a_known_one_found() {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        let known = stacks.intern(&arena, &[1, 2, 3], false).expect("memory");
        arena.set_limit(0);
        let refused = (0..1_000_000).find(|n| stacks.intern(&arena, &[*n, 9, 9], false).is_none());
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
                        let frames = [n, n / 10, n / 100];
                        let id = stacks.intern(arena, &frames, false).expect("memory");
                        assert_eq!(read(stacks, id).0, frames);
                    }
                });
            }
        });
    }
}
