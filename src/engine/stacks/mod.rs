//! Distinct call stacks, as a calling-context tree: a node is a return address and the node of the
//! caller, and a stack is the number of its most recent frame's node.
//!
//! Nodes are only ever added. So a stack's number stays valid for the life of the process, and is read
//! without a lock.
//!
//! A node is found by the hash of the whole path to it. All hashes of a stack are known before any
//! node is. So the look-ups of several frames do not wait for each other's memory, and other work can
//! be done while it is fetched. The hash only says where to look: a node is accepted if its address
//! and its caller agree, and its caller was found in this way too. So two stacks get one number only
//! if every address agrees.
//!
//! Two threads that add one node at one time may leave it there twice. Both numbers then read as one
//! list of addresses, and code that groups stacks compares what it read.

mod index;
mod labels;

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::race::OnceRef;

use crate::engine::memory::arena::{Arena, zeroed_struct};
use crate::engine::memory::prefetch::prefetch;
use index::{Index, Key};
pub(crate) use labels::{Label, LabelCache, LabelKind, Labels, MAX_NAME, NameId};

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
    /// The root of stacks that end in code of which nothing is known.
    pub(crate) const INCOMPLETE: Self = Self(3);
    /// The root of names, which are no stacks.
    const NAME: Self = Self(4);

    const FIRST: u32 = 5;
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
        // What is no address: a label.
        if cfg!(not(target_pointer_width = "64")) && above != 0 {
            return 0;
        }
        (above | u64::from(self.address.load(Ordering::Relaxed))) as usize
    }

    #[inline]
    fn caller(&self) -> StackId {
        StackId(self.caller.load(Ordering::Relaxed))
    }
}

/// An address as a node has it.
fn halves(address: usize) -> (u32, u32) {
    (address as u32, (address as u64 >> 32) as u32)
}

/// Frames that are looked for first, where the most recent one is new.
const MOSTLY_NEW: usize = 8;
const CHUNK: usize = 4096;
/// From this many on, chunks are dense tables, which may be put on large pages.
const MANY: usize = 16 * CHUNK;
const CHUNKS: usize = (StackId::END as usize) / CHUNK;
type Chunk = [Node; CHUNK];
type Nodes = [OnceRef<'static, Chunk>; CHUNKS];

#[inline]
fn node_of(nodes: &Nodes, id: StackId) -> Option<&'static Node> {
    nodes
        .get(id.index() / CHUNK)?
        .get()?
        .get(id.index() % CHUNK)
}

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
    /// Where stacks begin that end in code of which nothing is known.
    pub(crate) const INCOMPLETE: Self = Self {
        stack: StackId::INCOMPLETE,
        hash: PathHash(0x1405_7B7E_F767_814F),
    };
    /// Where names begin.
    const NAME: Self = Self {
        stack: StackId::NAME,
        hash: PathHash(0xD1B5_4A32_D192_ED03),
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
    nodes: OnceRef<'static, Nodes>,
    index: Index,
    added: Added,
}

/// The next node's number, counted from [`StackId::FIRST`]. On a cache line of its own: every new stack writes it, and
/// what lies beside it is read at every look-up.
#[repr(align(64))]
struct Added(AtomicU32);

impl Stacks {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: OnceRef::new(),
            index: Index::new(),
            added: Added(AtomicU32::new(0)),
        }
    }

    /// Creates the tables that every stack needs. `None` without memory for them.
    pub(crate) fn prepare(&self, arena: &Arena) -> Option<()> {
        self.index.prepare(arena)?;
        arena.first_use(&self.nodes).map(drop)
    }

    /// The stack of `frames`, return addresses from the most recent to the oldest, that begins at
    /// `root`. `None` when it is new and there is no room for it.
    pub(crate) fn intern(&self, arena: &Arena, frames: &[usize], root: Path) -> Option<StackId> {
        let mut path = root;
        // In pieces: this may run on a small stack.
        const PIECE: usize = 16;
        for piece in frames.rchunks(PIECE) {
            let paths = &mut [Path::COMPLETE; PIECE];
            self.hash_ahead(path, piece, paths);
            path = self.extend(arena, path, piece, paths)?;
        }
        Some(path.stack)
    }

    /// Gives `paths`, of which there must be as many as `frames`, the hashes of those to each frame
    /// on top of `base`, and has the memory fetched that [`Stacks::extend`] will read first.
    #[inline]
    pub(crate) fn hash_ahead(&self, base: Path, frames: &[usize], paths: &mut [Path]) {
        let mut hash = base.hash;
        for (address, path) in frames.iter().zip(&mut *paths).rev() {
            hash = hash.then(*address);
            path.hash = hash;
        }
        self.index.prefetch(Key::of_path(hash));
    }

    /// The stack of `frames`, the most recent first, on top of `base`; `paths`, which have their
    /// hashes from [`Stacks::hash_ahead`], get the stacks of each. `None` when one is new and there
    /// is no room for it.
    ///
    /// A stack that is known takes one look-up: the node of its most recent frame is found by the
    /// hash of the path, and the others by their numbers. They were mostly added one after the
    /// other and lie side by side. Of a new stack mostly the recent frames are new, so it is looked
    /// for from there.
    #[inline]
    pub(crate) fn extend(
        &self,
        arena: &Arena,
        base: Path,
        frames: &[usize],
        paths: &mut [Path],
    ) -> Option<Path> {
        let paths = paths.get_mut(..frames.len())?;
        if frames.is_empty() {
            return Some(base);
        }
        if !self.finds(base.stack, frames, paths) {
            self.extend_slow(arena, base.stack, frames, paths)?;
        }
        paths.first().copied()
    }

    /// Slow path of [`Stacks::extend`]: the most recent frame is new. Adds what is not known.
    #[cold]
    #[inline(never)]
    fn extend_slow(
        &self,
        arena: &Arena,
        base: StackId,
        frames: &[usize],
        paths: &mut [Path],
    ) -> Option<()> {
        // Mostly few frames are new. Their entries are read next, and then written.
        for path in paths.iter().take(MOSTLY_NEW) {
            self.index.prefetch(Key::of_path(path.hash));
        }
        let (new, caller) = self.find_known(base, frames, paths);
        if let (Some(known), Some(paths)) = (frames.get(new..), paths.get_mut(new..)) {
            self.follow(caller, known, paths);
        }
        let (frames, paths) = (frames.get(..new)?, paths.get_mut(..new)?);
        for path in paths.iter().skip(MOSTLY_NEW) {
            self.index.prefetch(Key::of_path(path.hash));
        }
        self.add_all(arena, caller, frames, paths)
    }

    /// How many of `frames` on top of `base` are new, of which the most recent one is, and the stack of
    /// the others.
    ///
    /// The callers of a known frame are known, so the boundary is found in steps that double and are
    /// then halved: mostly few frames are new, but in a recursion tens may be. An entry that the index
    /// has forgotten can hide known frames. They are then added once more, which the table allows.
    fn find_known(&self, base: StackId, frames: &[usize], paths: &[Path]) -> (usize, StackId) {
        // Frames before `new` are new; those from `known` on are not.
        let (mut new, mut known, mut caller) = (1, frames.len(), base);
        let mut step = 1;
        let mut is_doubling = true;
        while new < known {
            let at = if is_doubling {
                (new + step - 1).min(known - 1)
            } else {
                new + (known - new) / 2
            };
            // What is known already need not be compared once more.
            match self.find(caller, frames.get(at..known), paths.get(at)) {
                Some(found) => (known, caller, is_doubling) = (at, found, false),
                None => (new, step) = (at + 1, 2 * step),
            }
        }
        (new, caller)
    }

    /// The stack of `frames` on top of `base`, whose path is `path`, if it is known.
    fn find(
        &self,
        base: StackId,
        frames: Option<&[usize]>,
        path: Option<&Path>,
    ) -> Option<StackId> {
        let frames = frames?;
        let is_right = |stack| {
            let mut stack = stack;
            let nodes = self.nodes.get()?;
            for address in frames {
                let node = node_of(nodes, stack)?;
                if node.address() != *address {
                    return None;
                }
                stack = node.caller();
            }
            (stack == base).then_some(())
        };
        self.index
            .find(Key::of_path(path?.hash), |stack| is_right(stack).is_some())
    }

    /// True if `frames` on top of `base` are known; `paths` then have the stacks of each.
    #[inline]
    fn finds(&self, base: StackId, frames: &[usize], paths: &mut [Path]) -> bool {
        let Some(path) = paths.first() else {
            return false;
        };
        let key = Key::of_path(path.hash);
        let is_right = |node| self.follow(node, frames, paths) == Some(base);
        self.index.find(key, is_right).is_some()
    }

    /// Adds `frames`, the most recent first, none of which is there, on top of `caller`. Their numbers
    /// follow each other.
    fn add_all(
        &self,
        arena: &Arena,
        mut caller: StackId,
        frames: &[usize],
        paths: &mut [Path],
    ) -> Option<()> {
        let numbers = self.reserve(frames.len() as u32)?;
        for ((number, address), path) in numbers
            .clone()
            .zip(frames.iter().rev())
            .zip(paths.iter_mut().rev())
        {
            let make = || self.write(arena, StackId(number), caller, halves(*address));
            let Some(added) = self.index.add(arena, Key::of_path(path.hash), number, make) else {
                self.give_back(number..numbers.end);
                return None;
            };
            (path.stack, caller) = (added, added);
        }
        Some(())
    }

    /// As many numbers as `count` that nobody else gets.
    fn reserve(&self, count: u32) -> Option<Range<u32>> {
        let room = StackId::END - StackId::FIRST;
        // One step, so that the line comes from another processor once. Refusals are taken back: the sum cannot wrap.
        let before = self.added.0.fetch_add(count, Ordering::Relaxed);
        if before + count > room {
            self.added.0.fetch_sub(count, Ordering::Relaxed);
            return None;
        }
        let first = StackId::FIRST + before;
        Some(first..first + count)
    }

    /// Gives back the last `numbers` of a reservation, which no entry has, so that refusals do not use
    /// them up. If another thread has reserved some meanwhile, they are lost.
    fn give_back(&self, numbers: Range<u32>) {
        let [start, end] = [numbers.start, numbers.end].map(|number| number - StackId::FIRST);
        let _ = self
            .added
            .0
            .compare_exchange(end, start, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The stack that `frames`, the most recent first, are on top of if they are the most recent
    /// ones of `stack`; `paths` get the stacks of each.
    #[inline]
    fn follow(&self, mut stack: StackId, frames: &[usize], paths: &mut [Path]) -> Option<StackId> {
        let nodes = self.nodes.get()?;
        for (address, path) in frames.iter().zip(paths) {
            let node = node_of(nodes, stack)?;
            if node.address() != *address {
                return None;
            }
            path.stack = stack;
            stack = node.caller();
        }
        Some(stack)
    }

    /// Calls `visit` with the return addresses of `stack`, from the most recent to the oldest, and
    /// returns the root.
    pub(crate) fn read(&self, stack: StackId, mut visit: impl FnMut(usize)) -> StackId {
        self.read_while(stack, |_, address| {
            visit(address);
            true
        })
    }

    /// Calls `visit` with each caller's stack in `stack` and its return address, from the most recent
    /// to the oldest, while it answers true. Returns the root, or the stack at which it stopped.
    pub(crate) fn read_while(
        &self,
        stack: StackId,
        mut visit: impl FnMut(StackId, usize) -> bool,
    ) -> StackId {
        self.prefetch_callers(stack);
        let mut at = stack;
        while at.0 >= StackId::FIRST {
            let Some(node) = self.nodes.get().and_then(|nodes| node_of(nodes, at)) else {
                return StackId::TRUNCATED;
            };
            if !visit(at, node.address()) {
                return at;
            }
            at = node.caller();
        }
        at
    }

    /// Has the nodes fetched of which `stack` may be made: its frames were mostly added together, the oldest first.
    #[inline]
    fn prefetch_callers(&self, stack: StackId) {
        const NODES_IN_LINE: u32 = 64 / size_of::<Node>() as u32;
        const LINES: u32 = 6;
        let lines = (0..LINES).filter_map(|line| stack.0.checked_sub(line * NODES_IN_LINE));
        for at in lines {
            if let Some(node) = self
                .nodes
                .get()
                .and_then(|nodes| node_of(nodes, StackId(at)))
            {
                prefetch(node);
            }
        }
    }

    fn write(
        &self,
        arena: &Arena,
        id: StackId,
        caller: StackId,
        (address, address_above): (u32, u32),
    ) -> Option<StackId> {
        let chunk = arena.first_use(&self.nodes)?.get(id.index() / CHUNK)?;
        let chunk = if id.index() < MANY {
            arena.first_use(chunk)?
        } else {
            arena.first_use_dense(chunk)?
        };
        let node = chunk.get(id.index() % CHUNK)?;
        node.address.store(address, Ordering::Relaxed);
        node.address_above.store(address_above, Ordering::Relaxed);
        node.caller.store(caller.0, Ordering::Relaxed);
        Some(id)
    }
}

#[cfg(test)]
mod tests;
