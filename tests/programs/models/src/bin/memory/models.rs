//! What is run, and what a thread may see while another one writes.
//!
//! That an address is handed on in the middle of a move is modelled by `interleavings` alone: loom
//! does not know that nothing comes between what a compare-and-swap reads and what it writes.

use loom::thread::spawn;

use crate::atomic::{AtomicU64, Ordering};
use crate::engine::blocks::Record;
use crate::engine::blocks::class::Class;
use crate::engine::blocks::entry::{Entry, ShortNumber, Word};
use crate::engine::session::counters::Counter;
use crate::engine::session::{Session, SessionNumber, Settings, Switch};
use crate::engine::stacks::StackId;
use crate::engine::thread::counter::ThreadCounter;

pub(crate) const ALL: &[(&str, fn())] = &[
    ("entry", entry),
    ("thread_counter", thread_counter),
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
    Word::new(
        Class::Large,
        0,
        size,
        stack,
        ShortNumber::of(SessionNumber(5)),
    )
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
fn thread_counter() {
    let [one, two] = sessions();
    // SAFETY: zeroed memory is an empty one.
    let counter: &'static ThreadCounter = leak(unsafe { std::mem::zeroed() });
    let write = move || {
        counter.change(one, 0, 100, |part| part);
        assert!(counter.change_within(one, 0, 20));
        counter.change(two, 0, 5, |part| part + 7);
    };
    let read = move || {
        assert!([0, 100, 120].contains(&counter.net(one)));
        assert!([0, 5].contains(&counter.net(two)));
        assert!([0, 100, 120].contains(&counter.peak(one)));
        // Of this thread none or all, and what it has seen of the others.
        assert!([0, 7, 12].contains(&counter.peak(two)));
    };
    counter.net(one);
    counter.peak(one);
    let writer = spawn(write);
    read();
    writer.join().unwrap();
    assert_eq!((counter.net(one), counter.net(two)), (0, 5));
}

/// Additions of several threads are all there, and none of an ended session.
fn counter() {
    let counter = leak(Counter::new());
    let add = |number: u64, amount: u64| move || counter.add(SessionNumber(number), amount);
    counter.get(SessionNumber(1));
    let threads = [spawn(add(2, 3)), spawn(add(1, 100))];
    add(2, 4)();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counter.get(SessionNumber(2)), 7);
    assert_eq!(counter.get(SessionNumber(1)), 0);
}

/// No two transitions begin the same session, and a thread that has seen one sees no older one.
fn switch() {
    let switch = leak(Switch::new());
    let told = atomic(0);
    let begin = move || {
        let begun = switch.start(Settings::default()).or_else(|| switch.clear());
        let number = begun.map_or(0, |session| session.number().0);
        told.fetch_max(number, Ordering::Release);
        number
    };
    switch.session();
    let other = spawn(begin);
    let mine = begin();
    let heard = told.load(Ordering::Acquire);
    let seen = switch.session().expect("nobody stops it").number().0;
    assert!(seen >= heard, "{seen} {heard}");
    let others = other.join().unwrap();
    assert!(mine != others || mine == 0, "{mine}");
}
