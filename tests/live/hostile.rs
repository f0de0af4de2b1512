//! An inner allocator that misbehaves on request, and what the tracer makes of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tracemalloc::{Config, ErrorKind};

use crate::cases;
use crate::totals::ORACLE;

cases![
    an_allocation_that_fails_is_not_counted,
    a_realloc_that_fails_changes_nothing,
    an_inner_allocator_that_allocates_is_its_own_affair,
    a_realloc_that_always_moves_passes_the_audit,
    errno_is_left_alone,
    the_tracer_allocates_nothing_for_itself,
    // Other systems put blocks elsewhere.
    #[cfg(target_os = "linux")]
    past_the_memory_limit_the_program_goes_on,
    too_little_memory_to_start_is_an_error,
    #[cfg(target_os = "linux")]
    zeroed_memory_is_not_touched,
    #[cfg(all(
        target_os = "linux",
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    stacks_that_end_in_unknown_code_are_counted,
];

/// The system's allocator until one of the switches is set.
pub(crate) struct Hostile;

/// How many calls of `alloc` or `realloc` answer null from now on.
static FAIL: AtomicUsize = AtomicUsize::new(0);
/// Calls of `alloc`, `alloc_zeroed` and `realloc`.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static REENTER: AtomicBool = AtomicBool::new(false);
static ALWAYS_MOVE: AtomicBool = AtomicBool::new(false);

/// Run by the next call of `alloc`, if set.
static ONCE: AtomicUsize = AtomicUsize::new(0);

/// Has `task` run inside the next call of `alloc`, in any thread.
#[cfg(feature = "file")]
pub(crate) fn once(task: fn()) {
    ONCE.store(task as usize, Ordering::SeqCst);
}

fn run_once() {
    let task = match ONCE.load(Ordering::Relaxed) {
        0 => 0,
        _ => ONCE.swap(0, Ordering::SeqCst),
    };
    if task != 0 {
        // SAFETY: only `once` writes there.
        let task: fn() = unsafe { std::mem::transmute(task) };
        task();
    }
}

fn fails() -> bool {
    FAIL.load(Ordering::Relaxed) > 0 && FAIL.fetch_sub(1, Ordering::Relaxed) > 0
}

/// Comes back to the global allocator from inside it.
fn reenter() {
    if REENTER.swap(false, Ordering::Relaxed) {
        drop(black_box(Vec::<u64>::with_capacity(16)));
        let mut grown = black_box(vec![1_u8]);
        grown.extend([2; 100]);
        drop(black_box(grown));
        REENTER.store(true, Ordering::Relaxed);
    }
}

// SAFETY: every block comes from the system's allocator with the layout that was asked for.
unsafe impl GlobalAlloc for Hostile {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        run_once();
        reenter();
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: passed on from the caller.
        let block = unsafe { System.alloc(layout) };
        ORACLE.allocated(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: passed on from the caller.
        let block = unsafe { System.alloc_zeroed(layout) };
        ORACLE.allocated(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        reenter();
        ORACLE.freed(block);
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        reenter();
        if fails() {
            return ptr::null_mut();
        }
        if !ALWAYS_MOVE.load(Ordering::Relaxed) {
            // SAFETY: passed on from the caller.
            let new = unsafe { System.realloc(block, layout, new_size) };
            ORACLE.resized(block, new, new_size);
            return new;
        }
        let new_layout = Layout::from_size_align(new_size, layout.align()).expect("a valid layout");
        // SAFETY: the caller asks for a size that is not 0.
        let moved = unsafe { System.alloc(new_layout) };
        if !moved.is_null() {
            let common = layout.size().min(new_size);
            // SAFETY: both blocks have that many bytes and do not overlap.
            unsafe { ptr::copy_nonoverlapping(block, moved, common) };
            // SAFETY: passed on from the caller; the block has been replaced.
            unsafe { System.dealloc(block, layout) };
        }
        moved
    }
}

fn current() -> u64 {
    tracemalloc::get_traced_memory().current
}

fn an_allocation_that_fails_is_not_counted() {
    tracemalloc::start(5).unwrap();
    let before = (
        current(),
        tracemalloc::take_snapshot().unwrap().block_count(),
    );
    let mut room: Vec<u8> = Vec::new();
    FAIL.store(1, Ordering::Relaxed);
    // Out of the optimiser's sight, which may leave out an allocation that nobody uses.
    assert!(black_box(&mut room).try_reserve_exact(1000).is_err());
    assert_eq!(FAIL.load(Ordering::Relaxed), 0, "the failure was used");
    assert!(room.try_reserve_exact(isize::MAX as usize).is_err());
    let layout = Layout::new::<[u64; 9]>();
    FAIL.store(1, Ordering::Relaxed);
    // SAFETY: the layout has a size.
    let block = unsafe { std::alloc::alloc_zeroed(layout) };
    assert!(black_box(block).is_null());
    assert_eq!(
        (
            current(),
            tracemalloc::take_snapshot().unwrap().block_count()
        ),
        before
    );
}

fn a_realloc_that_fails_changes_nothing() {
    tracemalloc::start(5).unwrap();
    let mut block: Vec<u8> = Vec::with_capacity(100);
    block.push(7);
    let traceback = tracemalloc::get_object_traceback(&block);
    assert!(traceback.is_some());
    let before = current();
    FAIL.store(1, Ordering::Relaxed);
    assert!(block.try_reserve_exact(5000).is_err());
    assert_eq!(FAIL.load(Ordering::Relaxed), 0, "the failure was used");
    assert_eq!(current(), before);
    assert_eq!(tracemalloc::get_object_traceback(&block), traceback);
    assert_eq!(block, [7]);
    drop(block);
    assert_eq!(current(), before - 100);
}

fn an_inner_allocator_that_allocates_is_its_own_affair() {
    tracemalloc::start(5).unwrap();
    let before = current();
    REENTER.store(true, Ordering::Relaxed);
    let mut block: Vec<u8> = Vec::with_capacity(100);
    block.reserve_exact(900);
    assert_eq!(current(), before + 900);
    drop(block);
    REENTER.store(false, Ordering::Relaxed);
    assert_eq!(current(), before);
}

fn a_realloc_that_always_moves_passes_the_audit() {
    tracemalloc::start(5).unwrap();
    ALWAYS_MOVE.store(true, Ordering::Relaxed);
    let before = current();
    let mut block: Vec<u8> = Vec::with_capacity(10);
    for size in [20, 300, 299, 5000, 100_000, 64, 1 << 20, 1] {
        block.truncate(1);
        if size > block.capacity() {
            block.reserve_exact(size)
        } else {
            block.shrink_to(size)
        }
        block.resize(size, 0);
        assert_eq!(current(), before + block.capacity() as u64);
        assert!(tracemalloc::get_object_traceback(&block).is_some());
    }
    let peak = tracemalloc::get_traced_memory().peak;
    assert!(
        peak < before + (2 << 20),
        "old and new are never counted together: {peak}"
    );
}

/// An allocation of the tracer's own would be forwarded without a record, and be seen here.
fn the_tracer_allocates_nothing_for_itself() {
    fn descend(depth: usize, task: &mut dyn FnMut()) {
        if depth == 0 {
            task()
        } else {
            descend(black_box(depth - 1), task)
        }
        black_box(());
    }
    for frames in [1, 30, 1000] {
        let before = CALLS.load(Ordering::Relaxed);
        tracemalloc::start(frames).unwrap();
        // The probe that shows whether the wrapper is installed is the program's only other call.
        assert_eq!(CALLS.load(Ordering::Relaxed), before + 1);
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(5000);
        for n in 0..5000 {
            // New stacks, new tables for new addresses, moves.
            descend(n % 300, &mut || kept.push(Vec::with_capacity(n * 7 + 1)));
            kept[n].reserve_exact(n * 9 + 2);
        }
        assert_eq!(CALLS.load(Ordering::Relaxed), before + 2 + 5000 + 5000);
        drop(kept);
        tracemalloc::stop();
    }
}

fn errno_is_left_alone() {
    // A fresh tracer maps memory and grows tables all the time.
    tracemalloc::start(200).unwrap();
    let mut held = Vec::with_capacity(10_000);
    for round in 0..100_000_usize {
        let size = round * 97 % 9000 + 1;
        set_errno(77);
        let mut block = black_box(Vec::<u8>::with_capacity(size));
        block.reserve_exact(2 * size);
        if held.len() < 10_000 {
            held.push(block)
        } else {
            drop(block)
        }
        assert_eq!(errno(), 77, "round {round}");
    }
}

/// On Windows, the last error.
fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .expect("an error of the system")
}

#[cfg(unix)]
fn set_errno(value: i32) {
    #[cfg(target_os = "linux")]
    use libc::__errno_location as location;
    #[cfg(target_os = "macos")]
    use libc::__error as location;
    // SAFETY: returns the address of this thread's own variable.
    let place = unsafe { location() };
    // SAFETY: as above.
    unsafe { *place = value };
}

#[cfg(windows)]
fn set_errno(value: i32) {
    // SAFETY: the system's function of this name has this type.
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn SetLastError(value: u32);
    }
    SetLastError(value.cast_unsigned());
}

#[cfg(target_os = "linux")]
fn past_the_memory_limit_the_program_goes_on() {
    Config::new()
        .frames(30)
        .memory_limit(2 << 20)
        .start()
        .unwrap();
    // However closely they are packed, 500,000 blocks need tables beyond the limit: tables take a quarter
    // of the addresses that they cover, and a block of 20 bytes has at least 24 of its own.
    let held: Vec<Vec<u8>> = (0..500_000_usize)
        .map(|n| {
            let mut block = Vec::with_capacity(20);
            block.push(n as u8);
            block
        })
        .collect();
    let kept = |(n, block): (usize, &Vec<u8>)| *block == [n as u8];
    assert!(held.iter().enumerate().all(kept));
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert!(
        snapshot.recording().losses.blocks > 0,
        "{:?}",
        snapshot.recording()
    );
    assert!(
        snapshot.recording().tracer_memory < 3 << 20,
        "{:?}",
        snapshot.recording()
    );
    assert_eq!(snapshot.total_size(), current());
    drop(held);
    assert!(current() < snapshot.total_size());
}

fn too_little_memory_to_start_is_an_error() {
    let error = Config::new().memory_limit(4096).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(!tracemalloc::is_tracing());
    Config::new().start().unwrap();
    assert!(tracemalloc::is_tracing());
}

#[cfg(target_os = "linux")]
fn zeroed_memory_is_not_touched() {
    let resident = || -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    tracemalloc::start(5).unwrap();
    let before = resident();
    let zeroed = black_box(vec![0_u8; 8 << 30]);
    assert!(resident() - before < 64 << 20, "the pages were touched");
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert!(snapshot.statistics(tracemalloc::GroupBy::Line)[0].size >= 8 << 30);
    drop(zeroed);
}

/// Code that the program has written itself: nobody knows how to get from there to its caller.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn stacks_that_end_in_unknown_code_are_counted() {
    static KEPT: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    extern "C" fn allocate() {
        KEPT.lock().unwrap().push(String::from("seven"));
    }
    // `sub rsp, 8`, `call rdi`, `add rsp, 8` and `ret`.
    #[cfg(target_arch = "x86_64")]
    const CODE: [u8; 11] = [0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0xc3];
    // `str x30, [sp, #-16]!`, `blr x0`, `ldr x30, [sp], #16` and `ret`.
    #[cfg(target_arch = "aarch64")]
    const CODE: [u32; 4] = [0xf81f_0ffe, 0xd63f_0000, 0xf841_07fe, 0xd65f_03c0];
    // SAFETY: asks for new memory.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: the memory is new and has room for it.
    unsafe { ptr::from_ref(&CODE).copy_to_nonoverlapping(memory.cast(), 1) };
    // SAFETY: as above. A change of what may be done there makes processors see it as code.
    let set = unsafe { libc::mprotect(memory, 4096, libc::PROT_READ | libc::PROT_EXEC) };
    assert_eq!(set, 0);
    // SAFETY: that is what the instructions do.
    let call: extern "C" fn(extern "C" fn()) = unsafe { std::mem::transmute(memory) };

    KEPT.lock().unwrap().reserve(8);
    tracemalloc::start(25).unwrap();
    allocate();
    let ended = || {
        tracemalloc::take_snapshot()
            .unwrap()
            .recording()
            .losses
            .incomplete_stacks
    };
    assert_eq!(ended(), 0);
    call(allocate);
    call(allocate);
    assert_eq!(ended(), 2);
    let kept = std::mem::take(&mut *KEPT.lock().unwrap());
    let depth = |n: usize| {
        let traceback = tracemalloc::get_object_traceback(&kept[n]);
        traceback.expect("a traced block").len()
    };
    assert!(depth(1) < depth(0) && depth(1) == depth(2));
}
