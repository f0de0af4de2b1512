//! What a record holds: sizes, and stacks that people recognise.

use std::collections::HashMap;
use std::hint::black_box;
use std::panic::Location;

use tracemalloc::{Config, GroupBy, Snapshot};

use crate::{PAGES_ARE_KNOWN, cases};

cases![
    sizes_are_those_requested,
    the_most_recent_frame_is_the_line_that_allocates,
    a_realloc_has_the_traceback_of_its_own_call,
    no_frame_is_the_tracers_or_the_allocators,
    runtime_frames_can_be_kept,
    a_closure_run_by_the_library_is_the_programs,
    a_stack_ends_at_main_and_at_a_threads_closure,
    an_allocation_during_a_panic_is_recorded,
    a_snapshot_is_not_traced_itself,
    equal_work_gives_equal_snapshots,
    a_limit_of_one_does_not_read_the_whole_stack,
    snapshots_in_a_loop_agree,
    millions_of_blocks_share_their_stacks,
];

fn sizes(snapshot: &Snapshot) -> Vec<u64> {
    let mut sizes: Vec<u64> = snapshot.traces().unwrap().map(|trace| trace.size).collect();
    sizes.sort_unstable();
    sizes
}

fn sizes_are_those_requested() {
    tracemalloc::start(1).unwrap();
    let kept = (
        black_box(Box::new(1_u8)),
        black_box(vec![0_u8; 17]),
        black_box(Vec::<u64>::with_capacity(100)),
        black_box(vec![0_u8; 5 << 20]),
        black_box(String::from("four")),
    );
    assert_eq!(
        sizes(&tracemalloc::take_snapshot().unwrap()),
        [1, 4, 17, 800, 5 << 20]
    );
    drop(kept);
    assert_eq!(tracemalloc::take_snapshot().unwrap().block_count(), 0);
}

/// Where the caller is; the block that `make` returns must have been allocated there.
#[track_caller]
#[inline(always)]
fn check_here<T: tracemalloc::HeapBlock>(value: &T) {
    let here = Location::caller();
    let traceback = tracemalloc::get_object_traceback(value).expect("a traced block");
    let made = traceback.most_recent();
    assert_eq!(
        (made.filename(), made.lineno()),
        (here.file(), here.line()),
        "{traceback:?}"
    );
}

#[rustfmt::skip]
fn the_most_recent_frame_is_the_line_that_allocates() {
    tracemalloc::start(25).unwrap();
    check_here(&black_box(Box::new(5)));
    check_here(&black_box(vec![1_u8; 100]));
    check_here(&black_box(vec![0_u8; 100]));
    check_here(&black_box((0..100_u32).collect::<Vec<_>>()));
    check_here(&black_box((0..100_u32).filter(|n| n % 3 == 0).collect::<Vec<_>>()));
    check_here(&black_box(format!("{} and {}", 1, "two")));
    check_here(&black_box("text".to_owned()));
    check_here(&black_box(String::from_utf8_lossy(b"a\xFFb").into_owned()));
    check_here(&black_box([1, 2, 3].to_vec()));
    check_here(&black_box(["a", "b"].join(",")));
    check_here(&black_box(std::sync::Arc::new(7)));
    let mut list = Vec::new();
    list.push(1_u64); check_here(&list);
    list.extend(0..1000); check_here(&list);
    list.truncate(500);
    list.shrink_to_fit(); check_here(&list);
    let mut text = String::new();
    text += "some text that needs room"; check_here(&text);
    let mut map = HashMap::new();
    // The table's address: the only block in the snapshot that the next line adds.
    let before = sizes(&tracemalloc::take_snapshot().unwrap()).len();
    let line = line!() + 1;
    map.insert(1_u32, [0_u8; 10_000]);
    let after = tracemalloc::take_snapshot().unwrap();
    assert_eq!(after.block_count() as usize, before + 1);
    let table = after.traces().unwrap().find(|trace| trace.size >= 40_000).unwrap();
    assert_eq!(table.traceback.most_recent().lineno(), line, "{:?}", table.traceback);
}

#[inline(never)]
fn grow(block: &mut Vec<u8>) -> u32 {
    block.reserve_exact(10_000);
    line!() - 1
}

fn a_realloc_has_the_traceback_of_its_own_call() {
    tracemalloc::start(25).unwrap();
    let mut block = vec![1_u8; 10];
    let made = tracemalloc::get_object_traceback(&block).unwrap();
    let line = grow(&mut block);
    let grown = tracemalloc::get_object_traceback(&block).unwrap();
    assert_ne!(made, grown);
    assert_eq!(grown.most_recent().lineno(), line);
    assert!(
        grown
            .most_recent()
            .function()
            .unwrap_or_default()
            .contains("grow")
    );
}

fn no_frame_is_the_tracers_or_the_allocators() {
    tracemalloc::start(100).unwrap();
    let kept = (
        vec![1_u8; 10],
        vec![0_u8; 10],
        Box::new(1),
        (0..9).collect::<Vec<i32>>(),
    );
    for trace in tracemalloc::take_snapshot().unwrap().traces().unwrap() {
        for frame in &trace.traceback {
            let crate_name = frame.crate_name().unwrap_or_default();
            assert!(
                !["tracemalloc", "backtrace", "alloc"].contains(&crate_name),
                "{frame:?}"
            );
            assert!(
                !frame
                    .function()
                    .unwrap_or_default()
                    .contains("__rust_alloc"),
                "{frame:?}"
            );
        }
        assert!(
            trace
                .traceback
                .most_recent()
                .filename()
                .starts_with("tests/live/")
        );
    }
    drop(kept);
}

fn runtime_frames_can_be_kept() {
    Config::new()
        .frames(100)
        .keep_runtime_frames(true)
        .start()
        .unwrap();
    let block = (0..9).collect::<Vec<i32>>();
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert!(snapshot.recording().runtime_frames);
    let traceback = tracemalloc::get_object_traceback(&block).unwrap();
    let std = |frame: &&tracemalloc::Frame| frame.filename().starts_with("<std>/");
    assert!(traceback.iter().filter(std).count() >= 2, "{traceback:?}");
    tracemalloc::stop();

    tracemalloc::start(100).unwrap();
    let trimmed = tracemalloc::take_snapshot().unwrap();
    let error = trimmed.compare_to(&snapshot, GroupBy::Line).unwrap_err();
    assert_eq!(error.kind(), tracemalloc::ErrorKind::NotComparable);
}

fn a_closure_run_by_the_library_is_the_programs() {
    tracemalloc::start(25).unwrap();
    let mut kept = Vec::with_capacity(1000);
    let mut numbers: Vec<u32> = (0..100).rev().collect();
    let mut line = 0;
    numbers.sort_by(|a, b| {
        line = line!() + 1;
        let block = Box::new([*a, *b, 1]);
        kept.push(block);
        a.cmp(b)
    });
    let traceback = tracemalloc::get_object_traceback(&kept[0]).unwrap();
    assert_eq!(traceback.most_recent().lineno(), line);
    let sort = traceback
        .iter()
        .position(|frame| frame.filename().starts_with("<std>/"));
    assert!(
        sort.is_some(),
        "the library between two frames of the program stays: {traceback:?}"
    );
}

fn a_stack_ends_at_main_and_at_a_threads_closure() {
    tracemalloc::start(200).unwrap();
    let block = black_box(Box::new(1));
    let here = tracemalloc::get_object_traceback(&block).unwrap();
    assert!(!here.is_truncated());
    assert!(
        here.oldest().function().unwrap().contains("main"),
        "{here:?}"
    );
    let in_thread = std::thread::spawn(|| {
        let block = black_box(Box::new(1));
        let traceback = tracemalloc::get_object_traceback(&block).unwrap();
        (traceback, line!() - 2)
    });
    let (there, line) = in_thread.join().unwrap();
    assert_eq!(
        there.oldest().filename(),
        "tests/live/recording.rs",
        "{there:?}"
    );
    assert_eq!(there.most_recent().lineno(), line);
}

fn an_allocation_during_a_panic_is_recorded() {
    struct Keeper<'a>(&'a mut Option<Vec<u8>>, &'a mut u32);
    impl Drop for Keeper<'_> {
        fn drop(&mut self) {
            *self.1 = line!() + 1;
            *self.0 = Some(vec![1; 4321]);
        }
    }
    tracemalloc::start(25).unwrap();
    let (mut kept, mut line) = (None, 0);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _keeper = Keeper(&mut kept, &mut line);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let traceback = tracemalloc::get_object_traceback(&kept.unwrap()).unwrap();
    assert_eq!(traceback.most_recent().lineno(), line);
}

fn a_snapshot_is_not_traced_itself() {
    tracemalloc::start(25).unwrap();
    let kept: Vec<Box<u32>> = (0..1000).map(Box::new).collect();
    let before = tracemalloc::get_traced_memory();
    let first = tracemalloc::take_snapshot().unwrap();
    let second = tracemalloc::take_snapshot().unwrap();
    assert_eq!(tracemalloc::get_traced_memory(), before);
    assert_eq!(first.traces().unwrap(), second.traces().unwrap());
    assert_eq!(first.total_size(), before.current);
    drop(first);
    assert_eq!(tracemalloc::get_traced_memory(), before);
    drop(kept);
}

#[inline(never)]
fn fixed_work() -> impl Sized {
    let map: HashMap<u32, String> = (0..100).map(|n| (n, n.to_string())).collect();
    (map, vec![1_u8; 5000])
}

fn equal_work_gives_equal_snapshots() {
    let run = || {
        tracemalloc::start(25).unwrap();
        let kept = fixed_work();
        let snapshot = tracemalloc::take_snapshot().unwrap();
        tracemalloc::stop();
        drop(kept);
        snapshot
    };
    let (first, second) = (run(), run());
    let work = |snapshot: &Snapshot| {
        snapshot.filter_traces([tracemalloc::Filter::include("tests/live/recording.rs")])
    };
    for group_by in [
        GroupBy::Line,
        GroupBy::File,
        GroupBy::Function,
        GroupBy::Crate,
    ] {
        for diff in work(&second).compare_to(&work(&first), group_by).unwrap() {
            assert_eq!((diff.size_diff, diff.count_diff), (0, 0), "{diff}");
        }
    }
}

#[inline(never)]
fn descend(depth: usize, steps: &mut impl FnMut()) {
    steps();
    if depth > 0 {
        descend(black_box(depth - 1), steps);
    }
    black_box(());
}

/// Each depth adds the frames of its own allocation to the tree of stacks, less than ten of 50 bytes
/// in a build without inlining; what is below them is shared. 10,000 whole stacks would be 50
/// million frames.
fn a_limit_of_one_does_not_read_the_whole_stack() {
    tracemalloc::start(1).unwrap();
    let before = tracemalloc::get_tracemalloc_memory();
    let mut kept = Vec::with_capacity(20_000);
    let run = move || {
        descend(10_000, &mut || kept.push(Box::new(1_u8)));
        let after = tracemalloc::get_tracemalloc_memory();
        assert!(
            after < before + (8 << 20) || !PAGES_ARE_KNOWN,
            "{before} {after}"
        );
    };
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

fn snapshots_in_a_loop_agree() {
    tracemalloc::start(25).unwrap();
    let kept: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let first = tracemalloc::take_snapshot().unwrap();
    let names = tracemalloc::get_tracemalloc_memory();
    for _ in 0..100 {
        let next = tracemalloc::take_snapshot().unwrap();
        assert!(
            next.compare_to(&first, GroupBy::Traceback)
                .unwrap()
                .iter()
                .all(|d| d.size_diff == 0)
        );
    }
    // Names are found once and shared.
    let after = tracemalloc::get_tracemalloc_memory();
    assert!(
        after < names + (1 << 20) || !PAGES_ARE_KNOWN,
        "{names} {after}"
    );
    drop(kept);
}

fn millions_of_blocks_share_their_stacks() {
    // The platform's unwinder takes up to half a millisecond for each.
    let own_unwinder = cfg!(target_os = "linux");
    let blocks: u64 = if own_unwinder { 1_000_000 } else { 20_000 };
    tracemalloc::start(25).unwrap();
    let kept: Vec<Box<u64>> = (0..blocks).map(Box::new).collect();
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_eq!(snapshot.block_count(), blocks + 1);
    let top = &snapshot.statistics(GroupBy::Traceback)[0];
    assert_eq!((top.count, top.size), (blocks + 1, blocks * 16));
    drop(kept);
}
