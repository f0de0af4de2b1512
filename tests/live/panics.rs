//! The snapshot of a panic. What panics is a child of the case, so that its files, its last words
//! and how it ended can be looked at.

use std::cell::Cell;
use std::env;
use std::hint::black_box;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::child::{self, Ended};
use crate::folder::{Folder, files, holds};
use crate::{cases, hostile, runner};

cases![
    a_panic_on_the_main_thread_leaves_a_snapshot,
    the_first_panic_alone_leaves_a_snapshot,
    threads_that_panic_at_once_wait_for_the_snapshot,
    a_panic_inside_the_tracer_is_told,
    a_panic_of_the_programs_own_during_the_work_is_left_alone,
    a_panic_in_a_writer_of_the_programs_own_leaves_a_snapshot,
    // Elsewhere names are read in other ways, and stacks are never that small.
    #[cfg(target_os = "linux")]
    a_lock_that_a_panic_left_holds_up_no_snapshot,
    #[cfg(target_os = "linux")]
    a_panic_on_a_small_stack_leaves_a_snapshot,
    a_panic_that_cannot_unwind_leaves_a_snapshot,
    a_panic_while_tracing_is_off_leaves_nothing,
    a_snapshot_that_cannot_be_saved_is_told,
    #[cfg(unix)]
    a_forked_child_that_panics_leaves_its_parents_file_alone,
];

const CHILD: &str = "TRACEMALLOC_TEST_PANICS";
const LIMIT: Duration = Duration::from_secs(200);

/// The folder to write to, in the child.
fn in_child() -> Option<PathBuf> {
    env::var_os(CHILD).map(PathBuf::from)
}

/// Runs this case in a child that writes to `folder`.
fn run(folder: &Folder) -> Ended {
    let mut command = runner::command(&env::current_exe().unwrap());
    command.env(CHILD, &folder.0);
    child::run(command, LIMIT).unwrap()
}

/// Checks that the child has ended with `code`; `None`: by a signal.
#[track_caller]
fn ended_with(ended: &Ended, code: Option<i32>) {
    let status = ended.status.expect(&ended.text);
    assert_eq!(status.code(), code, "{}", ended.text);
}

/// Panics with a block that unwinding frees.
fn panic_with_block(message: &str) {
    let _block = black_box(vec![1_u8; 54_321]);
    panic!("{message}");
}

#[track_caller]
fn assert_one_snapshot(folder: &Folder) {
    let snapshots = folder.snapshots();
    assert_eq!(snapshots.len(), 1, "{:?}", folder.files());
    assert!(holds(&snapshots[0], 54_321, "panics.rs"));
}

fn a_panic_on_the_main_thread_leaves_a_snapshot() {
    if let Some(folder) = in_child() {
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("a%%-%p.gz"));
        return panic_with_block("on purpose");
    }
    let folder = Folder::new("panic-main");
    let ended = run(&folder);
    ended_with(&ended, Some(101));
    assert_eq!(
        ended.text.matches("on purpose").count(),
        1,
        "{}",
        ended.text
    );
    assert!(!ended.text.contains("tracemalloc:"), "{}", ended.text);
    assert_one_snapshot(&folder);
    let process = folder.snapshots()[0].recording().process_id.unwrap();
    assert!(folder.files()[0].ends_with(format!("a%-{process}.gz")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = folder.files()[0].metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

fn the_first_panic_alone_leaves_a_snapshot() {
    let folder = Folder::new("panic-first");
    let path = folder.0.join("first.gz");
    tracemalloc::start(25).unwrap();
    tracemalloc::dump_on_panic(&path);
    thread::spawn(|| panic_with_block("first"))
        .join()
        .unwrap_err();
    assert_one_snapshot(&folder);
    std::fs::remove_file(&path).unwrap();
    thread::spawn(|| panic_with_block("second"))
        .join()
        .unwrap_err();
    assert_eq!(folder.files().len(), 0);
}

/// Both threads are in the hook before one of them begins. Neither may leave it before the file is
/// there: what comes after a panic may end the process.
fn threads_that_panic_at_once_wait_for_the_snapshot() {
    static IN_HOOK: Barrier = Barrier::new(4);
    let folder = Folder::new("panic-both");
    let path = folder.0.join("both.gz");
    tracemalloc::start(25).unwrap();
    // Makes the work take some time.
    let _held: Vec<Vec<u8>> = (0..200_000).map(|n| vec![1; n % 50 + 1]).collect();
    panic::set_hook(Box::new(|_| {
        IN_HOOK.wait();
    }));
    tracemalloc::dump_on_panic(&path);
    let is_there = thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            scope.spawn(|| {
                catch_unwind(|| panic_with_block("on purpose")).unwrap_err();
                path.exists()
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    // The hook waits for four threads.
    drop(panic::take_hook());
    assert_eq!(is_there, [true; 4], "when the panics went on");
    assert_one_snapshot(&folder);
}

/// The inner allocator panics, and catches its panic again, in the middle of an allocation: this
/// thread cannot be asked for a snapshot. A later panic can.
fn a_panic_inside_the_tracer_is_told() {
    fn panic_inside() {
        catch_unwind(|| panic!("inside")).unwrap_err();
    }
    if let Some(folder) = in_child() {
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("a.gz"));
        hostile::once(panic_inside);
        drop(black_box(vec![1_u8; 100]));
        assert!(files(&folder).is_empty());
        return panic_with_block("outside");
    }
    let folder = Folder::new("panic-inside");
    let ended = run(&folder);
    ended_with(&ended, Some(101));
    let path = folder.0.join("a.gz");
    let told = format!(
        "tracemalloc: snapshot on panic: {}: the tracer was interrupted",
        path.display()
    );
    assert_eq!(ended.text.matches(&told).count(), 1, "{}", ended.text);
    assert_one_snapshot(&folder);
}

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u32> = const { Cell::new(0) };
}

/// The inner allocator panics once more, in the thread that writes the snapshot of the first panic.
/// Once reported a thread inside the tracer, before that thread knew its purpose.
fn a_panic_of_the_programs_own_during_the_work_is_left_alone() {
    fn panic_elsewhere() {
        // A new thread's first allocations are the standard library's.
        if PANICKED.get() || ALLOCATIONS.replace(ALLOCATIONS.get() + 1) < 20 {
            return hostile::once(panic_elsewhere);
        }
        catch_unwind(|| panic!("during the work")).unwrap_err();
    }
    if let Some(folder) = in_child() {
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("a.gz"));
        PANICKED.set(true);
        hostile::once(panic_elsewhere);
        return panic_with_block("on purpose");
    }
    let folder = Folder::new("panic-during");
    let ended = run(&folder);
    ended_with(&ended, Some(101));
    assert!(ended.text.contains("during the work"), "{}", ended.text);
    assert!(!ended.text.contains("tracemalloc:"), "{}", ended.text);
    assert_one_snapshot(&folder);
}

fn a_panic_in_a_writer_of_the_programs_own_leaves_a_snapshot() {
    /// Panics once: the encoder writes again while it is dropped.
    struct Panics(bool);
    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.0) {
                panic_with_block("in a writer");
            }
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = Folder::new("panic-writer");
    tracemalloc::start(25).unwrap();
    tracemalloc::dump_on_panic(folder.0.join("a.gz"));
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let written = catch_unwind(AssertUnwindSafe(|| snapshot.write_to(&mut Panics(true))));
    written.unwrap_err();
    assert_one_snapshot(&folder);
}

/// Panics while it has the lock of the crate `backtrace`, which is of no use afterwards.
#[cfg(target_os = "linux")]
fn panic_with_lock() {
    // What is looked up is taken for a return address.
    let address = panic_with_lock as fn() as usize + 1;
    let caught = catch_unwind(|| {
        let address = std::ptr::without_provenance_mut(address);
        backtrace::resolve(address, |_| panic!("with a lock"));
    });
    caught.unwrap_err();
}

/// Names are read without that lock.
#[cfg(target_os = "linux")]
fn a_lock_that_a_panic_left_holds_up_no_snapshot() {
    if let Some(folder) = in_child() {
        panic_with_lock();
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("a.gz"));
        return panic_with_block("on purpose");
    }
    let folder = Folder::new("panic-work");
    ended_with(&run(&folder), Some(101));
    assert_one_snapshot(&folder);
}

/// Reading debug information takes more than this stack has. Seen to end by a signal while the
/// panicking thread did the work itself.
#[cfg(target_os = "linux")]
fn a_panic_on_a_small_stack_leaves_a_snapshot() {
    if let Some(folder) = in_child() {
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("a.gz"));
        let thread = thread::Builder::new().stack_size(16 << 10);
        let thread = thread.spawn(|| panic_with_block("on purpose")).unwrap();
        thread.join().unwrap_err();
        return;
    }
    let folder = Folder::new("panic-stack");
    ended_with(&run(&folder), Some(0));
    assert_one_snapshot(&folder);
}

/// Such a panic ends the process by a signal; the hook runs before that, and again for the attempt
/// to unwind.
fn a_panic_that_cannot_unwind_leaves_a_snapshot() {
    extern "C" fn called_by_c() {
        panic_with_block("on purpose");
    }
    if let Some(folder) = in_child() {
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("a.gz"));
        return called_by_c();
    }
    let folder = Folder::new("panic-abort");
    let ended = run(&folder);
    if cfg!(unix) {
        ended_with(&ended, None);
    }
    assert!(ended.text.contains("on purpose"), "{}", ended.text);
    assert_one_snapshot(&folder);
}

fn a_panic_while_tracing_is_off_leaves_nothing() {
    let folder = Folder::new("panic-off");
    tracemalloc::dump_on_panic(folder.0.join("a.gz"));
    catch_unwind(|| panic_with_block("untraced")).unwrap_err();
    assert_eq!(folder.files(), [] as [&Path; 0]);
    tracemalloc::start(25).unwrap();
    catch_unwind(|| panic_with_block("traced")).unwrap_err();
    assert_one_snapshot(&folder);
}

fn a_snapshot_that_cannot_be_saved_is_told() {
    if let Some(folder) = in_child() {
        tracemalloc::start(25).unwrap();
        tracemalloc::dump_on_panic(folder.join("no/such/folder.gz"));
        return panic_with_block("on purpose");
    }
    let folder = Folder::new("panic-nowhere");
    let ended = run(&folder);
    ended_with(&ended, Some(101));
    let path = folder.0.join("no/such/folder.gz");
    let told = format!("tracemalloc: snapshot on panic: {}: ", path.display());
    let lines = ended.text.lines().filter(|line| line.starts_with(&told));
    assert_eq!(lines.count(), 1, "{}", ended.text);
}

/// The parent has panicked before, and the child has its numbers.
#[cfg(unix)]
fn a_forked_child_that_panics_leaves_its_parents_file_alone() {
    #[expect(unsafe_code, reason = "fork")]
    fn panic_in_fork() -> u32 {
        // SAFETY: the child uses nothing that a fork leaves unusable, and ends without cleaning up.
        match unsafe { libc::fork() } {
            0 => {
                let caught = catch_unwind(|| panic_with_block("in a child"));
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(caught.is_ok())) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child just made.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0);
                child.cast_unsigned()
            }
        }
    }
    let folder = Folder::new("panic-fork");
    tracemalloc::start(25).unwrap();
    tracemalloc::dump_on_panic(folder.0.join("one.gz"));
    panic_in_fork();
    assert_eq!(folder.files(), [] as [&Path; 0]);
    catch_unwind(|| panic_with_block("in the parent")).unwrap_err();
    let processes = || -> Vec<u32> {
        let snapshots = folder.snapshots();
        let numbers = snapshots.iter().map(|one| one.recording().process_id);
        numbers.map(Option::unwrap).collect()
    };
    assert_eq!(processes(), [std::process::id()]);
    panic_in_fork();
    assert_eq!(processes(), [std::process::id()]);

    tracemalloc::dump_on_panic(folder.0.join("z-%p.gz"));
    catch_unwind(|| panic_with_block("in the parent")).unwrap_err();
    let child = panic_in_fork();
    let mut expected = [std::process::id(), child];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(processes()[1..], expected);
}
