//! Starting, stopping and asking.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use tracemalloc::{Config, Domain, ErrorKind, GroupBy};

use crate::cases;

cases![
    only_blocks_allocated_after_start_are_traced,
    an_invalid_number_of_frames_is_refused_even_while_tracing,
    a_sampling_period_of_nothing_is_refused_even_while_tracing,
    start_while_tracing_keeps_the_first_limit,
    stop_removes_all_records_and_later_frees_are_harmless,
    a_restart_counts_from_zero_while_earlier_blocks_live,
    clear_traces_removes_all_records_and_goes_on,
    blocks_of_unknown_origin_never_underflow,
    traced_memory_is_exact,
    reset_peak_sets_the_peak_to_current,
    everything_is_quiet_while_off,
    own_memory_is_reported_and_does_not_grow_by_clearing,
    object_traceback_knows_the_owner_of_a_block,
    a_block_tells_its_size_and_its_traceback,
    object_traceback_never_reads_what_it_is_asked_about,
    a_reused_address_has_the_traceback_of_its_new_block,
    nframe_limits_the_stack_and_says_so,
    nframe_may_be_65535,
    another_allocators_memory_is_not_the_c_librarys,
];

fn current() -> u64 {
    tracemalloc::get_traced_memory().current
}

fn only_blocks_allocated_after_start_are_traced() {
    assert!(!tracemalloc::is_tracing());
    let before = black_box(vec![1_u8; 1000]);
    tracemalloc::start(1).unwrap();
    assert!(tracemalloc::is_tracing());
    assert_eq!(current(), 0);
    let after = black_box(vec![1_u8; 500]);
    assert_eq!(current(), 500);
    drop(before);
    assert_eq!(current(), 500);
    drop(after);
    assert_eq!(current(), 0);
}

fn an_invalid_number_of_frames_is_refused_even_while_tracing() {
    for _ in 0..2 {
        for frames in [0, 65_536, usize::MAX] {
            let error = tracemalloc::start(frames).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidFrameCount);
            let expect = format!("the number of frames must be in range 1 to 65535, not {frames}");
            assert_eq!(error.to_string(), expect);
        }
        tracemalloc::start(3).unwrap();
        assert_eq!(tracemalloc::get_traceback_limit(), Some(3));
    }
}

fn a_sampling_period_of_nothing_is_refused_even_while_tracing() {
    for _ in 0..2 {
        let error = Config::new().sample_every(0).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSamplingPeriod);
        tracemalloc::start(3).unwrap();
        assert_eq!(tracemalloc::take_snapshot().unwrap().sample_every(), None);
    }
}

fn start_while_tracing_keeps_the_first_limit() {
    tracemalloc::start(3).unwrap();
    let block = black_box(vec![1_u8; 500]);
    tracemalloc::start(7).unwrap();
    Config::new()
        .frames(9)
        .keep_runtime_frames(true)
        .start()
        .unwrap();
    assert_eq!(tracemalloc::get_traceback_limit(), Some(3));
    assert!(
        !tracemalloc::take_snapshot()
            .unwrap()
            .recording()
            .runtime_frames
    );
    assert_eq!(current(), 500);
    drop(block);
}

fn stop_removes_all_records_and_later_frees_are_harmless() {
    tracemalloc::start(3).unwrap();
    let block = black_box(vec![1_u8; 500]);
    tracemalloc::stop();
    assert!(!tracemalloc::is_tracing());
    assert_eq!(tracemalloc::get_traced_memory(), Default::default());
    assert_eq!(tracemalloc::get_object_traceback(&block), None);
    tracemalloc::stop();
    drop(block);
    tracemalloc::start(3).unwrap();
    assert_eq!(tracemalloc::get_traced_memory(), Default::default());
}

fn a_restart_counts_from_zero_while_earlier_blocks_live() {
    let mut held = Vec::with_capacity(100);
    for round in 0..100_usize {
        tracemalloc::start(3).unwrap();
        held.push(black_box(vec![1_u8; 100 + round]));
        let memory = tracemalloc::get_traced_memory();
        assert_eq!(
            (memory.current, memory.peak),
            (100 + round as u64, 100 + round as u64)
        );
        if round % 3 == 2 {
            held.swap_remove(0);
        }
        tracemalloc::stop();
        if round % 5 == 4 {
            held.swap_remove(0);
        }
    }
}

fn clear_traces_removes_all_records_and_goes_on() {
    tracemalloc::start(3).unwrap();
    let block = black_box(vec![1_u8; 500]);
    tracemalloc::clear_traces();
    assert!(tracemalloc::is_tracing());
    assert_eq!(tracemalloc::get_traceback_limit(), Some(3));
    assert_eq!(tracemalloc::get_traced_memory(), Default::default());
    assert_eq!(tracemalloc::get_object_traceback(&block), None);
    let next = black_box(vec![1_u8; 300]);
    assert_eq!(current(), 300);
    drop((block, next));
    assert_eq!(current(), 0);
}

fn blocks_of_unknown_origin_never_underflow() {
    let mut block = black_box(Vec::<u8>::with_capacity(100));
    let other = black_box(vec![1_u8; 100]);
    tracemalloc::start(3).unwrap();
    drop(other);
    assert_eq!(current(), 0);
    block.reserve_exact(1000);
    assert_eq!(current(), 1000, "the whole new size");
    assert!(tracemalloc::get_object_traceback(&block).is_some());
    tracemalloc::clear_traces();
    block.shrink_to(400);
    assert_eq!(current(), 400);
    drop(block);
    assert_eq!(current(), 0);
}

fn traced_memory_is_exact() {
    tracemalloc::start(3).unwrap();
    let first = black_box(vec![1_u8; 1000]);
    let second = black_box(vec![1_u64; 1000]);
    assert_eq!(current(), 9000);
    drop(second);
    let zeroed = black_box(vec![0_u8; 70]);
    let memory = tracemalloc::get_traced_memory();
    assert_eq!((memory.current, memory.peak), (1070, 9000));
    drop((first, zeroed));
    let memory = tracemalloc::get_traced_memory();
    assert_eq!((memory.current, memory.peak), (0, 9000));
}

fn reset_peak_sets_the_peak_to_current() {
    tracemalloc::reset_peak();
    tracemalloc::start(3).unwrap();
    let held = black_box(vec![1_u8; 100]);
    drop(black_box(vec![1_u8; 100_000]));
    assert_eq!(tracemalloc::get_traced_memory().peak, 100_100);
    tracemalloc::reset_peak();
    let memory = tracemalloc::get_traced_memory();
    assert_eq!((memory.current, memory.peak), (100, 100));
    drop(black_box(vec![1_u8; 1000]));
    assert_eq!(tracemalloc::get_traced_memory().peak, 1100);
    drop(held);
}

fn everything_is_quiet_while_off() {
    tracemalloc::stop();
    tracemalloc::clear_traces();
    tracemalloc::reset_peak();
    assert_eq!(tracemalloc::get_traced_memory(), Default::default());
    assert_eq!(tracemalloc::get_traceback_limit(), None);
    assert_eq!(tracemalloc::get_object_traceback(&Box::new(1)), None);
    let error = tracemalloc::take_snapshot().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotTracing);
    assert!(error.to_string().contains("tracemalloc::start"), "{error}");
}

fn own_memory_is_reported_and_does_not_grow_by_clearing() {
    tracemalloc::start(25).unwrap();
    let started = tracemalloc::get_tracemalloc_memory();
    let held: Vec<Box<[u8; 100]>> = (0..100_000).map(|_| Box::new([1; 100])).collect();
    let full = tracemalloc::get_tracemalloc_memory();
    // Each of the hundred thousand records takes at least its eight bytes.
    assert!(full > started + 800_000, "{started} {full}");
    tracemalloc::clear_traces();
    assert!(tracemalloc::get_tracemalloc_memory() <= full);
    drop(held);
}

#[inline(never)]
fn make<T>(value: impl Fn() -> T) -> T {
    black_box(value())
}

fn object_traceback_knows_the_owner_of_a_block() {
    #[repr(align(64))]
    struct Aligned(#[expect(dead_code, reason = "takes room")] u8);

    // Of a size of its own: functions that compile to the same code may become one.
    let boxed = make(|| Box::new([1_u8; 11]));
    assert_eq!(tracemalloc::get_object_traceback(&boxed), None);
    tracemalloc::start(25).unwrap();
    macro_rules! check {
        ($value:expr) => {
            let (line, value) = (line!(), make(|| $value));
            let traceback = tracemalloc::get_object_traceback(&value).expect("a traced block");
            let made = traceback.most_recent();
            assert_eq!(
                (made.filename(), made.lineno()),
                ("tests/live/control.rs", line)
            );
            assert!(
                traceback
                    .iter()
                    .any(|frame| frame.function().unwrap_or_default().contains("make"))
            );
        };
    }
    check!(Box::new([1_u8; 10]));
    check!(Vec::<u16>::with_capacity(3));
    check!(String::from("text"));
    check!(Rc::new(5_u8));
    check!(Arc::new([1_u64; 5]));
    check!(Arc::new(Aligned(1)));
    check!(Rc::<str>::from("text"));
    check!(Box::<dyn std::fmt::Debug>::from(Box::new(5)));
    check!(Some(Box::new([1_u8; 12])));
    check!(Box::pin([1_u8; 13]));
    check!(std::collections::BinaryHeap::from([1_u8; 14]));
    check!(std::path::PathBuf::from("folder/file"));
    check!(std::ffi::OsString::from("a text of the system"));
    check!(std::ffi::CString::from(c"a text of C"));
    assert_eq!(
        tracemalloc::get_object_traceback(&boxed),
        None,
        "made before the start"
    );
    let again = make(|| vec![1, 2, 3]);
    assert!(tracemalloc::get_object_traceback(&again.as_ptr()).is_some());
    let byte = |index: usize| std::ptr::from_ref(&again[index]);
    assert!(tracemalloc::get_object_traceback(&byte(0)).is_some());
    let none = tracemalloc::get_object_traceback(&byte(1));
    assert_eq!(none, None, "not the block's first byte");
    // References and options stand for what is in them.
    assert!(tracemalloc::get_object_traceback(&&&again).is_some());
    assert!(tracemalloc::get_object_traceback(again.as_slice()).is_some());
    assert_eq!(
        tracemalloc::get_object_traceback(&None::<Box<u8>>),
        None,
        "no block at all"
    );
}

fn a_block_tells_its_size_and_its_traceback() {
    let before = Box::new([1_u8; 15]);
    tracemalloc::start(25).unwrap();
    assert_eq!(
        tracemalloc::block_of(&before),
        None,
        "made before the start"
    );
    let (line, buffer) = (line!(), black_box(Vec::<u64>::with_capacity(100)));
    let block = tracemalloc::block_of(&buffer).expect("a traced block");
    assert_eq!((block.size, block.domain), (800, Domain::HEAP));
    assert_eq!(block.traceback.most_recent().lineno(), line);
    let large = black_box(vec![1_u8; 1 << 20]);
    assert_eq!(tracemalloc::block_of(&large).unwrap().size, 1 << 20);
    tracemalloc::stop();
    assert_eq!(tracemalloc::block_of(&buffer), None);
}

fn object_traceback_never_reads_what_it_is_asked_about() {
    tracemalloc::start(5).unwrap();
    let local = 5;
    assert_eq!(
        tracemalloc::get_object_traceback(&std::ptr::from_ref(&local)),
        None
    );
    for address in [0, 1, 8, 4095, 1 << 40, 1 << 47, 1 << 63, usize::MAX] {
        let pointer = std::ptr::without_provenance::<u64>(address);
        assert_eq!(tracemalloc::get_object_traceback(&pointer), None);
    }
    assert_eq!(tracemalloc::get_object_traceback(&Vec::<u8>::new()), None);
    assert_eq!(tracemalloc::get_object_traceback(&Box::new(())), None);
}

fn a_reused_address_has_the_traceback_of_its_new_block() {
    tracemalloc::start(5).unwrap();
    // Some allocators let all other free places have their turn first.
    let mut freed = std::collections::HashSet::new();
    for _ in 0..1000 {
        let first = black_box(Box::new([1_u8; 777]));
        freed.insert(std::ptr::from_ref(&*first).addr());
        drop(first);
        let (line, second) = (line!(), black_box(Box::new([2_u8; 777])));
        if freed.contains(&std::ptr::from_ref(&*second).addr()) {
            let traceback = tracemalloc::get_object_traceback(&second).expect("traced");
            assert_eq!(traceback.most_recent().lineno(), line);
            return;
        }
    }
    panic!("the allocator never reused an address");
}

#[inline(never)]
fn nested(depth: usize) -> Vec<u8> {
    if depth == 0 {
        vec![1; 999]
    } else {
        black_box(nested(black_box(depth - 1)))
    }
}

fn traced_stack(frames: usize, depth: usize) -> tracemalloc::Traceback {
    tracemalloc::start(frames).unwrap();
    let block = nested(depth);
    let traceback = tracemalloc::get_object_traceback(&block).expect("traced");
    tracemalloc::stop();
    traceback
}

fn nframe_limits_the_stack_and_says_so() {
    for frames in [1, 2, 5, 25] {
        let traceback = traced_stack(frames, 300);
        assert_eq!(traceback.len(), frames);
        assert!(traceback.is_truncated());
        assert_eq!(
            traceback.total_nframe(),
            None,
            "the depth of a bounded capture is not known"
        );
    }
    // A little deeper than the limit: the whole depth comes for free.
    let traceback = traced_stack(10, 12);
    assert!(traceback.is_truncated());
    let depth = traceback.total_nframe().expect("known") as usize;
    let whole = traced_stack(100, 12);
    assert!(!whole.is_truncated());
    assert_eq!(whole.len(), depth);
    assert_eq!(whole.total_nframe(), Some(depth as u32));
    assert_eq!(whole[depth - 10..], traceback[..]);
}

fn nframe_may_be_65535() {
    // Deeper than the default stack of the main thread is made for.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    let run = || {
        let traceback = traced_stack(65_535, 70_000);
        assert_eq!(traceback.len(), 65_535);
        assert!(traceback.is_truncated());
        let traceback = traced_stack(65_535, 20_000);
        assert!(!traceback.is_truncated());
        assert!(traceback.len() > 20_000);
        let snapshot_limit = {
            tracemalloc::start(65_535).unwrap();
            tracemalloc::take_snapshot().unwrap().traceback_limit()
        };
        assert_eq!(snapshot_limit, 65_535);
        assert!(
            tracemalloc::take_snapshot()
                .unwrap()
                .statistics(GroupBy::Line)
                .len()
                < 100
        );
    };
    thread.spawn(run).unwrap().join().unwrap();
}

/// These tests wrap an allocator of their own, of which glibc knows nothing as far as the tracer can tell.
fn another_allocators_memory_is_not_the_c_librarys() {
    tracemalloc::start(1).unwrap();
    let kept = black_box(vec![1_u8; 1000]);
    let held = || {
        let snapshot = tracemalloc::take_snapshot().unwrap();
        snapshot.recording().allocator_memory
    };
    assert_eq!(held(), None);
    tracemalloc::set_allocator_memory(|| Some(5000));
    assert_eq!(held(), Some(5000));
    drop(kept);
}
