//! The program that loads the library. It is traced too: the two tracers know nothing of each other.

use std::ffi::{CString, c_int, c_void};
use std::hint::black_box;
use std::path::Path;
use std::ptr;
use std::sync::{Barrier, OnceLock};
use std::thread;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// What the library has, as it is loaded.
#[derive(Clone, Copy)]
struct Library {
    handle: *mut c_void,
    start: extern "C" fn() -> c_int,
    allocate: extern "C" fn() -> *mut u8,
    free: unsafe extern "C" fn(*mut u8),
    on_signal: extern "C" fn(c_int),
    handled: extern "C" fn() -> usize,
    work: extern "C" fn(),
    audit: extern "C" fn(usize) -> c_int,
    unload: extern "C" fn() -> c_int,
}

// SAFETY: functions that any thread may call; the handle is used when no other thread is there.
unsafe impl Sync for Library {}
// SAFETY: as above.
unsafe impl Send for Library {}

impl Library {
    fn open(path: &Path) -> Self {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("no 0 in a path");
        // SAFETY: the library has no initialisers of note.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?} cannot be loaded");
        /// A function of the library.
        fn function<F: Copy>(handle: *mut c_void, name: &str) -> F {
            const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
            let symbol = CString::new(name).expect("no 0 in a name");
            // SAFETY: the handle is open.
            let found = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
            assert!(!found.is_null(), "{name}");
            // SAFETY: the library's function has the type that is asked for.
            unsafe { std::mem::transmute_copy(&found) }
        }
        Self {
            handle,
            start: function(handle, "traced_start"),
            allocate: function(handle, "traced_allocate"),
            free: function(handle, "traced_free"),
            on_signal: function(handle, "traced_on_signal"),
            handled: function(handle, "traced_handled"),
            work: function(handle, "traced_work"),
            audit: function(handle, "traced_audit"),
            unload: function(handle, "traced_unload"),
        }
    }

    fn allocate_and_free(&self, rounds: usize) {
        for _ in 0..rounds {
            let block = (self.allocate)();
            assert!(!block.is_null());
            // SAFETY: just allocated.
            unsafe { (self.free)(block) };
        }
    }
}

fn own_audit_passes() {
    let block = black_box(vec![1_u8; 77_777]);
    let before = tracemalloc::get_traced_memory();
    let snapshot = tracemalloc::take_snapshot().expect("tracing");
    assert_eq!(snapshot.total_size(), before.current);
    assert_eq!(snapshot.recording().losses, Default::default());
    assert!(snapshot.traces().unwrap().any(|trace| trace.size == 77_777));
    drop(block);
}

/// Bytes of memory that this process has mapped without a file.
fn anonymous_memory() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let anonymous = maps
        .lines()
        .filter(|line| line.split_whitespace().count() == 5);
    let sizes = anonymous.map(|line| {
        let range = line.split_whitespace().next().expect("five words");
        let (start, end) = range.split_once('-').expect("a range");
        let address = |text| usize::from_str_radix(text, 16).expect("an address");
        address(end) - address(start)
    });
    sizes.sum()
}

/// A library that is loaded, traced and unloaded again and again leaves no tables.
fn reloads_leave_nothing(path: &Path) {
    let reload = || {
        let library = Library::open(path);
        assert_eq!((library.start)(), 1);
        library.allocate_and_free(100);
        let kept = (library.allocate)();
        assert_eq!((library.unload)(), 1);
        // SAFETY: of the library, which frees untraced now.
        unsafe { (library.free)(kept) };
        library.allocate_and_free(100);
        // SAFETY: a child of a library that has no tables any more; it ends at once.
        let process = unsafe { libc::fork() };
        if process == 0 {
            library.allocate_and_free(100);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) };
        }
        wait_for(process);
        // SAFETY: nothing of the library is used any more.
        unsafe { libc::dlclose(library.handle) };
    };
    reload();
    let before = anonymous_memory();
    for _ in 0..20 {
        reload();
    }
    let after = anonymous_memory();
    // The program's own tracer may have started a chunk or two. One set of tables is larger.
    assert!(
        after < before + (4 << 20),
        "{before} bytes before 20 reloads, {after} after"
    );
}

/// In a child, the library traces on.
fn works_in_a_child(library: &Library, live: usize) {
    // SAFETY: what a child may do is what is tested.
    let process = unsafe { libc::fork() };
    if process == 0 {
        library.allocate_and_free(100);
        let right = (library.audit)(live) == 1;
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(c_int::from(!right)) };
    }
    wait_for(process);
}

fn wait_for(process: libc::pid_t) {
    let mut status = 0;
    // SAFETY: waits for the child just made.
    let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert_eq!((ended, status), (process, 0));
}

fn handle(handler: extern "C" fn(c_int)) {
    // SAFETY: zeroed is an empty action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    // SAFETY: the handler has the signature that the flags promise.
    let set = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    assert_eq!(set, 0);
}

/// With any argument: reloads the library.
fn main() {
    tracemalloc::start(25).expect("installed");
    let program = std::env::current_exe().expect("a program has a file");
    let path = program.with_file_name("libtraced.so");
    if std::env::args().len() > 1 {
        reloads_leave_nothing(&path);
    } else {
        both_tracers_are_right(&path);
    }
    println!("right");
}

/// The library's tracer records its threads, whatever they do first there, and the program's tracer
/// records its own.
fn both_tracers_are_right(path: &Path) {
    const THREADS: usize = 8;
    let library = OnceLock::new();
    let barrier = Barrier::new(THREADS + 1);
    let mut held: Vec<usize> = Vec::new();
    thread::scope(|scope| {
        // Threads that are older than the library, and have none of its memory yet.
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let (barrier, library) = (&barrier, &library);
                scope.spawn(move || {
                    barrier.wait();
                    barrier.wait();
                    let library: &Library = library.get().expect("loaded");
                    if n % 2 == 0 {
                        // The first that this thread does in the library.
                        // SAFETY: the signal is handled.
                        unsafe { libc::raise(libc::SIGUSR1) };
                    }
                    library.allocate_and_free(1000);
                    (library.allocate)().expose_provenance()
                })
            })
            .collect();
        barrier.wait();
        let loaded = Library::open(path);
        handle(loaded.on_signal);
        assert_eq!((loaded.start)(), 1);
        assert!(library.set(loaded).is_ok());
        barrier.wait();
        held.extend(
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic")),
        );
    });
    let library = *library.get().expect("loaded");
    for n in 0..4 * THREADS {
        let block = thread::spawn(move || {
            if n % 2 == 0 {
                // SAFETY: the signal is handled.
                unsafe { libc::raise(libc::SIGUSR1) };
            }
            (library.allocate)().expose_provenance()
        });
        held.push(block.join().expect("no panic"));
    }
    assert_eq!((library.handled)(), THREADS / 2 + 2 * THREADS);
    (library.work)();
    assert_eq!((library.audit)(held.len()), 1);
    works_in_a_child(&library, held.len());
    own_audit_passes();
    for block in held {
        // SAFETY: of the library, and given back once.
        unsafe { (library.free)(ptr::with_exposed_provenance_mut(block)) };
    }
    assert_eq!((library.audit)(0), 1);
    // SAFETY: nothing of the library is used any more; signals are not sent any more.
    unsafe { libc::dlclose(library.handle) };
    own_audit_passes();
    // What the library had registered for forks is not called where it is no longer.
    // SAFETY: the child ends at once.
    let process = unsafe { libc::fork() };
    if process == 0 {
        own_audit_passes();
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    wait_for(process);
}
