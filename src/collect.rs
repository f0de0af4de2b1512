//! From the engine's records to a [`Snapshot`]: the only file that sees both.
//!
//! Records are copied first, without holding anything up. Then every address is named once, and
//! every stack put together once, however many blocks came from it.

mod history;
mod labels;
mod names;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::{Guard, Labels, Session, StackId, Tracker};
use crate::external::External;
use crate::process::{allocator_memory, resident_memory};
use crate::sections::{Busy, NAMES};
use crate::snapshot::{Domain, Frame, Losses, Recording, Runs, Snapshot, StackTable, Traceback};
use crate::symbols::{Role, Symbols, program_file, visible};
use labels::LabelNames;
use names::{FrameAt, Names};

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

    /// The live blocks of `session` whose labelled stacks `is_owned` is true of. What was live in all, and at
    /// most, is theirs.
    pub(crate) fn owned(
        &self,
        session: Session,
        guard: &Guard,
        is_owned: impl Fn(StackId) -> bool,
    ) -> Result<Snapshot, Busy> {
        let mut known: HashMap<StackId, bool> = HashMap::new();
        let mut is_owned = |stack| *known.entry(stack).or_insert_with(|| is_owned(stack));
        let mut blocks = self.blocks(session, guard)?;
        blocks.retain(|block| is_owned(block.stack));
        let mut history = self.history(session, guard)?;
        if let Some(history) = &mut history {
            history.retain(|sums| is_owned(sums.stack));
        }
        let mut recording = self.recording(session);
        recording.current = blocks.iter().map(|block| block.size).sum();
        recording.peak = recording.current;
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
        let mut tracebacks = Tracebacks::new(self, session, guard, named)?;
        let mut stacks = StackTable::default();
        let mut numbers = Numbers::default();
        let mut runs = Runs::default();
        by_stack.for_each(|stack, blocks| {
            let traceback = tracebacks.of(stack);
            let traceback = stacks.intern_hashed(tracebacks.hash, traceback);
            numbers.insert(stack, traceback);
            if tracebacks.ended {
                recording.losses.incomplete_stacks += blocks.len() as u64;
            }
            for block in blocks {
                runs.push(traceback, Domain(block.domain), block.size, 1);
            }
        });
        let rows = history.map(|history| {
            history::rows(history, |stack| {
                *numbers.entry(stack).or_insert_with(|| {
                    let traceback = tracebacks.of(stack);
                    stacks.intern_hashed(tracebacks.hash, traceback)
                })
            })
        });
        let mut snapshot =
            Snapshot::from_parts(stacks.into_stacks(), runs, session.limit(), recording);
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
        let mut tracebacks = Tracebacks::new(self, session, guard, [stack].into_iter())?;
        Ok(tracebacks.of(stack))
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
            resident_memory: resident_memory(),
            allocator_memory: allocator_memory(),
            current,
            peak,
            tracer_memory: (self.tracker.own_memory() + self.symbols.memory()) as u64,
            runtime_frames: session.runtime_frames(),
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
    names: Names,
    addresses: Vec<usize>,
    /// The stack being put together, oldest first.
    stack: Vec<FrameAt>,
    roles: Vec<Role>,
    /// Of the last one: equal for equal ones.
    hash: u64,
    /// The last one ended in code that cannot be read through.
    ended: bool,
    labels: LabelNames<'a>,
    /// Stacks that have labels, without those: with hash and `ended`.
    unlabelled: HashMap<StackId, (Traceback, u64, bool)>,
}

impl<'a> Tracebacks<'a> {
    /// Names every address that occurs in `stacks`.
    fn new(
        collector: &'a Collector<'a>,
        session: Session,
        guard: &Guard,
        stacks: impl Iterator<Item = StackId>,
    ) -> Result<Self, Busy> {
        let mut names = Names::default();
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
        names.resolve(collector.symbols);
        drop(section);
        Ok(Self {
            collector,
            session,
            names,
            addresses: Vec::new(),
            stack: Vec::new(),
            roles: Vec::new(),
            hash: 0,
            ended: false,
            labels: LabelNames::new(collector.tracker),
            unlabelled: HashMap::new(),
        })
    }

    fn of(&mut self, stack: StackId) -> Traceback {
        let (stack, labels) = self.collector.tracker.without_labels(stack);
        if labels == Labels::default() {
            return self.without_labels(stack);
        }
        // A stack may have many labels.
        let known = self.unlabelled.get(&stack).cloned();
        let (traceback, hash, ended) = known.unwrap_or_else(|| {
            let traceback = self.without_labels(stack);
            let made = (traceback, self.hash, self.ended);
            self.unlabelled.insert(stack, made.clone());
            made
        });
        (self.hash, self.ended) = (names::mix(hash ^ labels.bits()), ended);
        self.labels.put_on(traceback, labels)
    }

    fn without_labels(&mut self, stack: StackId) -> Traceback {
        let addresses = &mut self.addresses;
        addresses.clear();
        let root = self
            .collector
            .tracker
            .read_stack(self.session, stack, |address| addresses.push(address));
        self.ended = false;
        self.hash = 0;
        if root == StackId::OVERFLOW {
            return Traceback::of(Frame::named("<stack not recorded>"));
        }
        // The engine reads from the most recent frame outwards; here the order turns, once.
        let names = &self.names;
        let frames = addresses
            .iter()
            .rev()
            .flat_map(|address| names.at(*address));
        self.stack.clear();
        self.stack.extend(frames);
        self.roles.clear();
        self.roles
            .extend(self.stack.iter().map(|at| names.role(*at)));
        let visible = visible(&self.roles);
        // Where a program or a thread begins, nothing is missing.
        let from_start = visible.start > 0;
        self.ended = !from_start && root == StackId::INCOMPLETE;
        let shown = if self.session.runtime_frames() {
            0..self.stack.len()
        } else {
            visible
        };
        let all = self.stack.get(shown).unwrap_or_default();
        let kept = all.len().min(self.session.limit() as usize);
        let newest = all.get(all.len() - kept..).unwrap_or_default();
        self.hash = names.hash(newest);
        let newest = newest.iter().map(|at| names.frame(*at));
        let traceback = Traceback::from_oldest_first(newest).unwrap_or_else(Traceback::unknown);
        let traceback = match names.type_of(&self.stack) {
            Some(name) => traceback.with_type_name(name),
            None => traceback,
        };
        if root == StackId::TRUNCATED {
            traceback.with_truncated()
        } else {
            traceback.with_total_nframe(u32::try_from(all.len().max(1)).unwrap_or(u32::MAX))
        }
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
