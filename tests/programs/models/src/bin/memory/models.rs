//! What is run, and what a thread may see while another one writes.
//!
//! That an address is handed on in the middle of a move is modelled by `interleavings` alone: loom
//! does not know that nothing comes between what a compare-and-swap reads and what it writes.

use loom::thread::spawn;

use crate::atomic::{AtomicU64, Ordering};
use crate::engine::counters::Counter;
use crate::engine::ledger::Ledger;
use crate::engine::live::Record;
use crate::engine::live::entry::{Entry, Tag, Word};
use crate::engine::live::shadow::Class;
use crate::engine::session::{Epoch, Session, Settings, Switch};
use crate::engine::stacks::StackId;

pub(crate) const ALL: &[(&str, fn())] = &[
    ("entry", entry),
    ("ledger", ledger),
    ("counter", counter),
    ("switch", switch),
];

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// An atomic that exists for all threads.
fn atomic(value: u64) -> &'static AtomicU64 {
    let atomic = leak(AtomicU64::new(value));
    atomic.load(Ordering::Relaxed);
    atomic
}

fn empty_entry() -> Entry {
    Entry {
        word: atomic(0),
        size: Some(atomic(0)),
    }
}

/// Blocks at one address, each with a stack that tells its size.
fn word(size: u64) -> Word {
    let stack = StackId::from_bits(size / 1000);
    Word::new(Class::Large, 0, size, stack, Tag::of(Epoch(5)))
}

/// Whoever reads a record while its block comes, moves and goes sees one that was there.
fn entry() {
    let entry = empty_entry();
    let writer = spawn(move || {
        entry.store(word(5000), 5000);
        entry.relabel(word(5000).moving());
        entry.store(word(6000), 6000);
        entry.clear();
    });
    let seen = entry.load();
    if !seen.is_empty()
        && let Some(Record { size, stack }) = entry.record(seen)
    {
        assert!([5000, 6000].contains(&size), "{size}");
        assert_eq!(stack.bits(), size / 1000);
    }
    writer.join().unwrap();
    assert!(entry.load().is_empty());
}

/// Sessions one after the other.
fn sessions() -> [Session; 2] {
    let switch = Switch::new();
    let first = switch.start(Settings::default()).expect("was off");
    [first, switch.clear().expect("was on")]
}

/// What a thread has added in one session is never taken for another session's.
fn ledger() {
    let [one, two] = sessions();
    // SAFETY: zeroed memory is an empty one.
    let ledger: &'static Ledger = leak(unsafe { std::mem::zeroed() });
    let write = move || {
        ledger.change(one, 0, 100, || 0);
        assert!(ledger.change_within(one, 0, 20));
        ledger.change(two, 0, 5, || 7);
    };
    let read = move || {
        assert!([0, 100, 120].contains(&ledger.net(one)));
        assert!([0, 5].contains(&ledger.net(two)));
        assert!([0, 100, 120].contains(&ledger.peak(one)));
        // Of this thread none or all, and what it has seen of the others.
        assert!([0, 7, 12].contains(&ledger.peak(two)));
    };
    ledger.net(one);
    ledger.peak(one);
    let writer = spawn(write);
    read();
    writer.join().unwrap();
    assert_eq!((ledger.net(one), ledger.net(two)), (0, 5));
}

/// Additions of several threads are all there, and none of an ended session.
fn counter() {
    let counter = leak(Counter::new());
    let add = |epoch: u64, amount: u64| move || counter.add(Epoch(epoch), amount);
    counter.get(Epoch(1));
    let threads = [spawn(add(2, 3)), spawn(add(1, 100))];
    add(2, 4)();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counter.get(Epoch(2)), 7);
    assert_eq!(counter.get(Epoch(1)), 0);
}

/// No two transitions begin the same session, and whoever has heard of one does not see an older.
fn switch() {
    let switch = leak(Switch::new());
    let told = atomic(0);
    let begin = move || {
        let begun = switch.start(Settings::default()).or_else(|| switch.clear());
        let epoch = begun.map_or(0, |session| session.epoch().0);
        told.fetch_max(epoch, Ordering::Release);
        epoch
    };
    switch.session();
    let other = spawn(begin);
    let mine = begin();
    let heard = told.load(Ordering::Acquire);
    let seen = switch.session().expect("nobody stops it").epoch().0;
    assert!(seen >= heard, "{seen} {heard}");
    let others = other.join().unwrap();
    assert!(mine != others || mine == 0, "{mine}");
}
