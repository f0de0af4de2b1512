//! Programs that do much at a time: code of theirs that the library calls, the loader, deep stacks.

use std::ffi::{CStr, CString, c_int, c_void};
use std::hint::black_box;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::thread;

use tracemalloc::report::Text;
use tracemalloc::{GroupBy, Traceback};

use crate::books::{Block, audit, churn, current, hold, marked};
use crate::cases;
use crate::planted::stay_inside;

cases![
    a_writer_of_the_programs_own_is_called_outside fails with StaysInside,
    the_loaders_lock_is_nobodys_business fails with LosesRecords,
    libraries_that_come_and_go_leave_right_books fails with LosesRecords,
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

/// A library with one function that calls back.
fn library(folder: &Path, name: &str) -> PathBuf {
    let source = folder.join(format!("{name}.c"));
    let text = format!(
        "int {name}_calls(int depth, int (*back)(void)) {{\n\
         \tvolatile int room[8] = {{0}};\n\
         \tif (depth > 0) return {name}_calls(depth - 1, back) + room[0];\n\
         \treturn back() + room[1];\n}}\n"
    );
    std::fs::write(&source, text).unwrap();
    let library = folder.join(format!("lib{name}.so"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .status()
        .expect("a compiler of C, as the dependencies of the tests need one");
    assert!(status.success());
    library
}

extern "C" fn back() -> c_int {
    let mut block = Block::new(77);
    assert!(block.try_resize(141));
    block.free();
    CALLED.fetch_add(1, Ordering::Relaxed);
    0
}

static CALLED: AtomicUsize = AtomicUsize::new(0);

/// Calls back through the library. Returns where it was loaded.
fn call_through(library: &Path, name: &str) -> usize {
    type Calls = extern "C" fn(c_int, extern "C" fn() -> c_int) -> c_int;
    let path = CString::new(library.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: the library has no initialisers.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null());
    let symbol = CString::new(format!("{name}_calls")).unwrap();
    // SAFETY: the handle is open.
    let function = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
    assert!(!function.is_null());
    // SAFETY: the library's function has this type.
    let calls: Calls = unsafe { std::mem::transmute(function) };
    assert_eq!(calls(5, back), 0);
    // SAFETY: nothing of the library is used any more.
    unsafe { libc::dlclose(handle) };
    function.addr()
}

/// Two libraries take turns at the same address, and other threads capture meanwhile: what is known
/// of code does not outlive it.
fn libraries_that_come_and_go_leave_right_books() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("libraries-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let libraries = ["first", "other"].map(|name| (name, library(&folder, name)));
    tracemalloc::start(25).unwrap();
    let mut held = Vec::with_capacity(300);
    churn(1, 300, &mut held);
    let mut places = [0; 2];
    let busy = &AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || {
                let mut held = Vec::with_capacity(20);
                for round in seed.. {
                    churn(round, 100, &mut held);
                    if !busy.load(Ordering::Relaxed) {
                        break;
                    }
                }
                held.into_iter().for_each(|block| block.discard());
            });
        }
        for _ in 0..200 {
            for (place, (name, library)) in places.iter_mut().zip(&libraries) {
                *place = call_through(library, name);
            }
        }
        busy.store(false, Ordering::Relaxed);
    });
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(CALLED.load(Ordering::Relaxed), 400);
    assert_eq!(places[0], places[1], "one in the place of the other");
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
