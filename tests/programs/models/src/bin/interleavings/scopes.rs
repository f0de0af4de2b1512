//! Scopes: what a thread counts in a scope, which scope owns a block, and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;

use crate::engine::memory::arena::Arena;
use crate::engine::scopes::{self, Counts};
use crate::engine::stacks::{Label, LabelKind, Labels, MAX_NAME, Path, StackId, Stacks};
use crate::engine::{Session, Settings, TagId, set_owner};
use crate::models::{Block, SIZES, World, together};
use crate::numbers::Numbers;

type Task = Box<dyn FnOnce() + Send>;

/// Threads count exactly what they do, whatever becomes of the session, and of blocks that they pass on.
pub(crate) fn counts() {
    let world = World::new(true);
    world.tracker.open_scopes();
    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..2 {
        let world = Arc::clone(&world);
        tasks.push(Box::new(move || {
            world.act(1, false);
            scopes::set_open(1);
            let (before, _) = scopes::read();
            let expected = act_counting(&world);
            scopes::set_open(0);
            world.act(1, false);
            assert_eq!(scopes::read().0.since(&before), expected);
        }));
    }
    let control = Arc::clone(&world);
    tasks.push(Box::new(move || {
        for _ in 0..3 {
            match thread_rng().gen_range(0..3) {
                0 => control.tracker.stop(),
                1 => control.tracker.clear(),
                _ => control.start(),
            }
        }
    }));
    together(tasks);
}

fn act_counting(world: &World) -> Counts {
    let mut counts = Counts::default();
    let mut mine: Vec<Block> = Vec::new();
    for _ in 0..6 {
        let size = SIZES[thread_rng().gen_range(0..SIZES.len())];
        match (thread_rng().gen_range(0..8), mine.pop()) {
            (0..3, Some(block)) => {
                counts.frees += 1;
                counts.freed += block.size as u64;
                world.free(block);
            }
            // Not to its own size: one that fails shows by that.
            (3..6, Some(block)) => {
                let moved = world.realloc(block, size + 8 * usize::from(size == block.size));
                counts.reallocations += u64::from(moved.size != block.size);
                counts.allocated += moved.size.saturating_sub(block.size) as u64;
                counts.freed += block.size.saturating_sub(moved.size) as u64;
                mine.push(moved);
            }
            (6, Some(block)) => world.passed_on.lock().unwrap().push(block),
            (7, None) => mine.extend(world.passed_on.lock().unwrap().pop()),
            (_, block) => {
                mine.extend(block);
                if let Some(block) = world.alloc(size) {
                    counts.allocations += 1;
                    counts.allocated += size as u64;
                    mine.push(block);
                }
            }
        }
    }
    world.passed_on.lock().unwrap().extend(mine);
    counts
}

/// The number in the label of a stack.
fn number_of(world: &World, stack: StackId) -> Option<u32> {
    let name = world.tracker.without_labels(stack).1.owner?;
    let mut buffer = [0; MAX_NAME];
    let name = world.tracker.read_name(name, &mut buffer)?;
    Some(u32::from_le_bytes(*name.first_chunk()?))
}

/// Live blocks by the number of their scope, as the history of their stacks has it.
fn live(world: &World, session: Session) -> BTreeMap<u32, u64> {
    let mut live = BTreeMap::new();
    world.tracker.for_each_history(session, |stack, sums| {
        if let Some(number) = number_of(world, stack) {
            *live.entry(number).or_default() += sums.live.blocks;
        }
    });
    live.retain(|_, blocks| *blocks > 0);
    live
}

/// Scopes come and go whose numbers are used again, while other threads free and move their blocks.
pub(crate) fn owners() {
    let world = World::new(true);
    let settings = Settings {
        limit: 1,
        history: true,
        only_scopes: true,
        ..Settings::default()
    };
    let session = world.tracker.recording_for_scopes(settings);
    let session = session.expect("memory");
    let numbers = Arc::new(Mutex::new(Numbers::<()>::new()));
    let task = |_| {
        let (world, numbers) = (Arc::clone(&world), Arc::clone(&numbers));
        Box::new(move || {
            for _ in 0..3 {
                let look = |unused: &mut BTreeSet<u32>| {
                    let live = live(&world, session);
                    unused.retain(|number| !live.contains_key(number));
                };
                let (number, ()) = numbers.lock().unwrap().take(look, &());
                let label = world.tracker.owner(&number.to_le_bytes());
                set_owner(label.expect("memory"));
                let has_blocks = live(&world, session).contains_key(&number);
                assert!(!has_blocks, "a new scope owns nothing");
                world.act(3, false);
                set_owner(TagId::NONE);
                numbers.lock().unwrap().end(number);
            }
        }) as Task
    };
    together((0..3).map(task).collect());
    // Nothing is going on: history and records agree.
    let mut records = BTreeMap::new();
    world.tracker.for_each_block(session, |_, stack| {
        let number = number_of(&world, stack).expect("only what scopes own is recorded");
        *records.entry(number).or_insert(0) += 1;
    });
    assert_eq!(live(&world, session), records);
    for block in world.passed_on.lock().unwrap().drain(..) {
        world.free(block);
    }
    assert_eq!(live(&world, session), BTreeMap::new());
}

/// Threads put the same labels on the same stacks: each reads as it was made.
pub(crate) fn labels() {
    let tables: &'static (Arena, Stacks) = Box::leak(Box::new((Arena::new(), Stacks::new())));
    let known = Arc::new(Mutex::new(Vec::<(StackId, StackId, Labels)>::new()));
    let task = |seed: usize| {
        let known = Arc::clone(&known);
        Box::new(move || {
            let (arena, stacks) = tables;
            for step in 0..5 {
                let address = 0x1000 * (1 + step % 2);
                let stack = stacks.intern(arena, &[address], Path::COMPLETE);
                let name = [b"common", b"others"][(step + seed) % 2];
                let (stack, name) = (stack.expect("memory"), stacks.name(arena, name));
                let name = name.expect("memory");
                let label = |kind| Label { kind, name };
                let tagged = stacks.labelled(arena, None, stack, label(LabelKind::Tag));
                let owned = stacks.labelled(
                    arena,
                    None,
                    tagged.expect("memory"),
                    label(LabelKind::Owner),
                );
                let labels = Labels {
                    tag: Some(name),
                    owner: Some(name),
                    thread: None,
                };
                let made = (owned.expect("memory"), stack, labels);
                known.lock().unwrap().push(made);
            }
        }) as Task
    };
    together((0..3).map(task).collect());
    for (labelled, stack, labels) in known.lock().unwrap().iter() {
        assert_eq!(tables.1.without_labels(*labelled), (*stack, *labels));
    }
}
