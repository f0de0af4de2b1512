//! The walk, and the general one, against the system unwinder: their addresses agree, frame by frame.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod damaged;
#[cfg(target_arch = "x86_64")]
mod expressions;
mod remembered;
mod signals;
mod stacks;

use std::cell::RefCell;
use std::hint::black_box;

use super::rule::Kind;
use super::*;
use crate::engine::stack_cache::{Candidate, StackCache};
use crate::engine::stacks::Stacks;
use crate::engine::unwind::{StackEnd, system};

/// One unwinder for all tests, as in a program.
static UNWINDER: Unwinder = Unwinder::new();
static ARENA: Arena = Arena::new();
static STACKS: Stacks = Stacks::new();

thread_local! {
    static STACK_CACHE: RefCell<Box<StackCache>> = RefCell::new({
        // SAFETY: zeroed memory is an empty one.
        unsafe { Box::new_zeroed().assume_init() }
    });
}

fn prepare() {
    UNWINDER.prepare(&ARENA);
    system::Unwinder::new().prepare(&ARENA);
}

/// Reads for one walk.
fn reader() -> Reader<'static> {
    Reader::new(
        &UNWINDER.main_stack,
        STACK_CACHE.with_borrow(|stack_cache| stack_cache.own_stack()),
    )
}

/// What a thread remembers, asked in the ways of the tracker, which agree: the first `limit` frames
/// of it.
fn recalled(caller: Caller, limit: usize) -> Option<Vec<usize>> {
    let frames = |stack| {
        let mut frames = Vec::new();
        STACKS.read(stack, |address| frames.push(address));
        frames.truncate(limit);
        frames
    };
    STACK_CACHE.with_borrow_mut(|stack_cache| {
        let fast = stack_cache.recall_fast(caller, limit);
        let candidate = fast.err().unwrap_or(Candidate::UNKNOWN);
        let known = stack_cache.recall(caller, limit, candidate);
        let searched = stack_cache.recall(caller, limit, Candidate::UNKNOWN);
        assert!(known == searched && (fast.is_err() || fast.ok() == known));
        let known = known.map(frames);
        let known = known.or_else(|| stack_cache.recall_foreign(caller, limit).map(frames));
        let mut walk = || stack_cache.fill(&ARENA, &UNWINDER, &STACKS, caller, limit);
        known.or_else(|| walk().map(frames))
    })
}

/// The registers of the function that called the one that asks.
#[inline(always)]
fn caller() -> Caller {
    let here = here();
    let rule = UNWINDER.rule(&ARENA, here.pc);
    let step = walk::step(here, rule, usize::MAX);
    step.expect("an ordinary function").caller
}

/// Captures in all ways from the caller on and compares. Returns the depth.
#[inline(never)]
fn compare(limit: usize) -> usize {
    let caller = caller();
    compare_from(caller, limit, Some(true))
}

/// `plain`: whether the stack is one that a thread remembers, where a test can know it.
#[inline(never)]
fn compare_from(caller: Caller, limit: usize, plain: Option<bool>) -> usize {
    let mark = caller.mark();
    let (mut walked, mut unwound, mut general) = (vec![0; limit], vec![0; limit], vec![0; limit]);
    let ours = UNWINDER
        .walk(&ARENA, caller, mark, &mut reader(), &mut walked)
        .expect("a stack that can be walked");
    let step_by_step = UNWINDER
        .capture_generally(&ARENA, mark, &mut reader(), &mut general)
        .expect("memory");
    assert_eq!((ours, &walked), (step_by_step, &general));
    let system = system::Unwinder::new();
    let theirs = system.capture(&ARENA, caller, mark, OwnStack::default(), &mut unwound);
    walked.truncate(ours.frames);
    unwound.truncate(theirs.frames);
    let beyond = check_same(&walked, &unwound);
    let is_cut = |captured: Captured| captured.end == StackEnd::Truncated;
    assert!(
        beyond || is_cut(ours) == is_cut(theirs),
        "{ours:?} {theirs:?}"
    );
    // The second time it is recalled and not walked.
    for _ in 0..2 {
        let recalled = recalled(caller, limit);
        if let Some(plain) = plain {
            assert_eq!(
                recalled.is_some(),
                plain && limit <= crate::engine::stack_cache::MAX_FRAMES
            );
        }
        if let Some(recalled) = recalled {
            assert_eq!(recalled, walked);
        }
    }
    ours.frames
}

/// Asserts equal addresses. Returns true if the walk came further than the system unwinder, which on
/// musl leaves out the frame at which it ends for want of call-frame information.
fn check_same(walked: &[usize], unwound: &[usize]) -> bool {
    let (same, further) = walked.split_at(unwound.len().min(walked.len()));
    assert_eq!(same, unwound);
    match further.first() {
        Some(address) if cfg!(target_env = "musl") => {
            let kind = UNWINDER.rule(&ARENA, *address).kind();
            assert!(matches!(kind, Kind::Oldest | Kind::Signal), "{kind:?}");
        }
        Some(_) => assert_eq!(walked, unwound),
        None => {}
    }
    cfg!(target_env = "musl")
}

fn compare_all_limits() {
    let depth = compare(100_000);
    for limit in [0, 1, 2, 3, 10, depth - 1, depth, depth + 1] {
        assert_eq!(compare(limit), depth.min(limit));
    }
}

#[inline(never)]
fn recurse(depth: usize, task: &mut dyn FnMut()) {
    // Frames of many sizes.
    let room = black_box([depth as u8; 24]);
    match depth % 3 {
        _ if depth == 0 => task(),
        0 => recurse(black_box(depth - 1), task),
        1 => (0..1).for_each(|_| recurse(black_box(depth - 1), task)),
        _ => drop(
            black_box(vec![0_u8; depth])
                .iter()
                .take(1)
                .map(|_| recurse(depth - 1, task))
                .max(),
        ),
    }
    black_box(room);
}

#[test]
fn ordinary_stacks_of_any_depth_agree() {
    prepare();
    compare_all_limits();
    for depth in 0..60 {
        recurse(depth, &mut compare_all_limits);
    }
    let deep = || recurse(20_000, &mut || assert!(compare(1 << 20) > 20_000));
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(deep)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn stacks_through_the_c_library_agree() {
    unsafe extern "C" fn order(a: *const std::ffi::c_void, b: *const std::ffi::c_void) -> i32 {
        compare_all_limits();
        // SAFETY: `qsort` passes elements of the array.
        let a = unsafe { *a.cast::<i32>() };
        // SAFETY: as above.
        let b = unsafe { *b.cast::<i32>() };
        a.cmp(&b) as i32
    }
    prepare();
    let mut numbers = [3, 1, 2, 9, 5];
    // SAFETY: the array has that many elements of that size.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 5, 4, Some(order)) };
    assert_eq!(numbers, [1, 2, 3, 5, 9]);
}

#[test]
fn stacks_of_threads_and_of_unwinding_agree() {
    struct Check;
    impl Drop for Check {
        fn drop(&mut self) {
            compare_all_limits();
        }
    }
    prepare();
    let threads = (0..8).map(|n| {
        std::thread::spawn(move || {
            recurse(n, &mut compare_all_limits);
            let caught = std::panic::catch_unwind(|| {
                let _check = Check;
                std::panic::resume_unwind(Box::new(1));
            });
            assert!(caught.is_err());
        })
    });
    threads
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn library_callbacks_agree() {
    prepare();
    let mut numbers: Vec<u32> = (0..50).rev().collect();
    numbers.sort_by(|a, b| {
        compare(200);
        a.cmp(b)
    });
    numbers.sort_unstable_by_key(|n| {
        compare(200);
        n % 7
    });
    let text = format!(
        "{}",
        std::fmt::from_fn(|out| {
            compare(200);
            write!(out, "{:>5}", 3)
        })
    );
    assert_eq!(text, "    3");
    let lazy = std::sync::LazyLock::new(|| compare(200));
    assert!(*lazy > 0);
}
