//! Who is in a scope.

use std::hint::black_box;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use super::part::{self, Entered};
use super::total::{Shared, Total};
use super::usage::Usage;
use crate::engine::{self, TRACKER};
use crate::error::{Error, ErrorKind};

/// A section that counts what its threads allocate and free, until it is dropped.
///
/// The thread that opens it is in it. Other threads, tasks and futures are in it where the program says
/// so: [`Scope::enter_in`], [`ScopeHandle::enter_in`] and [`InScope`](super::InScope). Scopes nest; an outer
/// one counts what happens in an inner one.
///
/// A scope works whether tracing is on or off, starts or stops meanwhile, and counts every event of its
/// threads also in a session that samples. Until a program opens its first scope an allocation costs
/// nothing more; afterwards it asks a thread-local variable whether its thread is in one.
///
/// # Misuse
/// Scopes may be dropped in any order. One that is leaked goes on counting until its thread ends, and
/// disturbs no other. A thread that ends leaves its scopes. After a `fork` the child's thread is in the
/// scopes that its parent's was in, and counts for itself. In a signal handler a scope may be open, but
/// none may be opened.
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
        prepare()?;
        let total = Shared::new();
        if part::begin(&total) == Entered::Not {
            return Err(Error::new(
                ErrorKind::Busy,
                "this thread cannot open a scope now: it is opening another one, or it ends",
            ));
        }
        Ok(Self {
            handle: ScopeHandle { total },
            thread: PhantomData,
        })
    }

    /// What happened so far: on the thread that asks, and in all stays of other threads that have ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.handle.usage()
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
    }
}

impl ScopeHandle {
    /// Runs `task` with the calling thread in the scope. Where it is in it already nothing counts twice.
    pub fn enter_in<T>(&self, task: impl FnOnce() -> T) -> T {
        let _stay = self.enter();
        task()
    }

    pub(super) fn enter(&self) -> Stay<'_> {
        Stay {
            total: &self.total,
            entered: part::begin(&self.total),
            thread: PhantomData,
        }
    }

    /// As [`Scope::usage`].
    #[must_use]
    pub fn usage(&self) -> Usage {
        let _inside = engine::Guard::enter();
        Usage::of(&self.total.sums(part::so_far(&self.total)))
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
    let scope = open_or_panic(Location::caller());
    let result = black_box(task());
    (result, scope.close())
}

/// A scope for a caller that has no use for an error.
pub(super) fn open_or_panic(caller: &Location<'_>) -> Scope {
    Scope::open().unwrap_or_else(|error| panic!("cannot measure at {caller}: {error}"))
}
