//! Blocks whose number and sizes a case knows, and the audit: when nothing is going on, counters,
//! records and the truth agree.
//!
//! Sizes are odd ones that the standard library does not ask for, so that records of these blocks
//! can be told from all others.

use std::alloc::Layout;
use std::hint::black_box;
use std::time::Duration;

use tracemalloc::{Domain, Filter, GroupBy, Scope, Snapshot, TracedMemory};

/// Every size of these blocks is so much more than a multiple of [`STEP`].
const MARK: usize = 13;
const STEP: usize = 64;

/// A marked size, of any class from 77 bytes on. `turn` is any number.
pub(crate) fn marked(turn: usize) -> usize {
    let steps = match turn % 11 {
        0..6 => 1 + turn % 3,
        6..9 => 5 + turn % 50,
        9 => 70 + turn % 900,
        _ => 1100 + turn % 2000,
    };
    steps * STEP + MARK
}

/// A block that the case owns.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) address: *mut u8,
    pub(crate) size: usize,
}

// SAFETY: nobody but its owner touches the memory.
unsafe impl Send for Block {}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a small size")
}

impl Block {
    /// A block filled with a byte that depends on its size. `None` if the allocator refuses.
    #[inline(never)]
    pub(crate) fn try_new(size: usize) -> Option<Self> {
        // SAFETY: the layout has a size.
        let address = black_box(unsafe { std::alloc::alloc(layout(size)) });
        if address.is_null() {
            return None;
        }
        let block = Self { address, size };
        block.fill();
        Some(block)
    }

    #[inline(never)]
    pub(crate) fn new(size: usize) -> Self {
        Self::try_new(size).expect("memory")
    }

    fn fill(&self) {
        for at in [0, self.size / 2, self.size - 1] {
            // SAFETY: inside the block.
            unsafe { self.address.wrapping_add(at).write(self.size as u8) };
        }
    }

    /// The bytes are those that were written.
    pub(crate) fn check(&self) {
        for at in [0, self.size / 2, self.size - 1] {
            // SAFETY: inside the block, and written by `fill`.
            let byte = unsafe { self.address.wrapping_add(at).read() };
            assert_eq!(byte, self.size as u8, "at {at} of {self:?}");
        }
    }

    /// Resizes the block, or leaves it as it was if the allocator refuses.
    pub(crate) fn try_resize(&mut self, size: usize) -> bool {
        self.check();
        // SAFETY: the block is this one's, with its layout.
        let moved = unsafe { std::alloc::realloc(self.address, layout(self.size), size) };
        let moved = black_box(moved);
        if moved.is_null() {
            self.check();
            return false;
        }
        // SAFETY: the first byte is kept whatever the new size is.
        assert_eq!(unsafe { moved.read() }, self.size as u8);
        self.address = moved;
        self.size = size;
        self.fill();
        true
    }

    #[inline(never)]
    pub(crate) fn free(self) -> usize {
        self.check();
        let address = self.address.addr();
        // SAFETY: the block is this one's, with its layout.
        unsafe { std::alloc::dealloc(self.address, layout(self.size)) };
        address
    }

    pub(crate) fn discard(self) {
        let _ = self.free();
    }

    pub(crate) fn is_traced(&self) -> bool {
        is_traced(self.address.addr())
    }
}

pub(crate) fn is_traced(address: usize) -> bool {
    tracemalloc::traceback_of(Domain::HEAP, address).is_some()
}

pub(crate) fn current() -> u64 {
    tracemalloc::get_traced_memory().current
}

fn is_marked(size: u64) -> bool {
    size > STEP as u64 && size % STEP as u64 == MARK as u64
}

/// The sizes of the marked blocks in a snapshot, in order.
fn marked_sizes(snapshot: &Snapshot) -> Vec<u64> {
    let sizes = snapshot.traces().unwrap().map(|trace| trace.size);
    let mut sizes: Vec<u64> = sizes.filter(|size| is_marked(*size)).collect();
    sizes.sort_unstable();
    sizes
}

/// A snapshot of a quiet moment, and what the counters say then. A scope of threads may be over
/// before its threads have given back what is their own.
fn in_quiet() -> (TracedMemory, Snapshot) {
    for _ in 0..1000 {
        let before = tracemalloc::get_traced_memory();
        let snapshot = tracemalloc::take_snapshot().expect("tracing");
        if tracemalloc::get_traced_memory().current == before.current {
            return (before, snapshot);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("something still allocates");
}

/// Compares counters, records and the blocks that exist, and checks that nothing was lost. Call it when no
/// other thread allocates any more.
#[track_caller]
pub(crate) fn audit(blocks: &[Block]) {
    let snapshot = audit_but_for_losses(blocks);
    assert_eq!(snapshot.recording().losses, Default::default());
}

/// [`audit`] for a case that must lose something. Returns the snapshot, which says what was lost.
#[track_caller]
pub(crate) fn audit_but_for_losses(blocks: &[Block]) -> Snapshot {
    let (before, snapshot) = in_quiet();
    assert_eq!(
        snapshot.total_size(),
        before.current,
        "the records' sum and the counter"
    );
    assert!(before.current <= before.peak, "{before:?}");
    let tags = snapshot.statistics(GroupBy::Tag);
    assert_eq!(
        tags.iter().map(|tag| tag.size).sum::<u64>(),
        snapshot.total_size(),
        "every record is in the account of one tag or of none"
    );
    assert_eq!(
        marked_sizes(&snapshot),
        sizes(blocks),
        "one record for each live block and none for a freed one"
    );
    for block in blocks {
        block.check();
    }
    for block in blocks.iter().rev().take(20) {
        assert!(block.is_traced(), "{block:?}");
    }
    snapshot
}

fn sizes(blocks: &[Block]) -> Vec<u64> {
    let mut sizes: Vec<u64> = blocks.iter().map(|block| block.size as u64).collect();
    sizes.sort_unstable();
    sizes
}

/// Compares what a scope owns with the blocks that its threads have allocated in it and in `tag`. Others may
/// be at work.
#[track_caller]
pub(crate) fn audit_scope(scope: &Scope, tag: &str, blocks: &[Block]) {
    let snapshot = scope.snapshot().expect("it records");
    assert_eq!(snapshot.recording().losses, Default::default());
    assert_eq!(
        marked_sizes(&snapshot),
        sizes(blocks),
        "a scope owns what its threads have allocated, and nothing else"
    );
    audit_tag(&snapshot, tag, blocks);
}

/// Compares the marked blocks of a tag with those that were allocated in it.
#[track_caller]
pub(crate) fn audit_tag(snapshot: &Snapshot, tag: &str, blocks: &[Block]) {
    let tagged = snapshot.filter_traces([Filter::include_tag(tag)]);
    assert_eq!(
        marked_sizes(&tagged),
        sizes(blocks),
        "a block has the tag of its thread"
    );
}

/// Blocks that stay until the audit: 200 in a row, so that a bug which loses one in fifty loses some of
/// them.
pub(crate) fn hold(held: &mut Vec<Block>) {
    held.reserve(200);
    held.extend((0..200).map(|turn| Block::new(marked(turn))));
}

/// Allocates, resizes and frees for `rounds` rounds, and leaves the remaining blocks in `held`, which never
/// grows.
pub(crate) fn churn(seed: usize, rounds: usize, held: &mut Vec<Block>) {
    let room = held.capacity();
    for round in seed..seed + rounds {
        let mut block = Block::new(marked(round * 31 + seed));
        if round % 3 == 0 {
            assert!(block.try_resize(marked(round * 7 + 3)));
        }
        if held.len() < room {
            held.push(block);
        } else {
            let at = round * 17 % room;
            std::mem::replace(&mut held[at], block).free();
        }
    }
}
