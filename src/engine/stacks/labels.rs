//! Labels: what a stack is known by beside its frames, such as the tag that its thread was in.
//!
//! ```text
//! COMPLETE ── main ── serve ── [tag 4711]      a labelled stack: the label's node on top of the stack's own
//! NAME ── 10 bytes ── "GET /ite" ── "ms"       the label's name, a path from a root of its own: 4711 is its end
//! ```
//!
//! A labelled stack is a node like any other, so a block's record has no word more for it. The node
//! says [`LABEL`] where a return address has its upper half, which no code has. Names are paths too, whose
//! nodes hold the bytes of the name. So any number of names is interned as stacks are: without a lock,
//! from the arena, and found again by comparing in full.

use std::sync::atomic::{AtomicU32, Ordering};

use super::index::Key;
use super::{Node, Path, PathHash, StackId, Stacks, node_of};
use crate::engine::memory::arena::{Arena, zeroed_struct};

/// Longest name in bytes. What is longer is cut.
pub(crate) const MAX_NAME: usize = 255;
const WORD: usize = size_of::<usize>();
/// Words of a name, and one for its length.
const MAX_WORDS: usize = MAX_NAME.div_ceil(WORD) + 1;

/// The upper half of a label's node. Return addresses of programs never have the highest bit.
const LABEL: u32 = 1 << 31;

/// A name that was interned. Two numbers may read as one name: see [`Stacks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameId(StackId);

impl NameId {
    /// Never 0.
    pub(crate) fn bits(self) -> u32 {
        self.0.0
    }

    /// `bits` must be those of a name.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(StackId(bits))
    }
}

/// What a label says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LabelKind {
    /// The tag that the allocating thread was in.
    Tag = 0,
    /// The allocating thread.
    Thread = 1,
    /// The innermost scope that records and that the allocating thread was in.
    Owner = 2,
}

/// The labels of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Labels {
    pub(crate) tag: Option<NameId>,
    pub(crate) thread: Option<NameId>,
    pub(crate) owner: Option<NameId>,
}

impl Labels {
    /// Equal for equal labels, and mostly different for others. The owner is none that anybody is shown.
    pub(crate) fn bits(self) -> u64 {
        let bits = |name: Option<NameId>| u64::from(name.map_or(0, NameId::bits));
        bits(self.tag) << 32 | bits(self.thread)
    }

    fn set(&mut self, label: Label) {
        match label.kind {
            LabelKind::Tag => self.tag = Some(label.name),
            LabelKind::Thread => self.thread = Some(label.name),
            LabelKind::Owner => self.owner = Some(label.name),
        }
    }
}

/// One label of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: LabelKind,
    pub(crate) name: NameId,
}

impl Label {
    fn upper(self) -> u32 {
        LABEL | self.kind as u32
    }

    /// The label that a node stands for. `None` for a frame.
    fn of(node: &Node) -> Option<Self> {
        let upper = node.address_above.load(Ordering::Relaxed);
        let name = NameId::from_bits(node.address.load(Ordering::Relaxed));
        let kind = match upper ^ LABEL {
            0 => LabelKind::Tag,
            1 => LabelKind::Thread,
            2 => LabelKind::Owner,
            _ => return None,
        };
        Some(Self { kind, name })
    }

    /// Where the index has `stack` under this label.
    fn hash_on(self, stack: StackId) -> PathHash {
        let PathHash(root) = Path::NAME.hash;
        PathHash(root ^ stack.bits() << 32 ^ u64::from(self.upper()))
            .then(self.name.bits() as usize)
    }
}

/// Labelled stacks that a thread has had last. An entry is a guess, which its node proves: so an entry of
/// any age, or of another thread's, does no harm.
pub(crate) struct LabelCache {
    entries: [AtomicU32; Self::LEN],
}

zeroed_struct!(LabelCache { entries });

impl LabelCache {
    const LEN: usize = 1 << Self::BITS;
    const BITS: u32 = 9;

    fn entry(&self, stack: StackId, label: Label) -> Option<&AtomicU32> {
        let mixed = (stack.bits() ^ u64::from(label.name.bits()).rotate_left(32))
            .wrapping_add(label.kind as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.entries
            .get((mixed >> (u64::BITS - Self::BITS)) as usize)
    }
}

impl Stacks {
    /// The number of `name`, of which at most [`MAX_NAME`] bytes count. `None` when it is new and there
    /// is no room for it.
    pub(crate) fn name(&self, arena: &Arena, name: &[u8]) -> Option<NameId> {
        self.prepare(arena)?;
        let name = name.get(..MAX_NAME).unwrap_or(name);
        // The end of the name first, as the most recent frame of a stack; its length last.
        let mut words = [0; MAX_WORDS];
        let used = words.get_mut(..name.len().div_ceil(WORD) + 1)?;
        let mut rest = used.iter_mut().rev();
        *rest.next()? = name.len();
        for (word, bytes) in rest.zip(name.chunks(WORD)) {
            let mut padded = [0; WORD];
            padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
            *word = usize::from_le_bytes(padded);
        }
        self.intern(arena, used, Path::NAME).map(NameId)
    }

    /// Puts the bytes of `name` into `buffer`, and returns them.
    pub(crate) fn read_name<'b>(
        &self,
        name: NameId,
        buffer: &'b mut [u8; MAX_NAME],
    ) -> Option<&'b [u8]> {
        let mut words = [0; MAX_WORDS];
        let mut used = 0;
        self.read(name.0, |word| {
            if let Some(place) = words.get_mut(used) {
                *place = word;
                used += 1;
            }
        });
        let (len, words) = words.get(..used)?.split_last()?;
        for (place, word) in buffer.chunks_mut(WORD).zip(words.iter().rev()) {
            let bytes = word.to_le_bytes();
            place.copy_from_slice(bytes.get(..place.len())?);
        }
        buffer.get(..*len)
    }

    /// `stack` under `label`. `None` when it is new and there is no room for it. `cache`: the running
    /// thread's.
    #[inline]
    pub(crate) fn labelled(
        &self,
        arena: &Arena,
        cache: Option<&LabelCache>,
        stack: StackId,
        label: Label,
    ) -> Option<StackId> {
        let entry = cache.and_then(|cache| cache.entry(stack, label));
        if let Some(entry) = entry {
            let known = StackId(entry.load(Ordering::Relaxed));
            if self.is_labelled(known, stack, label) {
                return Some(known);
            }
        }
        let found = self.intern_labelled(arena, stack, label)?;
        if let Some(entry) = entry {
            entry.store(found.0, Ordering::Relaxed);
        }
        Some(found)
    }

    #[inline(never)]
    fn intern_labelled(&self, arena: &Arena, stack: StackId, label: Label) -> Option<StackId> {
        let key = Key::of_path(label.hash_on(stack));
        let is_right = |node| self.is_labelled(node, stack, label);
        self.index.find(key, is_right).or_else(|| {
            let number = self.reserve(1)?;
            let words = (label.name.bits(), label.upper());
            let make = || self.write(arena, StackId(number.start), stack, words);
            let added = self.index.add(arena, key, number.start, make);
            if added.is_none() {
                self.give_back(number);
            }
            added
        })
    }

    #[inline]
    fn is_labelled(&self, known: StackId, stack: StackId, label: Label) -> bool {
        let node = self.nodes.get().and_then(|nodes| node_of(nodes, known));
        node.is_some_and(|node| node.caller() == stack && Label::of(node) == Some(label))
    }

    /// `stack` without its labels, and those.
    pub(crate) fn without_labels(&self, stack: StackId) -> (StackId, Labels) {
        let mut labels = Labels::default();
        let mut at = stack;
        while at.0 >= StackId::FIRST
            && let Some(node) = self.nodes.get().and_then(|nodes| node_of(nodes, at))
            && let Some(label) = Label::of(node)
        {
            labels.set(label);
            at = node.caller();
        }
        (at, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> (Arena, Stacks) {
        let (arena, stacks) = (Arena::new(), Stacks::new());
        stacks.prepare(&arena).expect("memory for the tables");
        (arena, stacks)
    }

    fn read(stacks: &Stacks, name: NameId) -> Vec<u8> {
        let mut buffer = [0; MAX_NAME];
        stacks
            .read_name(name, &mut buffer)
            .expect("a name")
            .to_vec()
    }

    #[test]
    fn a_name_reads_as_it_was_interned_and_has_one_number() {
        let (arena, stacks) = tables();
        let mut numbers = Vec::new();
        for len in 0..=MAX_NAME {
            // Zeros at the end are a part of the name.
            for last in [0, b'x'] {
                let mut name = vec![b'a'; len];
                name.last_mut().into_iter().for_each(|byte| *byte = last);
                let number = stacks.name(&arena, &name).expect("room");
                assert_eq!(read(&stacks, number), name);
                assert_eq!(stacks.name(&arena, &name), Some(number));
                numbers.push(number.bits());
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        // The empty name twice.
        assert_eq!(numbers.len(), 2 * MAX_NAME + 1);
        let long = [b'z'; MAX_NAME + 10];
        let cut = stacks.name(&arena, &long).expect("room");
        assert_eq!(read(&stacks, cut), long[..MAX_NAME]);
    }

    #[test]
    fn a_labelled_stack_reads_as_the_stack_and_its_labels() {
        let (arena, stacks) = tables();
        let cache = arena_cache(&arena);
        let [one, two] = [b"one", b"two"].map(|name| stacks.name(&arena, name).expect("room"));
        let tag = |name| Label {
            kind: LabelKind::Tag,
            name,
        };
        let thread = |name| Label {
            kind: LabelKind::Thread,
            name,
        };
        let mut seen = Vec::new();
        for frames in [&[][..], &[0x1000], &[0x2000, 0x1000]] {
            let stack = stacks.intern(&arena, frames, Path::COMPLETE).expect("room");
            for labels in [
                vec![],
                vec![tag(one)],
                vec![tag(two)],
                vec![thread(one)],
                vec![thread(two), tag(two)],
            ] {
                let mut labelled = [stack; 3];
                for label in &labels {
                    // By the index, by an empty entry of the cache, and by what that has kept.
                    let caches = [None, Some(cache), Some(cache)];
                    for (stack, cache) in labelled.iter_mut().zip(caches) {
                        *stack = stacks
                            .labelled(&arena, cache, *stack, *label)
                            .expect("room");
                    }
                }
                assert_eq!(labelled, [labelled[0]; 3]);
                let mut expected = Labels::default();
                labels.iter().for_each(|label| expected.set(*label));
                assert_eq!(stacks.without_labels(labelled[0]), (stack, expected));
                seen.push(labelled[0]);
            }
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    fn arena_cache(arena: &Arena) -> &'static LabelCache {
        static CELL: once_cell::race::OnceRef<'static, LabelCache> =
            once_cell::race::OnceRef::new();
        arena.first_use(&CELL).expect("memory for a cache")
    }

    #[test]
    fn an_entry_of_the_cache_is_only_a_guess() {
        let (arena, stacks) = tables();
        let cache: &'static LabelCache = Box::leak(Box::new(LabelCache {
            entries: std::array::from_fn(|index| AtomicU32::new(index as u32)),
        }));
        let name = stacks.name(&arena, b"tag").expect("room");
        let label = Label {
            kind: LabelKind::Tag,
            name,
        };
        for address in (0x1000..0x9000).step_by(16) {
            let stack = stacks
                .intern(&arena, &[address], Path::COMPLETE)
                .expect("room");
            let labelled = stacks
                .labelled(&arena, Some(cache), stack, label)
                .expect("room");
            let labels = Labels {
                tag: Some(name),
                thread: None,
                ..Labels::default()
            };
            assert_eq!(stacks.without_labels(labelled), (stack, labels));
        }
    }

    #[test]
    fn without_room_there_is_no_label() {
        let (arena, stacks) = tables();
        arena.set_limit(0);
        let mut refused = 0;
        // The pieces that exist take some.
        for number in 0_u32..100_000 {
            match stacks.name(&arena, &number.to_le_bytes()) {
                Some(name) => assert_eq!(read(&stacks, name), number.to_le_bytes()),
                None => refused += 1,
            }
        }
        assert!(refused > 0);
    }
}
