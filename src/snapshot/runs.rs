//! How a snapshot stores its blocks: each distinct stack once, and blocks as runs.
//!
//! A program has few distinct stacks and many blocks. A run is a number of blocks of one size and one stack. It
//! costs 24 bytes however many blocks it stands for.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use super::trace::Domain;
use super::traceback::Traceback;

/// Blocks of one size, stack and domain that follow each other in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes of one block.
    pub(crate) size: u64,
    /// Position after the run's last block, so that a block is found by binary search.
    pub(crate) end: u64,
    /// Index into the snapshot's stacks.
    pub(crate) stack: u32,
    pub(crate) domain: Domain,
}

/// Runs under construction: neighbours that are alike become one.
#[derive(Debug, Default)]
pub(crate) struct Runs(pub(super) Vec<Run>);

impl Runs {
    /// Adds `count` blocks at the end.
    pub(crate) fn push(&mut self, stack: u32, domain: Domain, size: u64, count: u64) {
        if count == 0 {
            return;
        }
        let end = self.0.last().map_or(0, |run| run.end).saturating_add(count);
        match self.0.last_mut() {
            Some(last) if (last.stack, last.domain, last.size) == (stack, domain, size) => {
                last.end = end
            }
            _ => self.0.push(Run {
                size,
                end,
                stack,
                domain,
            }),
        }
    }
}

/// Distinct stacks under construction, numbered by first appearance. Stacks that differ only in
/// their depth are two.
#[derive(Debug, Default)]
pub(crate) struct StackTable {
    ids: HashMap<StackKey, u32>,
    stacks: Vec<Traceback>,
}

/// A stack with a hash of it.
#[derive(Debug)]
struct StackKey(u64, Traceback);

impl PartialEq for StackKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 && self.1.identical(&other.1)
    }
}

impl Eq for StackKey {}

impl Hash for StackKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl StackTable {
    pub(crate) fn intern(&mut self, stack: Traceback) -> u32 {
        let mut state = self.ids.hasher().build_hasher();
        stack.hash(&mut state);
        stack.hash_labels(&mut state);
        self.intern_hashed(state.finish(), stack)
    }

    /// As [`StackTable::intern`], where a hash is known that equal stacks have in common.
    pub(crate) fn intern_hashed(&mut self, hash: u64, stack: Traceback) -> u32 {
        let next = u32::try_from(self.stacks.len()).unwrap_or(u32::MAX);
        let id = *self
            .ids
            .entry(StackKey(hash, stack.clone()))
            .or_insert(next);
        if id == next {
            self.stacks.push(stack);
        }
        id
    }

    /// Adds a stack that is another one than those before, whatever it is equal to.
    pub(crate) fn push(&mut self, stack: Traceback) -> u32 {
        let id = u32::try_from(self.stacks.len()).unwrap_or(u32::MAX);
        self.stacks.push(stack);
        id
    }

    pub(crate) fn into_stacks(self) -> Vec<Traceback> {
        self.stacks
    }
}
