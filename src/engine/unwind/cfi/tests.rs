//! The walk against the platform's unwinder: the same addresses, frame by frame.

use std::hint::black_box;

use super::*;

/// One unwinder for all tests, as in a program.
static UNWINDER: Unwinder = Unwinder::new();
static ARENA: Arena = Arena::new();

fn prepare() {
    UNWINDER.prepare(&ARENA);
}

/// Captures in both ways from here and compares what lies beyond this function. Returns the depth.
#[inline(never)]
fn compare(limit: usize) -> usize {
    let frame = 0_u8;
    let mark = Mark::at(black_box(&frame));
    let (mut walked, mut unwound) = (vec![0; limit], vec![0; limit]);
    let ours = UNWINDER
        .walk(&ARENA, mark, &mut walked)
        .expect("an ordinary stack");
    let theirs = UNWINDER.portable.capture(&ARENA, mark, &mut unwound);
    assert_eq!(ours, theirs);
    assert_eq!(walked[..ours.frames], unwound[..theirs.frames]);
    ours.frames
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

#[test]
fn a_signal_handler_is_left_to_the_platforms_unwinder() {
    static RESULT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    extern "C" fn handler(_: i32) {
        let frame = 0_u8;
        let mark = Mark::at(black_box(&frame));
        let given_up = UNWINDER.walk(&ARENA, mark, &mut [0; 200]).is_none();
        let captured = UNWINDER.capture(&ARENA, mark, &mut [0; 200]);
        let result = if given_up { captured.frames } else { 0 };
        RESULT.store(result, std::sync::atomic::Ordering::SeqCst);
    }
    prepare();
    let address = handler as extern "C" fn(i32) as usize;
    // SAFETY: the handler does nothing that a handler must not.
    unsafe { libc::signal(libc::SIGUSR2, address) };
    // SAFETY: sends the signal to this thread.
    unsafe { libc::raise(libc::SIGUSR2) };
    assert!(RESULT.load(std::sync::atomic::Ordering::SeqCst) > 5);
}

#[test]
fn a_foreign_stack_is_not_walked() {
    prepare();
    let stack = MainStack::new();
    assert_eq!(stack.end_of(0x1000), None);
    assert_eq!(UNWINDER.main_stack.end_of(0x1000), None);
    let here = 0_u8;
    assert!(
        UNWINDER
            .main_stack
            .end_of(std::ptr::from_ref(&here).addr())
            .is_some()
    );
}
