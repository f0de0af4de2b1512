//! The history of stacks against a plain model, on one thread and on several.

use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::heap::{Heap, Next};
use super::*;
use crate::engine::history::{Amount, StackHistory};
use crate::engine::session::Session;
use crate::engine::stacks::StackId;
use crate::engine::thread::recent::FEW;

fn with_history() -> Settings {
    Settings {
        history: true,
        ..settings(8)
    }
}

fn start_with_history(tracker: &Tracker) -> Session {
    let started = tracker.start(with_history(), usize::MAX);
    started.ok().flatten().expect("was off")
}

/// Allocates from one of a few stacks: as many frames more as `site` says.
#[inline(never)]
fn alloc_at<A: GlobalAlloc>(site: usize, allocator: &TraceAlloc<A>, size: usize) -> *mut u8 {
    std::hint::black_box(match site {
        0 => alloc(allocator, size),
        _ => alloc_at(site - 1, allocator, size),
    })
}

/// As [`alloc_at`], for `realloc`.
#[inline(never)]
fn realloc_at<A: GlobalAlloc>(
    site: usize,
    allocator: &TraceAlloc<A>,
    block: *mut u8,
    old: usize,
    new: usize,
) -> *mut u8 {
    std::hint::black_box(match site {
        0 => realloc(allocator, block, old, new),
        _ => realloc_at(site - 1, allocator, block, old, new),
    })
}

fn history(tracker: &Tracker) -> BTreeMap<StackId, StackHistory> {
    let mut all = BTreeMap::new();
    if let Some(session) = tracker.session() {
        tracker.for_each_history(session, |stack, history| {
            let history = StackHistory {
                // Of the clock.
                lifetime: 0,
                ..history
            };
            assert_eq!(all.insert(stack, history), None);
        });
    }
    all
}

/// One live block of the model.
struct Block {
    size: usize,
    stack: StackId,
    /// How many allocations there were before it.
    born: usize,
}

/// What the documentation says.
#[derive(Default)]
struct Model {
    stacks: BTreeMap<StackId, StackHistory>,
    /// Those of the session.
    blocks: BTreeMap<usize, Block>,
    /// Those of earlier sessions.
    old: BTreeMap<usize, usize>,
    allocations: usize,
    current: u64,
    peak: u64,
}

impl Model {
    fn change(&mut self, address: usize, block: Block) {
        let stack = self.stacks.entry(block.stack).or_default();
        let bytes = block.size as u64;
        add(&mut stack.live, bytes);
        add(&mut stack.allocated, bytes);
        if stack.live.bytes > stack.highest.bytes {
            stack.highest = stack.live;
        }
        self.current += bytes;
        self.allocations += 1;
        self.blocks.insert(address, block);
    }

    fn free(&mut self, address: usize) -> Option<Block> {
        let block = self.blocks.remove(&address)?;
        let stack = self.stacks.entry(block.stack).or_default();
        stack.live.bytes -= block.size as u64;
        stack.live.blocks -= 1;
        self.current -= block.size as u64;
        Some(block)
    }

    fn note_peak(&mut self) {
        if self.current > self.peak {
            self.set_peak();
        }
    }

    fn set_peak(&mut self) {
        self.peak = self.current;
        for stack in self.stacks.values_mut() {
            stack.at_peak = stack.live;
        }
    }

    fn forget(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        let left = blocks
            .into_iter()
            .map(|(address, block)| (address, block.size));
        let old = std::mem::take(&mut self.old)
            .into_iter()
            .chain(left)
            .collect();
        *self = Self {
            old,
            ..Self::default()
        };
    }

    fn pick(&self, choice: usize) -> Option<(usize, usize)> {
        let all = self.blocks.len() + self.old.len();
        let nth = choice.checked_rem(all)?;
        let blocks = self.blocks.iter().map(|(at, block)| (*at, block.size));
        let old = self.old.iter().map(|(at, size)| (*at, *size));
        blocks.chain(old).nth(nth)
    }
}

fn add(amount: &mut Amount, bytes: u64) {
    amount.bytes += bytes;
    amount.blocks += 1;
}

#[derive(Clone, Debug)]
enum Event {
    Alloc(usize, usize),
    Free(usize),
    FreeLast,
    Realloc(usize, usize, usize, Next),
    Clear,
    ResetPeak,
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let size = || {
        prop_oneof![
            1..40_usize,
            200..300_usize,
            4000..70_000_usize,
            1..2_000_000_usize
        ]
    };
    let next = prop_oneof![3 => Just(Next::Any), 2 => Just(Next::Move), 1 => Just(Next::Fail)];
    prop_oneof![
        8 => (0..4_usize, size()).prop_map(|(site, size)| Event::Alloc(site, size)),
        4 => any::<usize>().prop_map(Event::Free),
        2 => Just(Event::FreeLast),
        4 => (0..4_usize, any::<usize>(), size(), next)
            .prop_map(|(site, block, size, next)| Event::Realloc(site, block, size, next)),
        1 => Just(Event::Clear),
        1 => Just(Event::ResetPeak),
        1 => Just(Event::Restart),
    ]
}

fn stack_of(tracker: &Tracker, address: usize) -> StackId {
    let session = tracker.session().expect("tracing");
    tracker.block_at(session, address).expect("a record").1
}

fn free(model: &mut Model, allocator: &TraceAlloc<&Heap>, address: usize, size: usize) {
    dealloc(allocator, std::ptr::without_provenance_mut(address), size);
    model.old.remove(&address);
    if let Some(block) = model.free(address)
        && model.allocations - block.born <= FEW
    {
        let stack = model.stacks.get_mut(&block.stack).expect("known");
        add(&mut stack.temporary, size as u64);
    }
}

fn apply(
    event: &Event,
    heap: &Heap,
    allocator: &TraceAlloc<&Heap>,
    tracker: &Tracker,
    model: &mut Model,
) {
    match *event {
        Event::Alloc(site, size) => {
            let address = alloc_at(site, allocator, size).addr();
            let stack = stack_of(tracker, address);
            let born = model.allocations;
            model.change(address, Block { size, stack, born });
        }
        Event::Free(choice) => {
            if let Some((address, size)) = model.pick(choice) {
                free(model, allocator, address, size);
            }
        }
        Event::FreeLast => {
            let last = model.blocks.iter().max_by_key(|(_, block)| block.born);
            if let Some((address, size)) = last.map(|(at, block)| (*at, block.size)) {
                free(model, allocator, address, size);
            }
        }
        Event::Realloc(site, choice, new, next) => {
            let Some((address, size)) = model.pick(choice) else {
                return;
            };
            heap.next_realloc(next);
            let block = std::ptr::without_provenance_mut(address);
            let moved = realloc_at(site, allocator, block, size, new);
            if moved.is_null() {
                return;
            }
            model.old.remove(&address);
            let old = model.free(address);
            let (stack, born) = (stack_of(tracker, moved.addr()), model.allocations);
            let size = new;
            model.change(moved.addr(), Block { size, stack, born });
            if let Some(old) = old {
                let resized = &mut model.stacks.entry(stack).or_default().resized;
                resized.times += 1;
                if moved.addr() != address {
                    resized.copied += old.size.min(new) as u64;
                }
            }
        }
        Event::Clear => {
            tracker.clear();
            model.forget();
        }
        Event::ResetPeak => {
            tracker.reset_peak(tracker.session().expect("tracing"));
            model.set_peak();
        }
        Event::Restart => {
            tracker.stop();
            start_with_history(tracker);
            model.forget();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn alone_a_threads_history_agrees_with_a_plain_model(
        events in prop::collection::vec(event(), 1..200),
        is_system: bool,
    ) {
        let heap = if is_system { Heap::like_the_systems() } else { Heap::new() };
        let tracker = tracker();
        start_with_history(tracker);
        let allocator = wrapper(&heap, tracker, is_system);
        let mut model = Model::default();
        for (step, event) in events.iter().enumerate() {
            apply(event, &heap, &allocator, tracker, &mut model);
            model.note_peak();
            if step % 32 == 31 || step + 1 == events.len() {
                prop_assert_eq!(history(tracker), model.stacks.clone(), "after {:?}", event);
                let noted = tracker.noted_peak(tracker.session().expect("tracing"));
                prop_assert_eq!(noted, model.peak, "after {:?}", event);
            }
            let session = tracker.session().expect("tracing");
            prop_assert_eq!(tracker.lost_history(session), 0);
        }
    }
}

#[test]
fn without_history_nothing_is_noted() {
    let (tracker, heap) = (tracker(), Heap::new());
    start(tracker);
    let allocator = wrapper(&heap, tracker, false);
    let block = alloc_at(0, &allocator, 100);
    dealloc(&allocator, block, 100);
    assert_eq!(history(tracker), BTreeMap::new());
}

/// A thread frees what another one has allocated, and allocates at its stacks: each total is the sum of
/// both.
#[test]
fn threads_that_share_a_stack_add_up() {
    const EACH: u64 = 50;
    const SIZE: usize = 2000;
    let tracker = tracker();
    let session = start_with_history(tracker);
    let allocator = TraceAlloc::with_tracker(System, tracker);
    let make = || (0..EACH).map(|_| alloc_at(0, &allocator, SIZE).expose_provenance());
    let on_a_thread = |work: &(dyn Fn(Vec<usize>) -> Vec<usize> + Sync), blocks| {
        thread::scope(|scope| scope.spawn(|| work(blocks)).join().expect("no panic"))
    };
    let keep = Barrier::new(2);
    let blocks = thread::scope(|scope| {
        // Stays, so that the next thread has a slot of its own.
        let first = scope.spawn(|| {
            let blocks: Vec<_> = make().collect();
            keep.wait();
            keep.wait();
            blocks
        });
        keep.wait();
        let second = on_a_thread(
            &|blocks| blocks.into_iter().chain(make()).collect(),
            Vec::new(),
        );
        keep.wait();
        let mut blocks = first.join().expect("no panic");
        blocks.extend(second);
        blocks
    });
    let free = |blocks: Vec<usize>| {
        for block in blocks {
            let block = std::ptr::with_exposed_provenance_mut(block);
            dealloc(&allocator, block, SIZE);
        }
        Vec::new()
    };
    on_a_thread(&free, blocks);
    let sum = |of: fn(&StackHistory) -> Amount| {
        let all = history(tracker);
        let sums = all.values().map(of);
        sums.fold((0, 0), |sum, of| (sum.0 + of.bytes, sum.1 + of.blocks))
    };
    let all = 2 * EACH * SIZE as u64;
    assert_eq!(sum(|stack| stack.allocated), (all, 2 * EACH));
    assert_eq!(sum(|stack| stack.live), (0, 0));
    // The second one has seen what the first one had folded.
    assert_eq!(sum(|stack| stack.at_peak), (all, 2 * EACH));
    let noted = tracker.noted_peak(session);
    assert!((all - (64 << 10)..=all).contains(&noted), "{noted}");
}

/// Whatever threads do concurrently, what was live at the peak is what was noted then but for one
/// event of each other thread at each stack, and what each thread has not folded.
#[test]
fn with_several_threads_the_view_of_the_peak_is_within_its_bound() {
    const THREADS: usize = 4;
    const LARGEST: usize = 3000;
    let rounds = if cfg!(miri) { 20 } else { 4000 };
    let tracker = tracker();
    let session = start_with_history(tracker);
    let allocator = TraceAlloc::with_tracker(System, tracker);
    let begin = Barrier::new(THREADS);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (allocator, begin) = (&allocator, &begin);
            scope.spawn(move || {
                begin.wait();
                let mut held = Vec::new();
                for round in 0..rounds {
                    let size = (round * 31 + seed * 7) % LARGEST + 1;
                    held.push((alloc_at(round % 3, allocator, size), size));
                    if held.len() > round % 200 + 100 {
                        let (block, size) = held.swap_remove(round % 50);
                        dealloc(allocator, block, size);
                    }
                }
                for (block, size) in held {
                    dealloc(allocator, block, size);
                }
            });
        }
    });
    let at_peak: u64 = history(tracker)
        .values()
        .map(|stack| stack.at_peak.bytes)
        .sum();
    let stacks = history(tracker).len() as i64;
    let (current, peak) = tracker.traced_memory(session);
    assert_eq!(current, 0);
    let slack = crate::engine::thread::counter::SLACK as i64 * (THREADS as i64 + 1);
    let events = stacks * (THREADS * LARGEST) as i64;
    let apart = at_peak as i64 - peak as i64;
    assert!(apart.abs() <= slack + events, "{at_peak} {peak}");
    let noted = tracker.noted_peak(session) as i64;
    assert!((noted - peak as i64).abs() <= slack, "{noted} {peak}");
}

/// Without memory for records events are counted as lost, and the rest goes on.
#[test]
fn what_has_no_record_is_counted() {
    let (tracker, heap) = (tracker(), Heap::new());
    let allocator = wrapper(&heap, tracker, false);
    // The tables of live blocks are there; those of the history are not.
    start(tracker);
    let first = alloc_at(1, &allocator, 64);
    tracker.stop();
    let refusals = tracker.refusals();
    refusals.set(refusals.mappings(), u64::MAX);
    let session = start_with_history(tracker);
    let blocks = [0; 10].map(|_| alloc_at(1, &allocator, 64));
    dealloc(&allocator, first, 64);
    for block in blocks.into_iter().skip(1) {
        dealloc(&allocator, block, 64);
    }
    assert_eq!(tracker.lost_history(session), 10);
    assert_eq!((history(tracker), memory(tracker).0), (BTreeMap::new(), 64));
    assert_eq!(tracker.lost(session), Default::default());
    // Those that come later have one.
    refusals.set(0, 0);
    let block = alloc_at(1, &allocator, 64);
    assert_eq!(history(tracker).len(), 1);
    dealloc(&allocator, block, 64);
    assert_eq!(tracker.lost_history(session), 10);
}
