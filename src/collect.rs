//! From the engine's records to a [`Snapshot`]: the only file that sees both.
//!
//! Records are copied first, without holding anything up. Then every address is named once, and
//! every stack put together once, however many blocks came from it.

mod history;
mod labels;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::{Guard, Labels, Session, StackId, Tracker};
use crate::external::External;
use crate::process::{allocator_memory, resident_memory};
use crate::sections::{Busy, NAMES};
use crate::snapshot::{Domain, Losses, Recording, Runs, Snapshot, StackTable, Traceback, Unread};
use crate::symbols::{
    NamedCalls, NamedStack, Oldest, Shape, Symbols, mix, not_recorded, program_file,
};
pub(crate) use history::Before;
use labels::LabelNames;

/// Where snapshots come from.
pub(crate) struct Collector<'a> {
    pub(crate) tracker: &'a Tracker,
    pub(crate) external: &'a External,
    pub(crate) symbols: &'a Symbols,
}

/// A live block as it was recorded.
struct Block {
    stack: StackId,
    domain: u32,
    size: u64,
}

impl Collector<'_> {
    /// Every live block of `session`.
    pub(crate) fn snapshot(&self, session: Session, guard: &Guard) -> Result<Snapshot, Busy> {
        let blocks = self.blocks(session, guard)?;
        let history = self.history(session, guard)?;
        let recording = self.recording(session);
        self.put_together(session, guard, blocks, history, recording)
    }

    /// Reads the names that a snapshot would have now, for the next one.
    pub(crate) fn load_names(&self, session: Session, guard: &Guard) -> Result<(), Busy> {
        if session.names_later() && Symbols::NAMES_CAN_WAIT {
            return Ok(());
        }
        let blocks = self.blocks(session, guard)?.into_iter();
        let history = self.history(session, guard)?.into_iter().flatten();
        let stacks = blocks.map(|block| block.stack);
        let stacks = stacks.chain(history.map(|sums| sums.stack));
        Tracebacks::new(self, session, guard, stacks, None).map(drop)
    }

    /// The live blocks of `session` whose labelled stacks `is_owned` is true of. What was live in all, and at
    /// most, is theirs. Their history is that since `before`.
    pub(crate) fn owned(
        &self,
        session: Session,
        guard: &Guard,
        is_owned: impl Fn(StackId) -> bool,
        before: &Before,
    ) -> Result<Snapshot, Busy> {
        let mut known: HashMap<StackId, bool> = HashMap::new();
        let mut is_owned = |stack| *known.entry(stack).or_insert_with(|| is_owned(stack));
        let mut blocks = self.blocks(session, guard)?;
        blocks.retain(|block| is_owned(block.stack));
        let mut history = self.history(session, guard)?;
        if let Some(history) = &mut history {
            history.retain(|sums| is_owned(sums.stack));
            history.iter_mut().for_each(|sums| sums.subtract(before));
            history.retain(history::StackSums::is_any);
        }
        let mut recording = self.recording(session);
        recording.current = blocks.iter().map(|block| block.size).sum();
        recording.peak = recording.current;
        // That of all blocks: beside those of some it would say nothing.
        recording.allocator_memory = None;
        self.put_together(session, guard, blocks, history, recording)
    }

    fn put_together(
        &self,
        session: Session,
        guard: &Guard,
        blocks: Vec<Block>,
        history: Option<Vec<history::StackSums>>,
        mut recording: Recording,
    ) -> Result<Snapshot, Busy> {
        let by_stack = ByStack::new(blocks);
        let with_history = history.iter().flatten().map(|sums| sums.stack);
        let named = by_stack.stacks().chain(with_history);
        let is_later = session.names_later() && Symbols::NAMES_CAN_WAIT;
        let unnamed = is_later.then_some(Unread::Later);
        let mut tracebacks = Tracebacks::new(self, session, guard, named, unnamed)?;
        recording.unnamed = tracebacks.unnamed;
        let mut stacks = StackTable::default();
        let mut numbers = Numbers::default();
        let mut runs = Runs::default();
        by_stack.for_each(|stack, blocks| {
            let named = tracebacks.of(stack);
            let traceback = tracebacks.number(&mut stacks, &named);
            numbers.insert(stack, traceback);
            if named.is_incomplete {
                recording.losses.incomplete_stacks += blocks.len() as u64;
            }
            for block in blocks {
                runs.push(traceback, Domain(block.domain), block.size, 1);
            }
        });
        let rows = history.map(|history| {
            history::rows(history, |stack| {
                *numbers.entry(stack).or_insert_with(|| {
                    let named = tracebacks.of(stack);
                    tracebacks.number(&mut stacks, &named)
                })
            })
        });
        let mut snapshot =
            Snapshot::from_parts(stacks.into_stacks(), runs, session.limit(), recording)
                .with_unread(self.symbols.unread());
        if let Some(bytes) = self.tracker.samples.every(session) {
            snapshot = snapshot.with_sample_every(bytes);
        }
        Ok(match rows {
            Some(rows) => snapshot.with_history_rows(rows),
            None => snapshot,
        })
    }

    /// The traceback of one stack.
    pub(crate) fn traceback(
        &self,
        session: Session,
        guard: &Guard,
        stack: StackId,
    ) -> Result<Traceback, Busy> {
        let stacks = [stack].into_iter();
        let mut tracebacks = Tracebacks::new(self, session, guard, stacks, None)?;
        Ok(tracebacks.of(stack).traceback)
    }

    fn blocks(&self, session: Session, guard: &Guard) -> Result<Vec<Block>, Busy> {
        self.tracker.reclaim();
        let mut blocks = Vec::new();
        self.tracker.for_each_block(session, |size, stack| {
            blocks.push(Block {
                stack,
                domain: 0,
                size,
            })
        });
        let external = self.external.regions(session, guard)?.into_iter();
        blocks.extend(external.map(|(domain, region)| Block {
            stack: region.stack,
            domain,
            size: region.size,
        }));
        Ok(blocks)
    }

    fn recording(&self, session: Session) -> Recording {
        let (current, peak) = self.tracker.traced_memory(session);
        let lost = self.tracker.lost(session);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Recording {
            taken_at: since_epoch.ok().map(|time| time.as_secs()),
            process_id: Some(std::process::id()),
            program: program_file(),
            resident_memory: if self.tracker.counts_mapped() {
                None
            } else {
                resident_memory()
            },
            allocator_memory: allocator_memory(self.tracker.may_be_glibcs()),
            current,
            peak,
            tracer_memory: (self.tracker.own_memory() + self.symbols.memory()) as u64,
            runtime_frames: session.runtime_frames(),
            unnamed: None,
            losses: Losses {
                blocks: lost.blocks,
                stacks: lost.stacks,
                replaced: lost.replaced,
                history_events: self.tracker.lost_history(session),
                labels: lost.labels,
                ..Losses::default()
            },
        }
    }
}

/// The stacks' numbers in the snapshot.
type Numbers = HashMap<StackId, u32>;

/// Blocks in the order of their stacks' numbers.
struct ByStack {
    blocks: Vec<Block>,
    /// Where each stack's blocks end, by the stack's number.
    ends: Vec<usize>,
}

impl ByStack {
    /// A counting sort: stacks are few and their numbers dense.
    fn new(blocks: Vec<Block>) -> Self {
        let stacks = blocks
            .iter()
            .map(|block| block.stack.index() + 1)
            .max()
            .unwrap_or(0);
        let mut starts = vec![0; stacks];
        for block in &blocks {
            starts[block.stack.index()] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        let mut order: Vec<Block> = Vec::with_capacity(blocks.len());
        order.resize_with(blocks.len(), || Block {
            stack: StackId::COMPLETE,
            domain: 0,
            size: 0,
        });
        for block in blocks {
            let place = &mut starts[block.stack.index()];
            order[*place] = block;
            *place += 1;
        }
        // Each start has moved to its end.
        Self {
            blocks: order,
            ends: starts,
        }
    }

    /// The stacks that have blocks.
    fn stacks(&self) -> impl Iterator<Item = StackId> {
        self.blocks
            .chunk_by(|a, b| a.stack == b.stack)
            .filter_map(|chunk| chunk.first())
            .map(|block| block.stack)
    }

    /// Calls `visit` once per stack with its blocks, equal ones next to each other.
    fn for_each(mut self, mut visit: impl FnMut(StackId, &[Block])) {
        let mut start = 0;
        for end in self.ends {
            let blocks = &mut self.blocks[start..end];
            start = end;
            if let Some(stack) = blocks.first().map(|block| block.stack) {
                blocks.sort_unstable_by_key(|block| (block.domain, block.size));
                visit(stack, blocks);
            }
        }
    }
}

/// Puts tracebacks together from the frames of their return addresses.
struct Tracebacks<'a> {
    collector: &'a Collector<'a>,
    session: Session,
    names: NamedCalls,
    /// Why there are none.
    unnamed: Option<Unread>,
    addresses: Vec<usize>,
    labels: LabelNames<'a>,
    /// Stacks that have labels, without those.
    unlabelled: HashMap<StackId, NamedStack>,
}

impl<'a> Tracebacks<'a> {
    /// Names every address that occurs in `stacks`, unless there is a reason not to.
    fn new(
        collector: &'a Collector<'a>,
        session: Session,
        guard: &Guard,
        stacks: impl Iterator<Item = StackId>,
        unnamed: Option<Unread>,
    ) -> Result<Self, Busy> {
        let mut names = NamedCalls::default();
        // Stacks share callers: each is read until a frame that was met before.
        let mut met = Bits::default();
        for stack in stacks {
            let (stack, _) = collector.tracker.without_labels(stack);
            collector.tracker.read_contexts(stack, |context, address| {
                let is_new = met.set(context.index());
                if is_new {
                    names.want(address);
                }
                is_new
            });
        }
        let section = NAMES.enter(guard)?;
        // A snapshot takes no names rather than the memory that is left.
        let unnamed = unnamed.or_else(|| collector.symbols.name(&mut names).err());
        if unnamed.is_some() {
            collector.symbols.locate(&mut names);
        }
        drop(section);
        Ok(Self {
            collector,
            session,
            names,
            unnamed,
            addresses: Vec::new(),
            labels: LabelNames::new(collector.tracker),
            unlabelled: HashMap::new(),
        })
    }

    /// The number of a stack among those of the snapshot. Places of two modules that are called alike have
    /// one name, so stacks without names stay apart.
    fn number(&self, stacks: &mut StackTable, named: &NamedStack) -> u32 {
        let traceback = named.traceback.clone();
        match self.unnamed {
            Some(_) => stacks.push(traceback),
            None => stacks.intern_hashed(named.hash, traceback),
        }
    }

    fn of(&mut self, stack: StackId) -> NamedStack {
        let (stack, labels) = self.collector.tracker.without_labels(stack);
        if labels == Labels::default() {
            return self.without_labels(stack);
        }
        // A stack may have many labels.
        let known = self.unlabelled.get(&stack).cloned();
        let mut named = known.unwrap_or_else(|| {
            let named = self.without_labels(stack);
            self.unlabelled.insert(stack, named.clone());
            named
        });
        named.hash = mix(named.hash ^ labels.bits());
        named.traceback = self.labels.put_on(named.traceback, labels);
        named
    }

    fn without_labels(&mut self, stack: StackId) -> NamedStack {
        let addresses = &mut self.addresses;
        addresses.clear();
        let root = self
            .collector
            .tracker
            .read_stack(self.session, stack, |address| addresses.push(address));
        let oldest = match root {
            StackId::OVERFLOW => return not_recorded(),
            StackId::TRUNCATED => Oldest::Truncated,
            StackId::INCOMPLETE => Oldest::Incomplete,
            _ => Oldest::Whole,
        };
        let shape = Shape {
            limit: self.session.limit(),
            runtime_frames: self.session.runtime_frames(),
        };
        // The engine reads from the most recent frame outwards; here the order turns, once.
        let calls = self.addresses.iter().rev().copied();
        if self.unnamed.is_some() {
            return self.names.whole_stack(calls, oldest);
        }
        self.names.stack(calls, oldest, shape)
    }
}

/// A set of small numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// True if `number` was not in the set before.
    fn set(&mut self, number: usize) -> bool {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}
