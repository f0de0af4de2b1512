//! The library. Its allocator, its tracer and their thread-local memory are its own; the loader
//! makes that memory when a thread first comes here.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::c_int;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracemalloc::{GroupBy, TraceAlloc, Traceback};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Blocks of this size are asked for by nobody else.
const SIZE: usize = 1013;

fn layout() -> Layout {
    Layout::array::<u8>(SIZE).expect("a small size")
}

#[unsafe(no_mangle)]
extern "C" fn traced_start() -> c_int {
    c_int::from(tracemalloc::start(25).is_ok())
}

/// The library's last call. False if tracing can still be started.
#[unsafe(no_mangle)]
extern "C" fn traced_unload() -> c_int {
    // SAFETY: the program makes this call when no thread is in the library, and then unloads it.
    unsafe { tracemalloc::unload() };
    c_int::from(tracemalloc::start(25).is_err() && !tracemalloc::is_tracing())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn traced_allocate() -> *mut u8 {
    // SAFETY: the layout has a size.
    black_box(unsafe { alloc(layout()) })
}

/// # Safety
/// `block` is of [`traced_allocate`] and nobody uses it any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn traced_free(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(block, layout()) };
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// Allocates, resizes and frees.
#[unsafe(no_mangle)]
extern "C" fn traced_on_signal(_: c_int) {
    let mut block = black_box(Vec::<u8>::with_capacity(40));
    block.reserve_exact(700);
    drop(black_box(block));
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn traced_handled() -> usize {
    HANDLED.load(Ordering::SeqCst)
}

/// Works on threads of the library's own, and leaves nothing.
#[unsafe(no_mangle)]
extern "C" fn traced_work() {
    let threads: Vec<_> = (0..4_u8)
        .map(|seed| std::thread::spawn(move || fill(seed)))
        .collect();
    // A scope would not wait until they have freed what is their own.
    for thread in threads {
        thread.join().expect("no panic");
    }
}

fn fill(seed: u8) {
    let mut held = Vec::with_capacity(64);
    for round in 0..2000_usize {
        held.push(vec![seed; round * 37 % 4000 + 1]);
        if held.len() == 64 {
            held.drain(..32);
        }
    }
}

/// Counter and records agree, `live` blocks of [`traced_allocate`] are known by the function that
/// allocated them, and nothing was lost.
#[unsafe(no_mangle)]
extern "C" fn traced_audit(live: usize) -> c_int {
    let before = tracemalloc::get_traced_memory();
    let Ok(snapshot) = tracemalloc::take_snapshot() else {
        return 0;
    };
    let is_named = |traceback: &Traceback| {
        let mut frames = traceback.iter();
        frames.any(|frame| {
            frame
                .function()
                .is_some_and(|name| name.contains("traced_allocate"))
        })
    };
    let known = snapshot
        .traces()
        .unwrap()
        .filter(|trace| trace.size == SIZE as u64 && is_named(&trace.traceback));
    let known = known.count();
    let losses = snapshot.recording().losses;
    let right = known == live
        && snapshot.total_size() == before.current
        && before.current <= before.peak
        && losses.blocks + losses.stacks + losses.replaced == 0;
    if !right {
        eprintln!("{known} of {live} blocks, {before:?}, {losses:?}");
        for group in snapshot.statistics(GroupBy::Traceback).iter().take(5) {
            eprintln!("{group}");
        }
    }
    c_int::from(right)
}
