//! What the tracer keeps for each thread, found by the thread itself without a lock.
//!
//! A slot belongs to a thread until that thread has ended; the next thread that needs one takes it
//! over. Nothing runs when a thread ends: whoever looks for a slot asks the system whether the
//! owners of the existing ones are still there. So there are never more slots than threads ran at
//! one time, and no destructor that could run too early or too late.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::Ordering;

use once_cell::race::OnceRef;

use crate::engine::memory::arena::Arena;
use crate::engine::session::Session;
use crate::engine::thread::guard::Guard;
use crate::engine::thread::slot::ThreadSlot;
use crate::engine::unwind::StackCache;

/// All slots, as a list that only grows.
pub(crate) struct ThreadSlots {
    first: OnceRef<'static, ThreadSlot>,
}

/// The running thread's slot, while it is inside the tracer.
pub(crate) struct OwnSlot<'a> {
    pub(crate) thread: &'static ThreadSlot,
    guard: PhantomData<&'a mut Guard>,
}

impl ThreadSlots {
    pub(crate) const fn new() -> Self {
        Self {
            first: OnceRef::new(),
        }
    }

    /// The running thread's slot, if it has asked for it before.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn known_slot<'a>(&self, guard: &'a mut Guard) -> Option<OwnSlot<'a>> {
        let thread = guard.slot(ptr::from_ref(self).addr())?;
        Some(OwnSlot::new(thread, guard))
    }

    /// The running thread's slot. `None` without memory for it, or on systems where it is not
    /// known whether a thread is still there.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn own_slot<'a>(&self, arena: &Arena, guard: &'a mut Guard) -> Option<OwnSlot<'a>> {
        let home = ptr::from_ref(self).addr();
        let thread = match guard.slot(home) {
            Some(thread) => thread,
            None => {
                let thread = self.claim(arena, guard)?;
                guard.keep_slot(home, thread);
                thread
            }
        };
        Some(OwnSlot::new(thread, guard))
    }

    #[cold]
    #[inline(never)]
    fn claim(&self, arena: &Arena, guard: &mut Guard) -> Option<&'static ThreadSlot> {
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
                    OwnSlot::new(thread, guard).stack_cache().clear();
                    thread.counter.mend();
                } else if now != 0 && now != me.bits() {
                    OwnSlot::new(thread, guard).stack_cache().hand_over();
                }
                return Some(thread);
            }
            cell = &thread.next;
        }
    }

    /// In the child of a fork: the thread that was `before` keeps its slot, those of the parent's
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

    /// All slots, those of threads that have ended too.
    fn all(&self) -> impl Iterator<Item = &'static ThreadSlot> {
        std::iter::successors(self.first.get(), |thread| thread.next.get())
    }

    /// The sum of all threads' parts of `session`, but for `slot`.
    pub(crate) fn net(&self, session: Session, slot: Option<&ThreadSlot>) -> i64 {
        self.all()
            .filter(|thread| !slot.is_some_and(|slot| ptr::eq(slot, *thread)))
            .fold(0, |sum, thread| {
                sum.wrapping_add(thread.counter.net(session))
            })
    }

    /// The most that any thread has seen since the last reset of the peak of `session`.
    pub(crate) fn peak(&self, session: Session) -> i64 {
        self.all()
            .map(|thread| thread.counter.peak(session))
            .max()
            .unwrap_or(0)
    }
}

impl<'a> OwnSlot<'a> {
    /// `thread`: the slot that belongs to the thread which holds the guard.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(thread: &'static ThreadSlot, _guard: &'a mut Guard) -> Self {
        Self {
            thread,
            guard: PhantomData,
        }
    }

    /// The thread's stack cache.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn stack_cache(&mut self) -> &mut StackCache {
        // SAFETY: the slot belongs to this thread, and the guard, of which there is one at a time
        // in a thread, is borrowed for as long as `self` lives.
        unsafe { &mut *self.thread.stack_cache.get() }
    }
}

pub(crate) use owner::Owner;

/// Which thread a slot belongs to.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod owner {
    use crate::engine::memory::errno::KeepErrno;

    /// A process and a thread of it. Slots of another process are never taken over: after a `fork`
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
            told != 0 && crate::engine::memory::errno::last() == libc::ESRCH
        }
    }
}

/// Elsewhere the system does not tell whether a thread has ended: no thread has a slot.
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

    fn slot_of(threads: &ThreadSlots, arena: &Arena) -> usize {
        let mut guard = Guard::enter().expect("outside the tracer");
        let slot = threads.own_slot(arena, &mut guard).expect("memory");
        ptr::from_ref(slot.thread).addr()
    }

    #[test]
    fn threads_at_one_time_have_places_of_their_own_and_leave_them_to_later_ones() {
        let (arena, threads) = (Arena::new(), ThreadSlots::new());
        let mut all = HashSet::new();
        for _ in 0..20 {
            let barrier = Barrier::new(4);
            let slots: HashSet<usize> = thread::scope(|scope| {
                let running: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let first = slot_of(&threads, &arena);
                            barrier.wait();
                            assert_eq!(slot_of(&threads, &arena), first);
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
            assert_eq!(slots.len(), 4);
            all.extend(slots);
        }
        // A thread may still be ending when the next ones come.
        assert!(all.len() < 20, "{}", all.len());
    }

    /// Seen to fail while slots of the parent's threads stayed theirs in the child.
    #[test]
    fn places_of_threads_that_are_not_there_are_taken_over() {
        let (arena, threads) = (Arena::new(), ThreadSlots::new());
        let slot = slot_of(&threads, &arena);
        let (claimed, over) = (Barrier::new(4), Barrier::new(4));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    slot_of(&threads, &arena);
                    claimed.wait();
                    over.wait();
                });
            }
            claimed.wait();
            // As in a child of which this is the only thread; here its number stays the same.
            threads.forked(Owner::me());
            let torn = || threads.all().filter(|at| at.torn.load(Ordering::Relaxed));
            let before = torn().count();
            let still_own = slot_of(&threads, &arena) == slot;
            let next = scope.spawn(|| slot_of(&threads, &arena)).join();
            let after = (torn().count(), threads.all().count());
            // The others wait, so nothing may fail before this.
            over.wait();
            assert!(still_own && next.expect("no panic") != slot);
            assert_eq!((before, after), (3, (2, 4)));
        });
    }

    /// Seen to fail while it was taken over as it was.
    #[test]
    fn a_torn_ledger_is_put_right_by_who_takes_it_over() {
        let (arena, threads) = (Arena::new(), ThreadSlots::new());
        let switch = Switch::new();
        let session = switch.start(Settings::default()).expect("was off");
        slot_of(&threads, &arena);
        let (torn, over) = (Barrier::new(2), Barrier::new(2));
        let mended = thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = Guard::enter().expect("outside the tracer");
                let slot = threads.own_slot(&arena, &mut guard).expect("memory");
                slot.thread.counter.change(session, 0, 100, || 0);
                slot.thread.counter.tear(60_100);
                torn.wait();
                over.wait();
            });
            torn.wait();
            threads.forked(Owner::me());
            let next = scope.spawn(|| {
                let mut guard = Guard::enter().expect("outside the tracer");
                let slot = threads.own_slot(&arena, &mut guard).expect("memory");
                let counter = &slot.thread.counter;
                (counter.change_within(session, 100, 0), counter.net(session))
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
        let (one, two) = (ThreadSlots::new(), ThreadSlots::new());
        let slots = [slot_of(&one, &arena), slot_of(&two, &arena)];
        assert_ne!(slots[0], slots[1]);
        assert_eq!([slot_of(&one, &arena), slot_of(&two, &arena)], slots);
    }
}
