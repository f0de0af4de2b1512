//! The pieces of work that a fork must not find half done: changing the table of regions, naming addresses,
//! opening or ending a scope that records, and entering or leaving any scope.
//!
//! The engine has no locks and needs none of this. A fork waits until no other thread is inside a section, so
//! that the child can enter it. It does not wait where it could wait for itself: if a thread forks inside the
//! tracer, for instance in a signal handler, the fork happens immediately. A child that inherits a section
//! entered by another thread cannot enter it any more. It gets an error instead of waiting forever.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Guard, this_thread};

/// A piece of work that one thread does at a time, inside the tracer.
pub(crate) struct Section {
    lock: Mutex<()>,
    /// The [thread](this_thread) inside; 0 for none.
    inside: AtomicUsize,
    /// This process was forked while a thread was inside that the child lacks.
    lost: AtomicBool,
}

/// This thread is already inside the tracer, or a thread that vanished in a fork is inside forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// The table of regions.
pub(crate) static REGIONS: Section = Section::new();
/// Who is in which scope: each scope belongs to one of these.
pub(crate) static STAYS: [Section; 8] = [const { Section::new() }; 8];
/// Which scopes record.
pub(crate) static SCOPES: Section = Section::new();
/// Names of addresses.
pub(crate) static NAMES: Section = Section::new();

/// Proof of being inside. Leaving is dropping it.
pub(crate) struct Entered<'a> {
    section: &'a Section,
    _lock: MutexGuard<'a, ()>,
}

impl Section {
    const fn new() -> Self {
        Self {
            lock: Mutex::new(()),
            inside: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// Waits until no other thread is inside. The guard proves that this one is not: a thread inside a section
    /// is inside the tracer, where no second guard can be entered.
    pub(crate) fn enter(&self, _guard: &Guard) -> Result<Entered<'_>, Busy> {
        self.enter_inside()
    }

    /// [`enter`](Self::enter) for a thread whose caller holds the guard.
    pub(crate) fn enter_inside(&self) -> Result<Entered<'_>, Busy> {
        at_fork::prepare();
        if self.lost.load(Ordering::Relaxed) {
            return Err(Busy);
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.inside.store(this_thread(), Ordering::Relaxed);
        Ok(Entered {
            section: self,
            _lock: lock,
        })
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.section.inside.store(0, Ordering::Relaxed);
    }
}

pub(crate) use at_fork::prepare;

#[cfg(all(unix, not(miri)))]
mod at_fork {
    use std::cell::Cell;
    use std::mem::ManuallyDrop;
    use std::time::Duration;

    use super::*;

    /// A fork waits ten seconds at most: first names of a large program take some.
    const TRIES: u32 = 10_000;
    const PAUSE: Duration = Duration::from_millis(1);

    type Held = ManuallyDrop<MutexGuard<'static, ()>>;

    thread_local! {
        /// What this thread holds over the fork that is under way.
        static HELD: Cell<[Option<Held>; COUNT]> = const { Cell::new([const { None }; COUNT]) };
        /// How many handlers of this kind have begun: two threads may have registered them.
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }

    static REGISTERED: AtomicBool = AtomicBool::new(false);

    const COUNT: usize = STAYS.len() + 3;

    /// All of them. A thread that is in one may enter those after it.
    fn sections() -> impl Iterator<Item = &'static Section> {
        [&SCOPES, &NAMES, &REGIONS].into_iter().chain(&STAYS)
    }

    /// Has forks respect the sections from now on. To be called before one is entered, and not
    /// before the program has allocated: allocators register handlers of their own at first, and
    /// the last ones registered run first.
    pub(crate) fn prepare() {
        if !REGISTERED.load(Ordering::Acquire) {
            #[expect(unsafe_code, reason = "a C function")]
            // SAFETY: the handlers are functions of the program that may be called at any time.
            let _ = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
            REGISTERED.store(true, Ordering::Release);
        }
    }

    impl Section {
        /// Keeps every other thread out, unless one stays inside.
        fn close(&'static self, tries: u32) -> Option<Held> {
            let own = self.inside.load(Ordering::Relaxed) == this_thread();
            if own || self.lost.load(Ordering::Relaxed) {
                return None;
            }
            for left in (0..tries).rev() {
                match self.lock.try_lock() {
                    Ok(lock) => return Some(ManuallyDrop::new(lock)),
                    Err(std::sync::TryLockError::Poisoned(lock)) => {
                        return Some(ManuallyDrop::new(lock.into_inner()));
                    }
                    Err(_) if left > 0 => std::thread::sleep(PAUSE),
                    Err(_) => {}
                }
            }
            None
        }

        /// In the child: finds out whether a thread is inside that is not there.
        fn look_after_fork(&self) {
            let inside = self.inside.load(Ordering::Relaxed);
            let others = inside != this_thread()
                && matches!(
                    self.lock.try_lock(),
                    Err(std::sync::TryLockError::WouldBlock)
                );
            self.lost.store(others, Ordering::Relaxed);
        }
    }

    extern "C" fn before() {
        let depth = DEPTH.replace(DEPTH.get() + 1);
        if depth == 0 {
            let tries = if Guard::enter().is_some() { TRIES } else { 1 };
            let mut all = sections();
            HELD.set(std::array::from_fn(|_| all.next()?.close(tries)));
        }
    }

    fn open() -> bool {
        let depth = DEPTH.get().saturating_sub(1);
        DEPTH.set(depth);
        if depth == 0 {
            let held = HELD.take();
            held.into_iter()
                .flatten()
                .for_each(|lock| drop(ManuallyDrop::into_inner(lock)));
        }
        depth == 0
    }

    extern "C" fn in_parent() {
        open();
    }

    extern "C" fn in_child() {
        if open() {
            sections().for_each(Section::look_after_fork);
        }
    }
}

#[cfg(not(all(unix, not(miri))))]
mod at_fork {
    /// There are no forks.
    pub(crate) fn prepare() {}
}
