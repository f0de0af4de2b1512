//! Audits of scopes and tags: each owns what its threads have allocated, whichever thread resizes or frees it,
//! and wherever a signal handler comes.

use std::sync::{Barrier, Mutex};
use std::thread;

use tracemalloc::{ErrorKind, Scope, Tag};

use crate::allocator;
use crate::audit::{Block, audit, audit_scope, audit_tag, churn, hold, marked};
use crate::cases;
use crate::faults::stay_inside;
use crate::signals::{prepare_prey, rest_of_prey, work_in_handler};
use crate::stepping::{self, Step};

cases![
    blocks_that_change_hands_pass_the_audit_of_their_scopes fails with LosesRecords | KeepsRecords,
    scopes_alone_pass_the_audit fails with LosesRecords | KeepsRecords,
    a_handler_while_a_thread_enters_and_leaves_scopes fails with LosesRecords | StaysInside,
];

const TAGS: [&str; 4] = ["spring", "summer", "autumn", "winter"];
const THREADS: usize = TAGS.len();
/// Blocks that each thread keeps, after many more that it frees.
const KEPT: usize = 300;

/// Blocks that belong to the scope and the tag of a thread, for each thread.
type Accounts = [Mutex<Vec<Block>>; THREADS];

/// What a thread does with the blocks of another one: it frees some, resizes some, and leaves the rest as they
/// are. Those that it has resized are its own from then on.
fn take_over(blocks: Vec<Block>, own: &mut Vec<Block>, others: &mut Vec<Block>) {
    for (turn, mut block) in blocks.into_iter().enumerate() {
        match turn % 3 {
            0 => block.discard(),
            1 => {
                assert!(block.try_resize(marked(turn + 5)));
                own.push(block);
            }
            _ => others.push(block),
        }
    }
}

/// Each thread is in a scope and a tag of its own, allocates, and hands its blocks to the next one. Returns all
/// blocks that are left, by their tag.
fn change_hands(rounds: usize) -> [Vec<Block>; THREADS] {
    let made: Accounts = Default::default();
    let accounts: Accounts = Default::default();
    let barrier = Barrier::new(THREADS);
    thread::scope(|threads| {
        for number in 0..THREADS {
            let (made, accounts, barrier) = (&made, &accounts, &barrier);
            threads.spawn(move || {
                let mut blocks = Vec::with_capacity(KEPT);
                let scope = Scope::recording().unwrap();
                let _tag = tracemalloc::tag(TAGS[number]);
                churn(number, rounds, &mut blocks);
                let usage = scope.usage();
                let bytes: usize = blocks.iter().map(|block| block.size).sum();
                assert_eq!(usage.net_bytes(), bytes as i64, "{usage}");
                assert_eq!(usage.net_blocks(), KEPT as i64, "{usage}");
                audit_scope(&scope, TAGS[number], &blocks);
                *made[number].lock().unwrap() = blocks;
                barrier.wait();

                let neighbour = (number + 1) % THREADS;
                let theirs = std::mem::take(&mut *made[neighbour].lock().unwrap());
                let (mut own, mut others) = (Vec::new(), Vec::new());
                take_over(theirs, &mut own, &mut others);
                accounts[number].lock().unwrap().extend(own);
                accounts[neighbour].lock().unwrap().extend(others);
                barrier.wait();
                audit_scope(&scope, TAGS[number], &accounts[number].lock().unwrap());
                // No scope ends before all were looked at.
                barrier.wait();
            });
        }
    });
    accounts.map(|account| account.into_inner().unwrap())
}

fn blocks_that_change_hands_pass_the_audit_of_their_scopes() {
    tracemalloc::start(25).unwrap();
    let left = change_hands(3_000);
    // The blocks of scopes that have ended are no later scope's.
    let later = Scope::recording().unwrap();
    let own = [Block::new(marked(1))];
    audit_scope(&later, "<untagged>", &own);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    for (tag, blocks) in TAGS.into_iter().zip(&left) {
        audit_tag(&snapshot, tag, blocks);
    }
    drop(snapshot);
    let all: Vec<Block> = left.into_iter().flatten().chain(own).collect();
    audit(&all);
}

/// While tracing is off: only scopes have records.
fn scopes_alone_pass_the_audit() {
    for round in 0..3 {
        let left = change_hands(1_000 + round);
        assert!(!tracemalloc::is_tracing());
        left.into_iter().flatten().for_each(|block| block.discard());
        let error = Scope::open().unwrap().snapshot().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotTracing);
    }
    let scope = Scope::recording().unwrap();
    audit_scope(&scope, "*", &[]);
}

/// At steps in which the inner allocator is not at work: that one is not made for handlers.
fn at_step(step: Step) -> bool {
    if !allocator::is_at_work() && (step.locked || step.count.is_multiple_of(50)) {
        work_in_handler();
        stay_inside();
    }
    true
}

/// Scopes and tags of every kind that a thread enters and leaves.
fn come_and_go(outer: &Scope, turn: usize) -> Block {
    let scope = Scope::recording().unwrap();
    let _tag = Tag::new("handler").enter();
    let block = outer.enter_in(|| Block::new(marked(turn)));
    let counted = Scope::open().unwrap();
    Block::new(marked(turn + 3)).discard();
    assert!(counted.close().allocations >= 1 && scope.close().allocations >= 2);
    block
}

/// A handler may allocate and free wherever it comes, also while its thread is in the middle of opening or ending
/// a scope.
fn a_handler_while_a_thread_enters_and_leaves_scopes() {
    let mut held = Vec::with_capacity(25_000);
    tracemalloc::start(25).unwrap();
    hold(&mut held);
    prepare_prey(20_000);
    let outer = Scope::recording().unwrap();
    // What is made once is made before the steps are taken.
    let passes: [stepping::AtStep; 2] = [|_| false, at_step];
    let mut own = Vec::with_capacity(passes.len());
    for (turn, at_step) in passes.into_iter().enumerate() {
        let (block, steps): (Block, usize) = stepping::run(at_step, || come_and_go(&outer, turn));
        assert!(turn == 0 || steps > 2_000, "{steps}");
        own.push(block);
    }
    audit_scope(&outer, "handler", &own);
    drop(outer);
    held.extend(own);
    held.extend(rest_of_prey());
    audit(&held);
}
