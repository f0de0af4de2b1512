//! Tags and threads' names, as snapshots have them.

use std::collections::BTreeMap;
use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use tracemalloc::{Config, Domain, Filter, GroupBy, InTag, Snapshot, Tag, tag};

use crate::cases;

cases![
    a_block_has_the_innermost_tag_of_its_thread,
    a_block_keeps_its_tag,
    a_resized_block_has_the_tag_of_who_resized_it,
    a_task_has_its_tag_on_every_thread,
    tags_outlive_sessions,
    a_sample_has_tags,
    tracked_memory_has_tags,
    one_stack_may_have_many_tags,
    without_room_a_block_has_no_tag_and_that_is_counted,
    many_threads_meet_in_the_same_tags,
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    blocks_have_the_names_of_their_threads,
    names_of_threads_and_tags_are_two_labels,
    #[cfg(feature = "file")]
    tags_are_saved,
    #[cfg(unix)]
    a_fork_keeps_the_tag_of_its_thread,
    #[cfg(unix)]
    a_signal_handler_is_in_the_tag_that_it_interrupts,
    tags_after_the_tables_were_given_back_do_no_harm,
];

/// Larger than what the test program allocates otherwise.
const SIZE: usize = 100_000;

#[inline(never)]
fn block() -> Vec<u8> {
    black_box(Vec::with_capacity(SIZE))
}

fn snapshot() -> Snapshot {
    let snapshot = tracemalloc::take_snapshot().unwrap();
    snapshot.filter_traces([Filter::include_if(|block| block.size >= SIZE as u64)])
}

/// Blocks by their group.
fn counts(snapshot: &Snapshot, by: GroupBy) -> BTreeMap<String, u64> {
    let groups = snapshot.statistics(by).into_iter();
    groups
        .map(|group| (group.traceback.to_string(), group.count))
        .collect()
}

#[track_caller]
fn check(by: GroupBy, expected: &[(&str, u64)]) {
    let expected = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    assert_eq!(counts(&snapshot(), by), expected.collect());
}

fn a_block_has_the_innermost_tag_of_its_thread() {
    tracemalloc::start(10).unwrap();
    let mut kept = vec![block()];
    {
        let _outer = tag("outer");
        kept.push(block());
        {
            let _inner = tag("inner");
            kept.extend([block(), block()]);
            thread::scope(|threads| threads.spawn(|| kept.push(block())).join().unwrap());
            let none = Tag::NONE.enter();
            kept.push(block());
            drop(none);
            kept.push(block());
        }
        kept.push(block());
    }
    kept.push(block());
    check(
        GroupBy::Tag,
        &[("<untagged>", 4), ("outer", 2), ("inner", 3)],
    );
    let outer = snapshot().filter_traces([Filter::include_tag("out*")]);
    assert_eq!(outer.block_count(), 2);
    assert!(
        outer
            .traces()
            .unwrap()
            .all(|block| block.traceback.tag() == Some("outer"))
    );
    // Tags make no other stacks.
    let stacks = snapshot().statistics(GroupBy::Traceback).len();
    assert!(stacks < kept.len(), "{stacks}");
}

fn a_block_keeps_its_tag() {
    tracemalloc::start(10).unwrap();
    let tagged = tag("images");
    let (first, second) = (block(), block());
    drop(tagged);
    let traceback = tracemalloc::get_object_traceback(&first).unwrap();
    assert_eq!(traceback.tag(), Some("images"));
    check(GroupBy::Tag, &[("images", 2)]);
    thread::spawn(move || {
        let _other = tag("other");
        drop(first);
    })
    .join()
    .unwrap();
    check(GroupBy::Tag, &[("images", 1)]);
    drop(second);
    check(GroupBy::Tag, &[]);
}

fn a_resized_block_has_the_tag_of_who_resized_it() {
    tracemalloc::start(10).unwrap();
    let first = tag("first");
    let (mut grown, mut shrunk) = (block(), Vec::<u8>::with_capacity(5 * SIZE));
    drop(first);
    let _second = tag("second");
    grown.reserve_exact(2 * SIZE);
    shrunk.shrink_to(3 * SIZE);
    let kept = block();
    check(GroupBy::Tag, &[("second", 3)]);
    drop((grown, shrunk, kept));
}

/// Allocates, waits until it is polled again, and allocates again.
async fn task() -> Vec<Vec<u8>> {
    let mut kept = vec![block()];
    let mut waited = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
    kept.push(block());
    kept
}

fn poll<F: Future + ?Sized>(task: &mut Pin<Box<F>>) -> Poll<F::Output> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn a_task_has_its_tag_on_every_thread() {
    tracemalloc::start(10).unwrap();
    let mut one = Box::pin(task().tagged("GET /items"));
    let mut two = Box::pin(task().tagged("POST /items"));
    let mut cancelled = Box::pin(task().tagged("cancelled"));
    let other = tag("other");
    assert!(poll(&mut one).is_pending() && poll(&mut two).is_pending());
    assert!(poll(&mut cancelled).is_pending());
    check(
        GroupBy::Tag,
        &[("GET /items", 1), ("POST /items", 1), ("cancelled", 1)],
    );
    let kept = block();
    drop(cancelled);
    drop(other);
    let done = thread::spawn(move || (poll(&mut two), poll(&mut one), block()));
    let done = done.join().unwrap();
    check(
        GroupBy::Tag,
        &[
            ("GET /items", 2),
            ("POST /items", 2),
            ("other", 1),
            ("<untagged>", 1),
        ],
    );
    drop((done, kept));
}

fn tags_outlive_sessions() {
    let early = Tag::new("early");
    let entered = early.enter();
    let unseen = block();
    tracemalloc::start(10).unwrap();
    let seen = block();
    check(GroupBy::Tag, &[("early", 1)]);
    tracemalloc::clear_traces();
    let after_clear = block();
    check(GroupBy::Tag, &[("early", 1)]);
    tracemalloc::stop();
    drop(entered);
    let _late = tag("late");
    tracemalloc::start(10).unwrap();
    let again = block();
    let _early = early.enter();
    let once_more = block();
    check(GroupBy::Tag, &[("early", 1), ("late", 1)]);
    drop((unseen, seen, after_clear, again, once_more));
}

fn a_sample_has_tags() {
    Config::new().frames(10).sample_every(1).start().unwrap();
    let _images = tag("images");
    let kept = block();
    let snapshot = snapshot();
    assert_eq!(snapshot.sample_every(), NonZeroU64::new(1));
    assert_eq!(counts(&snapshot, GroupBy::Tag)["images"], 1);
    drop(kept);
}

fn tracked_memory_has_tags() {
    tracemalloc::start(10).unwrap();
    let _images = tag("images");
    tracemalloc::track(Domain(1), 0x1000, SIZE).unwrap();
    check(GroupBy::Tag, &[("images", 1)]);
}

fn one_stack_may_have_many_tags() {
    const TAGS: usize = 2000;
    let mut kept = Vec::with_capacity(2 * TAGS);
    tracemalloc::start(10).unwrap();
    for number in 0..2 * TAGS {
        let _tag = tag(&format!("request {}", number % TAGS));
        kept.push(block());
    }
    let snapshot = snapshot();
    let tags = counts(&snapshot, GroupBy::Tag);
    assert_eq!(tags.len(), TAGS);
    assert!(tags.values().all(|count| *count == 2));
    assert_eq!(snapshot.statistics(GroupBy::Traceback).len(), 1);
    assert_eq!(snapshot.recording().losses.labels, 0);
    drop(kept);
}

fn without_room_a_block_has_no_tag_and_that_is_counted() {
    let config = Config::new().frames(10).memory_limit(1 << 20);
    config.start().unwrap();
    let mut count = 0;
    while tracemalloc::take_snapshot()
        .unwrap()
        .recording()
        .losses
        .labels
        == 0
    {
        for _ in 0..4000 {
            count += 1;
            let _tag = tag(&format!(
                "a name that nobody has had before, number {count}"
            ));
            drop(black_box(Box::new(1)));
        }
        assert!(count < 100_000);
    }
    let labels = || {
        tracemalloc::take_snapshot()
            .unwrap()
            .recording()
            .losses
            .labels
    };
    let before = labels();
    let _refused = tag("a name that nobody has had before, and that finds no room");
    let kept = block();
    assert_eq!(labels(), before + 1);
    let refused = snapshot().filter_traces([Filter::include_tag("*finds no room")]);
    assert_eq!(refused.block_count(), 0);
    drop(kept);
}

fn many_threads_meet_in_the_same_tags() {
    const THREADS: u64 = 4;
    const TAGS: u64 = 300;
    tracemalloc::start(10).unwrap();
    let work = || -> Vec<Vec<u8>> {
        (0..TAGS)
            .map(|number| {
                let _tag = tag(&format!("request {number}"));
                block()
            })
            .collect()
    };
    let kept: Vec<_> = thread::scope(|threads| {
        let all: Vec<_> = (0..THREADS).map(|_| threads.spawn(work)).collect();
        all.into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let tags = counts(&snapshot(), GroupBy::Tag);
    assert_eq!(tags.len() as u64, TAGS);
    assert!(tags.values().all(|count| *count == THREADS));
    drop(kept);
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn blocks_have_the_names_of_their_threads() {
    let config = Config::new().frames(10).thread_names(true);
    config.start().unwrap();
    let named = |name: &str| {
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(block)
            .unwrap()
    };
    let mut kept = vec![block()];
    for name in ["worker-1", "worker-2", "worker-1"] {
        kept.push(named(name).join().unwrap());
    }
    check(
        GroupBy::Thread,
        &[("main", 1), ("worker-1", 2), ("worker-2", 1)],
    );
    tracemalloc::stop();
    tracemalloc::start(10).unwrap();
    kept.push(named("worker-1").join().unwrap());
    check(GroupBy::Thread, &[("<unknown>", 1)]);
}

fn names_of_threads_and_tags_are_two_labels() {
    let config = Config::new().frames(10).thread_names(true);
    config.start().unwrap();
    let images = Tag::new("images");
    let worker = thread::Builder::new().name("worker".to_owned());
    let kept = worker.spawn(move || {
        let first = block();
        let _images = images.enter();
        (first, block())
    });
    let kept = kept.unwrap().join().unwrap();
    let _images = images.enter();
    let own = block();
    check(GroupBy::Tag, &[("images", 2), ("<untagged>", 1)]);
    if cfg!(any(target_os = "linux", target_os = "macos")) {
        check(GroupBy::Thread, &[("main", 1), ("worker", 2)]);
    }
    drop((kept, own));
}

#[cfg(feature = "file")]
fn tags_are_saved() {
    let config = Config::new().frames(10).thread_names(true);
    config.start().unwrap();
    let kept: Vec<Vec<u8>> = ["images", "", "Bilder für alle"]
        .into_iter()
        .map(|name| {
            let _tag = tag(name);
            block()
        })
        .collect();
    let snapshot = snapshot();
    let mut file = Vec::new();
    snapshot.write_to(&mut file).unwrap();
    let loaded = Snapshot::read_from(&mut file.as_slice()).unwrap();
    assert_eq!(loaded.traces().unwrap(), snapshot.traces().unwrap());
    for by in [GroupBy::Tag, GroupBy::Thread] {
        assert_eq!(counts(&loaded, by), counts(&snapshot, by));
    }
    assert_eq!(counts(&loaded, GroupBy::Tag).len(), kept.len());
}

#[cfg(unix)]
fn a_fork_keeps_the_tag_of_its_thread() {
    tracemalloc::start(10).unwrap();
    let _images = tag("images");
    // SAFETY: the child runs code of this test alone.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let other = tag("other");
        let kept = (block(), drop(other), block());
        let tags = counts(&snapshot(), GroupBy::Tag);
        let as_expected =
            tags == BTreeMap::from([("images".to_owned(), 1), ("other".to_owned(), 1)]);
        drop(kept);
        // SAFETY: ends the child without what its parent has registered.
        unsafe { libc::_exit(i32::from(!as_expected)) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0);
}

#[cfg(unix)]
fn a_signal_handler_is_in_the_tag_that_it_interrupts() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static MADE: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handler(_: libc::c_int) {
        let block = Box::new([0_u8; SIZE]);
        MADE.store(Box::into_raw(block).addr(), Ordering::Relaxed);
    }
    tracemalloc::start(10).unwrap();
    let _images = tag("images");
    let handler: extern "C" fn(libc::c_int) = handler;
    // SAFETY: the signal is raised where an allocation does no harm.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    // SAFETY: as above.
    unsafe { libc::raise(libc::SIGUSR1) };
    assert_ne!(MADE.load(Ordering::Relaxed), 0);
    check(GroupBy::Tag, &[("images", 1)]);
}

fn tags_after_the_tables_were_given_back_do_no_harm() {
    tracemalloc::start(10).unwrap();
    let images = Tag::new("images");
    let entered = images.enter();
    drop(block());
    // SAFETY: no other thread is there.
    unsafe { tracemalloc::unload() };
    assert_eq!((images.name(), Tag::new("other").name()), (None, None));
    drop(block());
    drop(entered);
}
