//! Programs that do much at a time: code of theirs that the library calls, the loader, deep stacks.

use std::ffi::{CStr, c_int, c_void};
use std::hint::black_box;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::thread;

use tracemalloc::report::Text;
use tracemalloc::{GroupBy, Traceback};

use crate::audit::{Block, audit, churn, current, hold, marked};
use crate::cases;
use crate::faults::stay_inside;

cases![
    a_writer_of_the_programs_own_is_called_outside fails with StaysInside,
    the_loaders_lock_is_nobodys_business fails with LosesRecords,
    a_main_stack_that_grows_is_walked fails with LosesRecords,
    tracing_may_begin_before_main fails with LosesRecords,
    allocations_in_the_last_destructors_of_a_thread fails with LosesRecords,
];

/// Allocates on another thread and waits for it, then panics.
struct Demanding {
    writes: usize,
}

impl Write for Demanding {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        let other = thread::spawn(|| {
            let block = Block::new(77);
            let traced = block.is_traced();
            block.free();
            traced && tracemalloc::take_snapshot().is_ok()
        });
        assert!(other.join().unwrap(), "traced while this writes");
        let block = Block::new(marked(2));
        assert!(block.is_traced(), "traced in the writer");
        block.free();
        stay_inside();
        assert!(self.writes < 2, "on purpose");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn a_writer_of_the_programs_own_is_called_outside() {
    std::panic::set_hook(Box::new(|_| {
        let block = Block::new(77);
        assert!(block.is_traced());
        block.free();
    }));
    tracemalloc::start(25).unwrap();
    let mut held = Vec::with_capacity(100);
    churn(1, 500, &mut held);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let statistics = snapshot.statistics(GroupBy::Traceback);
    let mut writer = Demanding { writes: 0 };
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        for group in &statistics {
            writeln!(writer, "{group}").unwrap();
        }
        Text::new().write(&snapshot, &mut writer).unwrap();
    }));
    assert!(panicked.is_err());
    assert!(writer.writes >= 2);
    let block = Block::new(marked(1));
    assert!(block.is_traced(), "after the panic");
    held.push(block);
    drop(statistics);
    audit(&held);
}

unsafe extern "C" fn visit(
    _: *mut libc::dl_phdr_info,
    _: libc::size_t,
    seen: *mut c_void,
) -> c_int {
    // The loader's lock is held here.
    let block = Block::new(marked(3));
    // SAFETY: the caller passes its counter.
    unsafe { *seen.cast::<usize>() += 1 };
    block.free();
    0
}

/// One thread allocates while it holds the loader's lock, another one loads and unloads, others
/// allocate and take snapshots: nobody waits for anybody who waits for him.
fn the_loaders_lock_is_nobodys_business() {
    tracemalloc::start(25).unwrap();
    let mut held = Vec::new();
    hold(&mut held);
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while busy.load(Ordering::Relaxed) {
                let mut seen = 0_usize;
                // SAFETY: the callback gets the counter that it expects.
                unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut seen).cast()) };
                assert!(seen > 2);
            }
        });
        scope.spawn(|| {
            while busy.load(Ordering::Relaxed) {
                let caught = catch_unwind(|| std::panic::resume_unwind(Box::new(1)));
                assert!(caught.is_err());
                // SAFETY: a library that has no initialisers of note.
                let library = unsafe { libc::dlopen(c"libutil.so.1".as_ptr(), libc::RTLD_NOW) };
                if !library.is_null() {
                    // SAFETY: just opened.
                    unsafe { libc::dlclose(library) };
                }
            }
        });
        let threads: Vec<_> = (0..2)
            .map(|seed| {
                scope.spawn(move || {
                    let mut held = Vec::with_capacity(100);
                    churn(seed, 10_000, &mut held);
                    held.into_iter().for_each(|block| block.discard());
                })
            })
            .collect();
        for _ in 0..3 {
            tracemalloc::take_snapshot().unwrap();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        busy.store(false, Ordering::Relaxed);
    });
    audit(&held);
}

/// Goes on until the stack has grown to `bytes`. Returns how deep that is.
#[inline(never)]
fn descend(depth: usize, top: usize, bytes: usize, held: &mut Vec<Block>) -> usize {
    let room = black_box([depth as u8; 1000]);
    let used = top - room.as_ptr().addr();
    if depth.is_multiple_of(200) {
        held.push(Block::new(marked(depth)));
    }
    let deepest = if used < bytes {
        descend(depth + 1, top, bytes, held)
    } else {
        held.push(Block::new(marked(depth)));
        depth
    };
    black_box(room);
    deepest
}

fn oldest(traceback: &Traceback) -> String {
    let function = traceback.oldest().function();
    function.unwrap_or_default().to_owned()
}

/// From a few pages to most of what the main stack may have.
fn a_main_stack_that_grows_is_walked() {
    let mut held = Vec::with_capacity(400);
    tracemalloc::start(10_000).unwrap();
    let stack_is_large = {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: fills the limit.
        unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
        limit.rlim_cur >= 8 << 20
    };
    let bytes = if stack_is_large { 6 << 20 } else { 256 << 10 };
    let top = ptr::from_ref(&held).addr();
    let depth = descend(0, top, bytes, &mut held);
    let deepest = held.last().unwrap();
    let traceback = tracemalloc::get_object_traceback(&deepest.address).unwrap();
    assert!(!traceback.is_truncated() && traceback.len() > depth);
    assert!(
        oldest(&traceback).contains("main"),
        "{}",
        oldest(&traceback)
    );
    churn(1, 200, &mut held);
    audit(&held);
}

static EARLY: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Called by the loader.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    // SAFETY: no other thread is there.
    let case = unsafe { libc::getenv(c"TRACEMALLOC_CASE".as_ptr()) };
    if case.is_null() {
        return;
    }
    // SAFETY: a text that ends in 0.
    let case = unsafe { CStr::from_ptr(case) };
    if case.to_bytes().ends_with(b"tracing_may_begin_before_main") {
        assert_eq!(current(), 0);
        tracemalloc::start(9).unwrap();
        EARLY.store(Block::new(77).address, Ordering::SeqCst);
    }
}

/// The first thing that this process did.
fn tracing_may_begin_before_main() {
    let mut held = Vec::with_capacity(300);
    assert!(tracemalloc::is_tracing());
    assert_eq!(tracemalloc::get_traceback_limit(), Some(9));
    held.push(Block {
        address: EARLY.load(Ordering::SeqCst),
        size: 77,
    });
    assert!(held[0].is_traced());
    churn(1, 200, &mut held);
    audit(&held);
}

static KEY: AtomicU32 = AtomicU32::new(0);
static ROUNDS: AtomicUsize = AtomicUsize::new(0);

/// Asks to be called again, as long as the system does.
extern "C" fn last(value: *mut c_void) {
    let before = current();
    let mut block = Block::new(77);
    assert!(block.try_resize(141));
    assert_eq!(current(), before + 141);
    block.free();
    assert_eq!(current(), before);
    ROUNDS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the key is valid.
    unsafe { libc::pthread_setspecific(KEY.load(Ordering::SeqCst), value) };
}

fn allocations_in_the_last_destructors_of_a_thread() {
    const THREADS: usize = 20;
    let mut key = 0;
    // SAFETY: the function has this signature.
    let made = unsafe { libc::pthread_key_create(&raw mut key, Some(last)) };
    assert_eq!(made, 0);
    KEY.store(key, Ordering::SeqCst);
    tracemalloc::start(25).unwrap();
    let mut held = Vec::with_capacity(THREADS);
    for n in 0..THREADS {
        let thread = thread::spawn(move || {
            // SAFETY: the key is valid.
            unsafe { libc::pthread_setspecific(key, ptr::without_provenance(1)) };
            Block::new(marked(n))
        });
        held.push(thread.join().unwrap());
    }
    // So often the system asks each thread's.
    assert_eq!(ROUNDS.load(Ordering::SeqCst), THREADS * 4);
    churn(1, 200, &mut held);
    audit(&held);
}
