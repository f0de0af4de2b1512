//! The snapshot of a panic.
//!
//! A panic hook must not panic, or the standard library aborts the process. It may run on a small stack,
//! and while the thread holds any lock. So a thread of its own does the work, and the hook waits for it,
//! for a limited time. What fails in that thread is an error to report.

use std::cell::Cell;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::pattern::Pattern;
use super::{report, save_to};
use crate::engine::Guard;
use crate::error::Error;
use crate::sections::Busy;

/// How long a panic is held up at most. A large program's first snapshot takes some seconds, and more
/// on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(1);

/// Saves a snapshot of the first panic as the file `path`, in which `%p` stands for the number of the
/// process and `%%` for a percent sign.
///
/// Adds to the panic hook, for panics of any thread. The earlier hook runs first, so the panic's message
/// is never lost. Then the snapshot is saved as [`Snapshot::dump`] does it, before the panic frees
/// anything, and with `panic = "abort"` before the process ends. Later panics, caught or not, save
/// nothing: they are mostly consequences of the first. A thread that panics while the snapshot is being
/// saved waits for it, so that it does not end the process too early.
///
/// While tracing is off a panic writes nothing and does not count. The child of a fork writes a
/// snapshot of its own first panic if `%p` gives it a file of its own, and leaves its parent's alone.
///
/// If no snapshot can be saved, one line on standard error says so, and the panic continues as usual. That
/// happens if the file cannot be written, if the thread is inside the tracer (an inner allocator that
/// panics), if no thread can be started, and if the snapshot is not complete after two minutes, for
/// instance because the panicking thread holds a lock that is needed for it.
///
/// Each call adds another file. Call it while no other thread sets a panic hook: the standard library
/// cannot add to one in a single step.
///
/// [`Snapshot::dump`]: crate::Snapshot::dump
///
/// # Panics
/// In a thread that is panicking, as [`std::panic::set_hook`] does.
///
/// ```no_run
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// fn main() -> Result<(), tracemalloc::Error> {
///     tracemalloc::start(25)?;
///     tracemalloc::dump_on_panic("panic-%p.tmsnap.json.gz");
///     // The program itself.
///     Ok(())
/// }
/// ```
pub fn dump_on_panic(path: impl AsRef<Path>) {
    let first = FirstPanic::new(path.as_ref());
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        previous(panic);
        first.dump();
    }));
}

/// One file for the first panic of a process.
struct FirstPanic {
    pattern: Pattern,
    /// The processes that have begun and ended to write, 0 for none. Numbers and no lock, so that
    /// the child of a fork finds neither itself nor anything to wait for.
    begun: AtomicU32,
    ended: AtomicU32,
}

thread_local! {
    /// This thread writes the snapshot of another one's panic.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

impl FirstPanic {
    fn new(path: &Path) -> Self {
        Self {
            pattern: Pattern::new(path.as_os_str().to_owned()),
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// In a panic hook: writes the file, or waits until it is written.
    fn dump(&self) {
        // A panic of the work itself ends that thread, which says enough.
        let writes = WRITES.try_with(Cell::get).unwrap_or(true);
        let Some(path) = self.pattern.path() else {
            return;
        };
        if writes || !crate::is_tracing() {
            return;
        }
        // A thread inside the tracer may hold what the work needs: it neither begins nor waits. For
        // the others this keeps the memory of the thread below out of the snapshot.
        let Some(guard) = Guard::enter() else {
            return report("on panic", &Error::from(Busy).at(&path));
        };
        let me = process::id();
        if self.begun.swap(me, Ordering::AcqRel) == me {
            return self.wait(me);
        }
        let outcome = save(&path);
        // First of all: another thread may wait that holds the lock of standard error.
        self.ended.store(me, Ordering::Release);
        drop(guard);
        if let Err(error) = outcome {
            report("on panic", &error.at(&path));
        }
    }

    fn wait(&self, me: u32) {
        let end = Instant::now() + LIMIT;
        while self.ended.load(Ordering::Acquire) != me && Instant::now() < end {
            thread::sleep(PAUSE);
        }
    }
}

/// Takes and saves a snapshot.
fn save(path: &Path) -> Result<(), Error> {
    let path: PathBuf = path.to_owned();
    in_another_thread(LIMIT, move || {
        let _ = WRITES.try_with(|writes| writes.set(true));
        save_to(&path)
    })
}

/// Does `work` in another thread, which is left alone if it takes longer than `limit`.
fn in_another_thread(
    limit: Duration,
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("tracemalloc".to_owned())
        .spawn(move || {
            let _ = sender.send(work());
        })
        .map_err(|error| Error::io("cannot start a thread", error))?;
    receiver
        .recv_timeout(limit)
        .unwrap_or_else(|error| Err(unfinished(error, limit)))
}

fn unfinished(error: RecvTimeoutError, limit: Duration) -> Error {
    let why = match error {
        RecvTimeoutError::Timeout => {
            let message = format!("not finished after {limit:?}");
            io::Error::new(io::ErrorKind::TimedOut, message)
        }
        RecvTimeoutError::Disconnected => io::Error::other("the snapshot panicked"),
    };
    Error::io("cannot write", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn work_that_does_not_end_is_left_alone() {
        let (go_on, wait) = mpsc::channel::<()>();
        let limit = Duration::from_millis(1);
        let error = in_another_thread(limit, move || {
            let _ = wait.recv();
            Ok(())
        });
        let error = error.expect_err("the work waits");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.to_string(), "cannot write: not finished after 1ms");
        drop(go_on);
    }
}
