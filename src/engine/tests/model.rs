//! Random sequences of events against a plain map that does what the documentation says.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proptest::prelude::*;

use super::heap::{Heap, Next};
use super::*;

#[derive(Clone, Debug)]
enum Event {
    Alloc(usize),
    FailAlloc(usize),
    Free(usize),
    Realloc(usize, usize, Next),
    Start,
    Stop,
    Clear,
    ResetPeak,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        1..40_usize,
        200..300_usize,
        4000..4200_usize,
        60_000..70_000_usize,
        1..2_000_000_usize
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let next = prop_oneof![3 => Just(Next::Any), 2 => Just(Next::Move), 1 => Just(Next::Fail)];
    prop_oneof![
        8 => size().prop_map(Event::Alloc),
        1 => size().prop_map(Event::FailAlloc),
        6 => any::<usize>().prop_map(Event::Free),
        5 => (any::<usize>(), size(), next).prop_map(|(block, size, next)| Event::Realloc(block, size, next)),
        2 => Just(Event::Start),
        1 => Just(Event::Stop),
        1 => Just(Event::Clear),
        1 => Just(Event::ResetPeak),
    ]
}

/// What the documentation says.
#[derive(Default)]
struct Oracle {
    tracing: bool,
    /// All blocks by address: the size, and whether the block is traced.
    blocks: BTreeMap<usize, (usize, bool)>,
    peak: u64,
}

impl Oracle {
    fn traced(&self) -> impl Iterator<Item = u64> {
        self.blocks
            .values()
            .filter(|(_, traced)| *traced)
            .map(|(size, _)| *size as u64)
    }

    fn forget_all(&mut self) {
        self.blocks
            .values_mut()
            .for_each(|(_, traced)| *traced = false);
        self.peak = 0;
    }

    fn state(&mut self) -> (u64, u64, Vec<u64>) {
        let current = self.traced().sum();
        self.peak = if self.tracing {
            self.peak.max(current)
        } else {
            0
        };
        let mut sizes: Vec<u64> = self.traced().collect();
        sizes.sort_unstable();
        (current, self.peak, sizes)
    }
}

fn pick(oracle: &Oracle, choice: usize) -> Option<(usize, usize)> {
    let nth = choice.checked_rem(oracle.blocks.len())?;
    oracle
        .blocks
        .iter()
        .nth(nth)
        .map(|(address, (size, _))| (*address, *size))
}

/// True if a block that was just received at `address` has to have a record. Which ones a session
/// that samples records is up to the tracker.
fn is_recorded(tracker: &Tracker, address: usize) -> bool {
    tracker.session().is_some_and(|session| {
        !session.is_sampled() || tracker.block_at(session, address).is_some()
    })
}

fn apply(
    event: &Event,
    heap: &Heap,
    allocator: &TraceAlloc<&Heap>,
    tracker: &Tracker,
    sample_every: Option<NonZeroU64>,
    oracle: &mut Oracle,
) {
    let pointer = std::ptr::without_provenance_mut::<u8>;
    match *event {
        Event::Alloc(size) => {
            let block = alloc(allocator, size);
            let recorded = is_recorded(tracker, block.addr());
            oracle.blocks.insert(block.addr(), (size, recorded));
        }
        Event::FailAlloc(size) => {
            heap.fail_next_alloc();
            assert!(alloc(allocator, size).is_null());
        }
        Event::Free(choice) => {
            if let Some((address, size)) = pick(oracle, choice) {
                dealloc(allocator, pointer(address), size);
                oracle.blocks.remove(&address);
            }
        }
        Event::Realloc(choice, new, next) => {
            if let Some((address, size)) = pick(oracle, choice) {
                heap.next_realloc(next);
                let moved = realloc(allocator, pointer(address), size, new);
                assert_eq!(moved.is_null(), next == Next::Fail);
                if !moved.is_null() {
                    oracle.blocks.remove(&address);
                    let recorded = is_recorded(tracker, moved.addr());
                    oracle.blocks.insert(moved.addr(), (new, recorded));
                }
            }
        }
        Event::Start => {
            let settings = Settings {
                sample_every,
                ..settings(8)
            };
            assert!(tracker.start(settings, usize::MAX).is_ok());
            oracle.tracing = true;
        }
        Event::Stop => {
            tracker.stop();
            oracle.tracing = false;
            oracle.forget_all();
        }
        Event::Clear => {
            tracker.clear();
            oracle.forget_all();
        }
        Event::ResetPeak => {
            if let Some(session) = tracker.session() {
                tracker.reset_peak(session);
            }
            oracle.peak = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tracker_agrees_with_a_plain_map(
        events in prop::collection::vec(event(), 1..200),
        is_system: bool,
        sample_every in prop_oneof![2 => Just(None), 1 => (1..100_000_u64).prop_map(NonZeroU64::new)],
    ) {
        let heap = if is_system { Heap::like_the_systems() } else { Heap::new() };
        let tracker = tracker();
        let allocator = wrapper(&heap, tracker, is_system);
        let mut oracle = Oracle::default();
        for (step, event) in events.iter().enumerate() {
            apply(event, &heap, &allocator, tracker, sample_every, &mut oracle);
            let (current, peak, sizes) = oracle.state();
            // Sums of a sample are estimates.
            if sample_every.is_none() {
                prop_assert_eq!(memory(tracker), (current, peak), "after {:?}", event);
            }
            if step % 32 == 31 || step + 1 == events.len() {
                prop_assert_eq!(state(tracker).2, sizes, "after {:?}", event);
            }
            if let Some(session) = tracker.session() {
                for (address, (_, traced)) in &oracle.blocks {
                    prop_assert_eq!(tracker.block_at(session, *address).is_some(), *traced);
                }
                prop_assert_eq!(tracker.lost(session), Default::default());
            }
        }
    }
}
