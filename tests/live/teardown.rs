//! The ends of things: threads, the process, a fork.

use std::cell::RefCell;
use std::hint::black_box;
use std::thread;

#[cfg(unix)]
use crate::busy::{among_busy_threads, grow_a_block};
use crate::cases;
#[cfg(all(feature = "file", unix))]
use crate::folder::Folder;

cases![
    allocations_in_thread_local_destructors_are_traced,
    allocations_at_exit_are_harmless,
    threads_still_running_at_exit_are_harmless,
    #[cfg(unix)]
    a_signal_handler_on_a_small_stack_of_its_own_may_allocate,
    #[cfg(unix)]
    a_forked_child_traces_on,
    #[cfg(unix)]
    a_forked_child_is_in_its_parents_scopes,
    #[cfg(unix)]
    a_signal_handler_counts_for_the_scope_that_it_interrupts,
    #[cfg(unix)]
    a_fork_among_busy_threads_leaves_a_working_child,
    #[cfg(all(feature = "file", unix))]
    a_forked_child_leaves_its_parents_file_alone,
];

/// Allocates, grows and frees when the thread ends, and starts the next one's life so late that it
/// ends later still.
struct Last(&'static str);

impl Drop for Last {
    fn drop(&mut self) {
        let mut block = black_box(vec![1_u8; 100]);
        block.reserve_exact(1000);
        assert!(
            tracemalloc::get_object_traceback(&block).is_some(),
            "in the destructor of {}",
            self.0
        );
        drop(block);
        // Refused if that one has been destroyed already, and then the point is made.
        let _ = LATE.try_with(|late| late.borrow_mut().extend([1, 2, 3]));
    }
}

thread_local! {
    static FIRST: RefCell<Option<Last>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<Last>> = const { RefCell::new(None) };
    static LATE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn allocations_in_thread_local_destructors_are_traced() {
    tracemalloc::start(25).unwrap();
    let before = tracemalloc::get_traced_memory().current;
    for _ in 0..50 {
        let thread = thread::spawn(|| {
            FIRST.set(Some(Last("first")));
            SECOND.set(Some(Last("second")));
        });
        thread.join().expect("no destructor panicked");
    }
    let after = tracemalloc::get_traced_memory().current;
    assert!(after < before + 10_000, "{before} {after}");
}

extern "C" fn at_exit() {
    let block = black_box(vec![1_u8; 5000]);
    assert!(tracemalloc::is_tracing());
    assert!(tracemalloc::get_object_traceback(&block).is_some());
    tracemalloc::take_snapshot().expect("tracing");
    tracemalloc::stop();
    drop(black_box(vec![1_u8; 5000]));
}

fn allocations_at_exit_are_harmless() {
    // SAFETY: the function may be called at any time.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
    tracemalloc::start(25).unwrap();
    FIRST.set(Some(Last("main thread")));
}

fn threads_still_running_at_exit_are_harmless() {
    tracemalloc::start(25).unwrap();
    for _ in 0..8 {
        thread::spawn(|| {
            loop {
                drop(black_box(
                    (0..100).map(|n| vec![1_u8; n]).collect::<Vec<_>>(),
                ));
            }
        });
    }
    thread::sleep(std::time::Duration::from_millis(50));
    std::process::exit(0);
}

#[cfg(unix)]
static IN_HANDLER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[cfg(unix)]
extern "C" fn allocate_in_handler(_: libc::c_int) {
    let block = black_box(Box::new([1_u8; 600]));
    IN_HANDLER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    std::mem::forget(block);
}

/// On as much as the system recommends for such a stack, 8 KiB on x86_64. A walk must not need more,
/// nor leave it: the page below it may not be touched. Seen to fail in a build without optimisation
/// that walked on the handler's stack.
#[cfg(unix)]
fn a_signal_handler_on_a_small_stack_of_its_own_may_allocate() {
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
    // From the allocator, where it is neither on the main stack nor near a thread's own.
    let mut memory = vec![0_u8; libc::SIGSTKSZ + 2 * page];
    let guard = memory.as_mut_ptr().align_offset(page);
    let guard = memory[guard..].as_mut_ptr();
    let protect = |protection| {
        // SAFETY: a page of the memory, in which nothing else is.
        assert_eq!(unsafe { libc::mprotect(guard.cast(), page, protection) }, 0);
    };
    protect(libc::PROT_NONE);
    let stack = libc::stack_t {
        ss_sp: guard.wrapping_add(page).cast(),
        ss_flags: 0,
        ss_size: libc::SIGSTKSZ,
    };
    // SAFETY: the memory outlives the handler's last run.
    let set = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    // SAFETY: zeroed is an empty action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = allocate_in_handler as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the handler has the signature that the flags promise.
    let set = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    tracemalloc::start(25).unwrap();
    for _ in 0..100 {
        // SAFETY: the handler is set.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
    }
    assert_eq!(IN_HANDLER.load(std::sync::atomic::Ordering::Relaxed), 100);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let blocks: Vec<_> = snapshot
        .traces()
        .unwrap()
        .filter(|trace| trace.size == 600)
        .collect();
    assert_eq!(blocks.len(), 100);
    let functions = || {
        blocks[0]
            .traceback
            .iter()
            .filter_map(|frame| frame.function())
    };
    assert!(functions().any(|function| function.contains("allocate_in_handler")));
    protect(libc::PROT_READ | libc::PROT_WRITE);
    drop(memory);
}

/// Runs `child` in a forked process and checks that it succeeded.
#[cfg(unix)]
fn fork(child: impl FnOnce() -> bool) {
    // SAFETY: the child uses nothing that a fork leaves unusable: that is what is tested. It ends
    // without cleaning up.
    match unsafe { libc::fork() } {
        0 => {
            let code = if child() { 0 } else { 1 };
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
        process => {
            assert!(process > 0);
            let mut status = 0;
            // SAFETY: waits for the child just made.
            let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
            assert_eq!(ended, process);
            assert_eq!(status, 0, "the child failed");
        }
    }
}

#[cfg(unix)]
fn a_forked_child_is_in_its_parents_scopes() {
    let scope = tracemalloc::Scope::recording().unwrap();
    let kept = black_box(Vec::<u8>::with_capacity(100));
    fork(|| {
        drop(black_box(Vec::<u8>::with_capacity(500)));
        let usage = scope.usage();
        let live = scope.snapshot().map(|snapshot| snapshot.total_size());
        (usage.allocations, usage.peak, live.ok()) == (2, 600, Some(100))
            && tracemalloc::measure(|| drop(black_box(Box::new(1))))
                .1
                .frees
                == 1
    });
    let usage = scope.close();
    assert_eq!((usage.allocations, usage.peak), (1, 100));
    drop(kept);
}

/// A scope may be open in a handler. Its opening may not be interrupted by that of another one: see
/// `h:a_scope_that_is_opened_inside_of_another_opening_is_an_error`.
#[cfg(unix)]
fn a_signal_handler_counts_for_the_scope_that_it_interrupts() {
    extern "C" fn handler(_: libc::c_int) {
        drop(black_box(Vec::<u8>::with_capacity(300)));
    }
    let handler: extern "C" fn(libc::c_int) = handler;
    // SAFETY: the signal is raised where an allocation does no harm.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    let raise = || {
        let held = black_box(Vec::<u8>::with_capacity(100));
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGUSR1) };
        drop(held);
    };
    let ((), usage) = tracemalloc::measure(raise);
    assert_eq!((usage.allocations, usage.frees, usage.peak), (2, 2, 400));
    tracemalloc::Budget::new().no_leak().check(raise);
}

#[cfg(unix)]
fn a_forked_child_traces_on() {
    tracemalloc::start(25).unwrap();
    let held = black_box(vec![1_u8; 777]);
    fork(|| {
        let more = black_box(vec![1_u8; 1000]);
        let known = tracemalloc::get_object_traceback(&held).is_some();
        let traced = tracemalloc::get_object_traceback(&more).is_some();
        let sizes: Vec<u64> = tracemalloc::take_snapshot()
            .unwrap()
            .traces()
            .unwrap()
            .map(|trace| trace.size)
            .collect();
        tracemalloc::is_tracing()
            && known
            && traced
            && sizes.contains(&777)
            && sizes.contains(&1000)
    });
    assert!(tracemalloc::get_object_traceback(&held).is_some());
}

#[cfg(unix)]
fn a_fork_among_busy_threads_leaves_a_working_child() {
    tracemalloc::start(25).unwrap();
    // Names are known before the forks: looking them up takes locks that another thread might hold.
    tracemalloc::take_snapshot().unwrap();
    let forks = || {
        for _ in 0..200 {
            fork(|| {
                let before = tracemalloc::get_traced_memory().current;
                let block = black_box(vec![1_u8; 100_000]);
                let traced = tracemalloc::get_traced_memory().current == before + 100_000;
                drop(block);
                tracemalloc::stop();
                tracemalloc::start(3).unwrap();
                let block = black_box(vec![1_u8; 10]);
                traced && tracemalloc::get_traced_memory().current == block.capacity() as u64
            });
        }
    };
    among_busy_threads(3, |_| grow_a_block, forks);
}

/// The child of a fork exits before its parent. The process number in a file says who wrote it. Failed when
/// each process wrote to the path that was given at the start.
#[cfg(all(feature = "file", unix))]
fn a_forked_child_leaves_its_parents_file_alone() {
    const CHILD: &str = "TRACEMALLOC_TEST_FORKS";
    if std::env::var_os(CHILD).is_some() {
        tracemalloc::start_from_env().unwrap();
        // SAFETY: the process has one thread.
        let child = unsafe { libc::fork() };
        if child == 0 {
            std::process::exit(0);
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        // SAFETY: ends the process at once, without what would be done at its exit.
        unsafe { libc::_exit(0) };
    }
    let folder = Folder::new("forks");
    let written = |out: &str| {
        let output = crate::runner::command(&std::env::current_exe().unwrap())
            .env(CHILD, "1")
            .env("TRACEMALLOC", "25")
            .env("TRACEMALLOC_OUT", folder.0.join(out))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        folder.files().len()
    };
    assert_eq!(written("one.gz"), 0);
    assert_eq!(written("each-%p.gz"), 1);
}
