//! Who is in a scope.

use std::hint::black_box;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use super::part::{self, By, Entered};
use super::recording::Recording;
use super::total::{Shared, Total};
use super::usage::Usage;
use crate::engine::{self, TRACKER};
use crate::error::{Error, ErrorKind};
use crate::sections::Busy;
use crate::snapshot::Snapshot;

/// A section that counts what its threads allocate and free, until it is dropped.
///
/// The thread that opens it is in it. Other threads, tasks and futures are in it where the program says
/// so: [`Scope::enter_in`], [`ScopeHandle::enter_in`] and [`InScope`](super::InScope). Scopes nest; an outer
/// one counts what happens in an inner one.
///
/// A scope works whether tracing is on or off, and tracing may start or stop while it is open. It counts every
/// event of its threads, also in a session that samples. Until a program opens its first scope, scopes cost
/// nothing. Afterwards an allocation tests a thread-local variable to see whether its thread is in one.
///
/// # Misuse
/// - Scopes may be dropped in any order. A panic drops them as it unwinds.
/// - A leaked scope counts until its thread ends, and disturbs no other. A thread that ends leaves its scopes.
/// - When a scope is closed, a thread that is still inside does not count for the result. What it allocates
///   afterwards belongs to no later scope.
/// - After a `fork` the child's thread is in the scopes that its parent's was in, and counts for itself. A fork
///   waits until no other thread is in the middle of opening, entering or ending one.
/// - A signal handler may run in an open scope, but may not open, enter or close one. An event of the handler
///   that interrupts the counting of another event may not count.
/// - While thread-local values are destroyed no scope can be opened, and one that is entered counts nothing.
/// - What this crate allocates for an answer is not counted. To free the answer, such as a snapshot, is an
///   event like any other: drop it outside of the scope.
/// - A scope cannot go to another thread; its handle can:
///
/// ```compile_fail
/// let scope = tracemalloc::Scope::open().unwrap();
/// std::thread::spawn(move || drop(scope));
/// ```
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// let scope = tracemalloc::Scope::open()?;
/// let kept = vec![0_u8; 1000];
/// std::thread::scope(|threads| {
///     threads.spawn(|| scope.enter_in(|| drop(vec![0_u8; 500])));
/// });
/// let usage = scope.close();
/// assert!(usage.allocations >= 2 && usage.allocated >= 1500);
/// # drop(kept);
/// # Ok(())
/// # }
/// ```
#[must_use = "a scope ends when it is dropped"]
#[derive(Debug)]
pub struct Scope {
    handle: ScopeHandle,
    /// Who ends the recording is another one.
    is_detached: bool,
    /// Bound to the thread that is in it; others may look at it.
    thread: PhantomData<MutexGuard<'static, ()>>,
}

/// A [`Scope`] as other threads and tasks know it; a clone is the same scope. It may outlive the scope, and
/// then counts for nobody.
#[derive(Clone)]
pub struct ScopeHandle {
    total: Shared,
}

/// A thread's stay in a scope.
#[must_use = "the thread leaves when this is dropped"]
pub(super) struct Stay<'a> {
    total: &'a Arc<Total>,
    entered: Entered,
    thread: PhantomData<*mut ()>,
}

/// Whether an allocation was seen to come through the wrapper.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Has events ask for scopes, and proves that they do.
fn prepare() -> Result<(), Error> {
    // Nothing is read on the strength of it.
    if INSTALLED.load(Ordering::Relaxed) {
        return Ok(());
    }
    TRACKER.open_scopes();
    // Only the events of a thread that is in a scope ask for a probe.
    let is_installed = part::as_if_inside(|| engine::probe(|| black_box(Box::new(0_u8))));
    if !is_installed {
        return Err(Error::not_installed());
    }
    INSTALLED.store(true, Ordering::Relaxed);
    Ok(())
}

impl Scope {
    /// Begins to count the running thread's events.
    ///
    /// # Errors
    /// [`ErrorKind::NotInstalled`] if [`TraceAlloc`](crate::TraceAlloc) is not the program's global
    /// allocator, which a probe allocation shows; [`ErrorKind::Busy`] if the thread cannot count: in a
    /// signal handler that interrupted the opening of another scope, or after its thread-local values
    /// were destroyed.
    pub fn open() -> Result<Self, Error> {
        Self::open_with(|| Ok(None))
    }

    /// Begins to count the running thread's events, and to record the blocks that it allocates, so that
    /// [`snapshot`](Self::snapshot) can show them.
    ///
    /// They are recorded whether tracing is on or off. If it is off, threads outside of such scopes are not
    /// recorded, and [`is_tracing`](crate::is_tracing) stays false. A block belongs to the innermost recording
    /// scope that its thread was in, and to the recording scopes around it, whichever thread frees it. `realloc`
    /// moves it to the scope of the calling thread. Do not start, stop or clear tracing while the scope is open:
    /// asking for its blocks is then an error.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`ErrorKind::OutOfMemory`] if the tables cannot be made.
    pub fn recording() -> Result<Self, Error> {
        Self::open_with(|| {
            let guard = engine::Guard::enter().ok_or(Busy)?;
            let recording = Recording::begin(part::owner(), &guard)?;
            Ok(Some(Arc::new(recording)))
        })
    }

    fn open_with(
        recording: impl FnOnce() -> Result<Option<Arc<Recording>>, Error>,
    ) -> Result<Self, Error> {
        prepare()?;
        let total = Shared::new(recording()?);
        if part::begin(&total, By::Opening) == Entered::Not {
            return Err(Error::new(
                ErrorKind::Busy,
                "this thread cannot open a scope now: it is opening another one, or it ends",
            ));
        }
        Ok(Self {
            handle: ScopeHandle { total },
            is_detached: false,
            thread: PhantomData,
        })
    }

    /// What happened so far: on the thread that asks, and in all stays of other threads that have ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.handle.usage()
    }

    /// The blocks that threads in this scope allocated and that are still live, as a snapshot of the usual
    /// kind. If the scope began its own recording, the snapshot has
    /// [history](crate::Snapshot::has_history): its view [`View::Allocated`](crate::View::Allocated) shows
    /// every allocation of the scope.
    ///
    /// ```standalone_crate
    /// #[global_allocator]
    /// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
    /// use tracemalloc::{Scope, View};
    ///
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// let scope = Scope::recording()?;
    /// drop(vec![0_u8; 2000]);
    /// let kept = vec![0_u8; 1000];
    /// let snapshot = scope.snapshot()?;
    /// assert_eq!(snapshot.total_size(), 1000);
    /// assert_eq!(snapshot.view(View::Allocated)?.total_size(), 3000);
    /// # drop(kept);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotTracing`] if the scope does not record; [`ErrorKind::SessionChanged`] if tracing was
    /// started, stopped or cleared since the scope began; [`ErrorKind::OutOfMemory`] if a block could not be recorded;
    /// [`ErrorKind::Busy`] as [`take_snapshot`](crate::take_snapshot).
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.handle.owned(Recording::snapshot)
    }

    /// Takes the running thread out of the scope.
    pub(super) fn detach(mut self) -> Detached {
        self.is_detached = true;
        Detached(self.handle.clone())
    }

    /// Ends the scope. A thread that is still inside then does not count for the result.
    pub fn close(self) -> Usage {
        self.usage()
    }

    /// The scope, for threads and tasks that outlive the borrow.
    #[must_use]
    pub fn handle(&self) -> ScopeHandle {
        self.handle.clone()
    }

    /// Runs `task` with the calling thread in the scope: one line in a closure that another thread runs.
    /// Where the thread is in the scope already nothing counts twice.
    pub fn enter_in<T>(&self, task: impl FnOnce() -> T) -> T {
        self.handle.enter_in(task)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        part::end(&self.handle.total);
        if !self.is_detached {
            self.handle.end_recording();
        }
    }
}

/// A scope that no thread is in but those that enter it, until this is dropped.
pub(super) struct Detached(pub(super) ScopeHandle);

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.end_recording();
    }
}

impl ScopeHandle {
    /// Runs `task` with the calling thread in the scope. Where it is in it already nothing counts twice.
    pub fn enter_in<T>(&self, task: impl FnOnce() -> T) -> T {
        let _stay = self.enter();
        task()
    }

    /// Asks for the blocks of the scope. What the question allocates is nobody's.
    pub(super) fn owned<R>(
        &self,
        ask: impl FnOnce(&Recording, &engine::Guard) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let guard = engine::Guard::enter().ok_or(Busy)?;
        let recording = self.total.recording().ok_or_else(|| {
            Error::new(
                ErrorKind::NotTracing,
                "this scope does not record blocks: open it by Scope::recording",
            )
        })?;
        ask(&recording, &guard)
    }

    fn end_recording(&self) {
        let _inside = engine::Guard::enter();
        self.total.end_recording();
    }

    pub(super) fn enter(&self) -> Stay<'_> {
        Stay {
            total: &self.total,
            entered: part::begin(&self.total, By::Entering),
            thread: PhantomData,
        }
    }

    /// As [`Scope::usage`].
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.known_usage().unwrap_or_default()
    }

    /// `Err` in the child of a fork that has lost what the scope had counted.
    pub(super) fn known_usage(&self) -> Result<Usage, Busy> {
        let _inside = engine::Guard::enter();
        let sums = self.total.sums(part::so_far(&self.total))?;
        Ok(Usage::of(&sums))
    }
}

impl std::fmt::Debug for ScopeHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ScopeHandle").finish_non_exhaustive()
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        if self.entered == Entered::Now {
            part::end(self.total);
        }
    }
}

/// Runs `task` and says what it allocated, freed and held at most: a [`Scope`] around one call.
///
/// A result of `task` that holds memory counts as allocated and not freed. The compiler may not leave its
/// allocation out, as it may otherwise do where nobody reads what is allocated and freed.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let (sum, usage) = tracemalloc::measure(|| (0..10).collect::<Vec<u64>>().iter().sum::<u64>());
/// assert_eq!((sum, usage.allocations, usage.peak, usage.net_bytes()), (45, 1, 80, 0));
/// # }
/// ```
///
/// # Panics
/// If the thread cannot count, so that nobody takes zeros for an answer: [`Scope::open`] says when.
#[track_caller]
pub fn measure<T>(task: impl FnOnce() -> T) -> (T, Usage) {
    let scope = open_or_panic(Scope::open(), Location::caller());
    let result = black_box(task());
    (result, scope.close())
}

/// A scope for a caller that has no use for an error.
pub(super) fn open_or_panic(scope: Result<Scope, Error>, caller: &Location<'_>) -> Scope {
    scope.unwrap_or_else(|error| panic!("cannot measure at {caller}: {error}"))
}
