//! What the tracer keeps for each thread, found by the thread itself without a lock.
//!
//! A place belongs to a thread until that thread has ended; the next thread that needs one takes it
//! over. Nothing runs when a thread ends: whoever looks for a place asks the system whether the
//! owners of the existing ones are still there. So there are never more places than threads ran at
//! one time, and no destructor that could run too early or too late.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use once_cell::race::OnceRef;

use super::arena::{Arena, Zeroed};
use super::guard::Guard;
use super::ledger::Ledger;
use super::session::Session;
use super::unwind::Memo;

/// One thread's place.
pub(crate) struct Thread {
    /// An [`Owner`]; 0 for none.
    owner: AtomicU64,
    /// The last owner vanished in a fork: the memo may be half changed.
    torn: AtomicBool,
    next: OnceRef<'static, Thread>,
    pub(crate) ledger: Ledger,
    memo: UnsafeCell<Memo>,
}

// SAFETY: the memo is reached by the owning thread alone, see `Mine::memo`; the rest are atomics.
unsafe impl Sync for Thread {}
// SAFETY: all fields are valid when zero, the memo by its own promise; 0 is no owner.
unsafe impl Zeroed for Thread {}

/// The places that exist, as a list that only grows.
pub(crate) struct Threads {
    first: OnceRef<'static, Thread>,
}

/// The running thread's place, while it is inside the tracer.
pub(crate) struct Mine<'a> {
    pub(crate) thread: &'static Thread,
    guard: PhantomData<&'a mut Guard>,
}

impl Threads {
    pub(crate) const fn new() -> Self {
        Self {
            first: OnceRef::new(),
        }
    }

    /// The running thread's place, if it has asked for it before.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn known<'a>(&self, guard: &'a mut Guard) -> Option<Mine<'a>> {
        let thread = guard.place(ptr::from_ref(self).addr())?;
        Some(Mine::new(thread, guard))
    }

    /// The running thread's place. `None` without memory for it, or on systems where it is not
    /// known whether a thread is still there.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn mine<'a>(&self, arena: &Arena, guard: &'a mut Guard) -> Option<Mine<'a>> {
        let home = ptr::from_ref(self).addr();
        let thread = match guard.place(home) {
            Some(thread) => thread,
            None => {
                let thread = self.claim(arena, guard)?;
                guard.keep_place(home, thread);
                thread
            }
        };
        Some(Mine::new(thread, guard))
    }

    #[cold]
    #[inline(never)]
    fn claim(&self, arena: &Arena, guard: &mut Guard) -> Option<&'static Thread> {
        let me = Owner::me()?;
        let mut cell = &self.first;
        loop {
            let thread = arena.first_use(cell)?;
            let now = thread.owner.load(Ordering::Acquire);
            let free = now == 0 || now == me.bits() || Owner::from_bits(now).is_gone(me);
            if free
                && thread
                    .owner
                    .compare_exchange(now, me.bits(), Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                if thread.torn.swap(false, Ordering::Relaxed) {
                    Mine::new(thread, guard).memo().forget();
                    thread.ledger.mend();
                }
                return Some(thread);
            }
            cell = &thread.next;
        }
    }

    /// In the child of a fork: the thread that was `before` keeps its place, those of the parent's
    /// other threads are free. What these have added stays in the sums.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn forked(&self, before: Option<Owner>) {
        let (Some(before), Some(me)) = (before, Owner::me()) else {
            return;
        };
        for thread in self.all() {
            let owner = Owner::from_bits(thread.owner.load(Ordering::Relaxed));
            if owner == before {
                thread.owner.store(me.bits(), Ordering::Relaxed);
            } else if owner.is_of_process_of(before) {
                thread.torn.store(true, Ordering::Relaxed);
                thread.owner.store(0, Ordering::Release);
            }
        }
    }

    /// All places, those of threads that have ended too.
    fn all(&self) -> impl Iterator<Item = &'static Thread> {
        std::iter::successors(self.first.get(), |thread| thread.next.get())
    }

    /// The sum of all threads' parts of `session`, but for `mine`.
    pub(crate) fn net(&self, session: Session, mine: Option<&Thread>) -> i64 {
        self.all()
            .filter(|thread| !mine.is_some_and(|mine| ptr::eq(mine, *thread)))
            .fold(0, |sum, thread| {
                sum.wrapping_add(thread.ledger.net(session))
            })
    }

    /// The most that any thread has seen since the last reset of the peak of `session`.
    pub(crate) fn peak(&self, session: Session) -> i64 {
        self.all()
            .map(|thread| thread.ledger.peak(session))
            .max()
            .unwrap_or(0)
    }
}

impl<'a> Mine<'a> {
    /// `thread`: the place that belongs to the thread which holds the guard.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(thread: &'static Thread, _guard: &'a mut Guard) -> Self {
        Self {
            thread,
            guard: PhantomData,
        }
    }

    /// What this thread knows of its last stacks.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn memo(&mut self) -> &mut Memo {
        // SAFETY: the place belongs to this thread, and the guard, of which there is one at a time
        // in a thread, is borrowed for as long as `self` lives.
        unsafe { &mut *self.thread.memo.get() }
    }
}

pub(crate) use owner::Owner;

/// Which thread a place belongs to.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod owner {
    use crate::engine::errno::KeepErrno;

    /// A process and a thread of it. Places of another process are never taken over: after a `fork`
    /// without handlers, or `vfork`, their owner may be this very thread.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Owner(u64);

    impl Owner {
        /// `None` where the system does not tell.
        pub(crate) fn me() -> Option<Self> {
            let _errno = KeepErrno::new();
            // SAFETY: takes nothing and returns a number.
            let process = unsafe { libc::getpid() };
            // SAFETY: as above.
            let thread = unsafe { libc::syscall(libc::SYS_gettid) } as libc::pid_t;
            // A sandbox may refuse to tell; two threads must not pass for one.
            (process > 0 && thread > 0)
                .then(|| Self(u64::from(process as u32) << 32 | u64::from(thread as u32)))
        }

        pub(super) fn is_of_process_of(self, other: Self) -> bool {
            self.0 >> 32 == other.0 >> 32
        }

        pub(super) fn bits(self) -> u64 {
            self.0
        }

        pub(super) fn from_bits(bits: u64) -> Self {
            Self(bits)
        }

        /// True if this was a thread of the process of `me` and has ended.
        pub(super) fn is_gone(self, me: Self) -> bool {
            let _errno = KeepErrno::new();
            let process = (self.0 >> 32) as libc::pid_t;
            let thread = self.0 as u32 as libc::pid_t;
            if !self.is_of_process_of(me) {
                return false;
            }
            // SAFETY: signal 0 asks only whether the thread is there.
            let told = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) };
            told != 0 && crate::engine::errno::last() == libc::ESRCH
        }
    }
}

/// Elsewhere the system does not tell whether a thread has ended: no thread has a place.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod owner {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Owner(u64);

    impl Owner {
        pub(crate) fn me() -> Option<Self> {
            None
        }

        #[cfg(all(unix, not(miri)))]
        pub(super) fn is_of_process_of(self, other: Self) -> bool {
            self.0 >> 32 == other.0 >> 32
        }

        pub(super) fn bits(self) -> u64 {
            self.0
        }

        pub(super) fn from_bits(bits: u64) -> Self {
            Self(bits)
        }

        pub(super) fn is_gone(self, _me: Self) -> bool {
            false
        }
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use crate::engine::session::{Settings, Switch};
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    fn place(threads: &Threads, arena: &Arena) -> usize {
        let mut guard = Guard::enter().expect("outside the tracer");
        let mine = threads.mine(arena, &mut guard).expect("memory");
        ptr::from_ref(mine.thread).addr()
    }

    #[test]
    fn threads_at_one_time_have_places_of_their_own_and_leave_them_to_later_ones() {
        let (arena, threads) = (Arena::new(), Threads::new());
        let mut all = HashSet::new();
        for _ in 0..20 {
            let barrier = Barrier::new(4);
            let places: HashSet<usize> = thread::scope(|scope| {
                let running: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let first = place(&threads, &arena);
                            barrier.wait();
                            assert_eq!(place(&threads, &arena), first);
                            barrier.wait();
                            first
                        })
                    })
                    .collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().expect("no panic"))
                    .collect()
            });
            assert_eq!(places.len(), 4);
            all.extend(places);
        }
        // A thread may still be ending when the next ones come.
        assert!(all.len() < 20, "{}", all.len());
    }

    /// Seen to fail while places of the parent's threads stayed theirs in the child.
    #[test]
    fn places_of_threads_that_are_not_there_are_taken_over() {
        let (arena, threads) = (Arena::new(), Threads::new());
        let mine = place(&threads, &arena);
        let (claimed, over) = (Barrier::new(4), Barrier::new(4));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    place(&threads, &arena);
                    claimed.wait();
                    over.wait();
                });
            }
            claimed.wait();
            // As in a child of which this is the only thread; here its number stays the same.
            threads.forked(Owner::me());
            let torn = || threads.all().filter(|at| at.torn.load(Ordering::Relaxed));
            let before = torn().count();
            let still_mine = place(&threads, &arena) == mine;
            let next = scope.spawn(|| place(&threads, &arena)).join();
            let after = (torn().count(), threads.all().count());
            // The others wait, so nothing may fail before this.
            over.wait();
            assert!(still_mine && next.expect("no panic") != mine);
            assert_eq!((before, after), (3, (2, 4)));
        });
    }

    /// Seen to fail while it was taken over as it was.
    #[test]
    fn a_torn_ledger_is_put_right_by_who_takes_it_over() {
        let (arena, threads) = (Arena::new(), Threads::new());
        let switch = Switch::new();
        let session = switch.start(Settings::default()).expect("was off");
        place(&threads, &arena);
        let (torn, over) = (Barrier::new(2), Barrier::new(2));
        let mended = thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = Guard::enter().expect("outside the tracer");
                let mine = threads.mine(&arena, &mut guard).expect("memory");
                mine.thread.ledger.change(session, 0, 100, || 0);
                mine.thread.ledger.tear(60_100);
                torn.wait();
                over.wait();
            });
            torn.wait();
            threads.forked(Owner::me());
            let next = scope.spawn(|| {
                let mut guard = Guard::enter().expect("outside the tracer");
                let mine = threads.mine(&arena, &mut guard).expect("memory");
                let ledger = &mine.thread.ledger;
                (ledger.change_within(session, 100, 0), ledger.net(session))
            });
            let mended = next.join();
            // The other waits, so nothing may fail before this.
            over.wait();
            mended
        });
        assert_eq!(mended.expect("no panic"), (true, 60_000));
        assert_eq!(threads.peak(session), 60_100);
    }

    #[test]
    fn a_thread_has_a_place_with_each_tracker() {
        let arena = Arena::new();
        let (one, two) = (Threads::new(), Threads::new());
        let places = [place(&one, &arena), place(&two, &arena)];
        assert_ne!(places[0], places[1]);
        assert_eq!([place(&one, &arena), place(&two, &arena)], places);
    }
}
