//! What the tracer keeps for each thread, found by the thread itself without a lock.
//!
//! A slot belongs to a thread until that thread has ended; the next thread that needs one takes it over.
//! Nothing runs when a thread ends, so there is no destructor that could run too early or too late. Instead
//! a *sweep* asks the system of every owner whether it is still there, and marks the slots of those that are
//! not as free.
//!
//! ```text
//! claim a slot:
//!     go on from the cursor, past slots in use; take the first free one
//!     none, and there were half as many claims since the last sweep as there are slots:
//!         sweep, put the cursor at the first slot, and try again
//!     none: append a slot
//! ```
//!
//! A sweep asks once for each slot and is paid for by half as many claims, so a claim costs two questions on
//! average, whatever the number of threads. After a sweep more than half of the slots are in use, or the
//! free ones last until the next sweep is due: there are at most twice as many slots as threads ran at one
//! time, and a few more.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use once_cell::race::OnceRef;

use crate::engine::memory::arena::Arena;
use crate::engine::session::Session;
use crate::engine::stack_cache::StackCache;
use crate::engine::thread::guard::Guard;
use crate::engine::thread::owner::Owner;
use crate::engine::thread::slot::ThreadSlot;

/// The number of slots that a claim sweeps at most, if it finds none free.
const FEW: u32 = 8;

/// The slots that exist, as a list that only grows.
pub(crate) struct ThreadSlots {
    first: OnceRef<'static, ThreadSlot>,
    /// A slot near the end of the list, where new ones are appended.
    last: Hint,
    /// Where the search for a free slot goes on; none before the first sweep, and at the end of the list.
    cursor: Hint,
    /// How many slots there are, within what threads append concurrently.
    count: AtomicU32,
    /// Claims since the last sweep.
    claims: AtomicU32,
}

/// The owner of a slot whose memory is being given back: no thread's number.
const RECLAIMING: u64 = u64::MAX;

/// Of which slots of ended threads the memory is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    /// Those that have grown: a small one serves the next thread as it is.
    Grown,
    /// All that were ever used.
    All,
}

/// A slot to begin at. It may be outdated: readers check what it leads to.
struct Hint(AtomicPtr<ThreadSlot>);

impl Hint {
    const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn get(&self) -> Option<&'static ThreadSlot> {
        // Acquired: the slot's fields are seen as they were when the hint was set.
        let slot = self.0.load(Ordering::Acquire);
        // SAFETY: null, or a slot that was given to `set`: slots are never freed.
        unsafe { slot.as_ref() }
    }

    fn set(&self, slot: Option<&'static ThreadSlot>) {
        let slot = slot.map_or(ptr::null(), ptr::from_ref);
        self.0.store(slot.cast_mut(), Ordering::Release);
    }
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
            last: Hint::new(),
            cursor: Hint::new(),
            count: AtomicU32::new(0),
            claims: AtomicU32::new(0),
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
        if let Some(slot) = self.kept_slot(me) {
            return Some(slot);
        }
        self.claims.fetch_add(1, Ordering::Relaxed);
        let free = self.take_free(me).or_else(|| {
            self.begin_sweep()
                .then(|| self.sweep(arena, me, Reclaim::Grown))?;
            self.take_free(me)
        });
        let slot = match free {
            Some(slot) => slot,
            None => self.append(arena, me)?,
        };
        let mut own = OwnSlot::new(slot, guard);
        slot.recent.hand_over();
        let was_touched = slot.is_touched.swap(true, Ordering::Relaxed);
        if slot.torn.swap(false, Ordering::Relaxed) {
            own.stack_cache().clear(arena);
            slot.counter.mend();
        } else if was_touched {
            own.stack_cache().hand_over();
        }
        Some(slot)
    }

    /// The slot that this thread has in this list already. Tests have several lists, and a thread keeps in
    /// mind only the last one that it asked.
    fn kept_slot(&self, me: Owner) -> Option<&'static ThreadSlot> {
        let is_mine = |slot: &&ThreadSlot| slot.owner.load(Ordering::Relaxed) == me.bits();
        cfg!(test).then(|| self.all().find(is_mine)).flatten()
    }

    /// The next free slot from the cursor on.
    fn take_free(&self, me: Owner) -> Option<&'static ThreadSlot> {
        let mut next = self.cursor.get();
        while let Some(slot) = next {
            next = slot.next.get();
            if slot.take(me) {
                self.cursor.set(next);
                return Some(slot);
            }
        }
        self.cursor.set(None);
        None
    }

    /// True if a sweep is due; it is then this thread's to make.
    fn begin_sweep(&self) -> bool {
        let claims = self.claims.load(Ordering::Relaxed);
        let count = self.count.load(Ordering::Relaxed);
        let due = count <= FEW || claims >= count / 2;
        due && self
            .claims
            .compare_exchange(claims, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives back the memory of threads that have ended. Asks the system once for each slot.
    pub(crate) fn reclaim(&self, arena: &Arena) {
        if let Some(me) = Owner::me() {
            self.sweep(arena, me, Reclaim::All);
        }
    }

    /// Frees the slots of threads that have ended, and the memory of some.
    #[inline(never)]
    fn sweep(&self, arena: &Arena, me: Owner, reclaim: Reclaim) {
        let mut count = 0;
        for slot in self.all() {
            count += 1;
            let owner = slot.owner.load(Ordering::Acquire);
            let is_free = owner == 0 && reclaim == Reclaim::All;
            let has_ended = || owner != me.bits() && Owner::from_bits(owner).is_gone(me);
            if (is_free || owner != 0 && has_ended()) && slot.change_owner(owner, RECLAIMING) {
                slot.give_back(arena, reclaim);
                slot.owner.store(0, Ordering::Release);
            }
        }
        self.count.store(count, Ordering::Relaxed);
        self.cursor.set(self.first.get());
    }

    /// A new slot at the end of the list. `None` without memory for it.
    #[inline(never)]
    fn append(&self, arena: &Arena, me: Owner) -> Option<&'static ThreadSlot> {
        let mut cell = self.last.get().map_or(&self.first, |slot| &slot.next);
        loop {
            let slot = arena.first_use(cell)?;
            self.last.set(Some(slot));
            if slot.take(me) {
                self.count.fetch_add(1, Ordering::Relaxed);
                return Some(slot);
            }
            cell = &slot.next;
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
            } else if owner.is_of_process_of(before) || owner.bits() == RECLAIMING {
                thread.torn.store(true, Ordering::Relaxed);
                thread.owner.store(0, Ordering::Release);
            }
        }
        self.cursor.set(self.first.get());
    }

    /// All slots, those of threads that have ended too.
    fn all(&self) -> impl Iterator<Item = &'static ThreadSlot> {
        std::iter::successors(self.first.get(), |thread| thread.next.get())
    }

    /// The sum of all threads' parts of `session`.
    pub(crate) fn net(&self, session: Session) -> i64 {
        self.all().fold(0, |sum, thread| {
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

impl ThreadSlot {
    /// Makes `me` the owner of a free slot. False if it is not free.
    fn take(&self, me: Owner) -> bool {
        self.change_owner(0, me.bits())
    }

    /// Acquires what the owner before has left here, if that is still the one that is expected.
    fn change_owner(&self, before: u64, after: u64) -> bool {
        self.owner
            .compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives back the memory of the stack cache. The slot belongs to the running thread, by
    /// [`RECLAIMING`].
    #[inline(never)]
    fn give_back(&self, arena: &Arena, reclaim: Reclaim) {
        // SAFETY: the thread that set `RECLAIMING` owns the slot until it sets another owner; the owner
        // before has ended, or there was none.
        let cache = unsafe { &mut *self.stack_cache.get() };
        let touched = self.is_touched.load(Ordering::Relaxed);
        if cache.has_grown() || touched && reclaim == Reclaim::All {
            cache.clear(arena);
            self.is_touched.store(false, Ordering::Relaxed);
            // An empty cache may have any bytes but those that say so, which are zeros; pages that it
            // shares with other fields stay.
            arena.empty_pages(cache);
        }
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
    fn later_threads_claim_the_slots_of_ended_ones() {
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

    /// What threads that follow each other leave behind is used again, and the system is asked a bounded
    /// number of times for each.
    #[test]
    fn slots_are_at_most_twice_the_threads_and_a_few() {
        let (arena, threads) = (Arena::new(), ThreadSlots::new());
        const AT_ONCE: usize = 30;
        for _ in 0..12 {
            let barrier = Barrier::new(AT_ONCE);
            thread::scope(|scope| {
                let claim = || {
                    slot_of(&threads, &arena);
                    barrier.wait();
                };
                let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(claim)).collect();
                for thread in running {
                    thread.join().expect("no panic");
                }
            });
        }
        let slots = threads.all().count();
        // A thread may still be ending when the next ones come.
        assert!((AT_ONCE..=5 * AT_ONCE).contains(&slots), "{slots}");
    }

    /// Starting many threads takes a number of sweeps that grows with the logarithm of theirs.
    #[test]
    fn a_sweep_is_paid_for_by_the_claims_before_it() {
        let threads = ThreadSlots::new();
        let (mut sweeps, mut asked) = (0, 0);
        for count in 0..3000_u32 {
            threads.count.store(count, Ordering::Relaxed);
            threads.claims.fetch_add(1, Ordering::Relaxed);
            if threads.begin_sweep() {
                sweeps += 1;
                asked += count;
            }
        }
        assert!(sweeps < 40, "{sweeps}");
        assert!(asked < 4 * 3000, "{asked}");
    }

    /// Seen to fail while slots of the parent's threads stayed theirs in the child.
    #[test]
    fn slots_of_threads_that_do_not_exist_are_claimed() {
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
    fn a_torn_counter_is_repaired_by_the_next_claim() {
        let (arena, threads) = (Arena::new(), ThreadSlots::new());
        let switch = Switch::new();
        let session = switch.start(Settings::default()).expect("was off");
        slot_of(&threads, &arena);
        let (torn, over) = (Barrier::new(2), Barrier::new(2));
        let mended = thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = Guard::enter().expect("outside the tracer");
                let slot = threads.own_slot(&arena, &mut guard).expect("memory");
                slot.thread.counter.change(session, 0, 100, |part| part);
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
    fn a_thread_has_a_slot_in_each_tracker() {
        let arena = Arena::new();
        let (one, two) = (ThreadSlots::new(), ThreadSlots::new());
        let slots = [slot_of(&one, &arena), slot_of(&two, &arena)];
        assert_ne!(slots[0], slots[1]);
        assert_eq!([slot_of(&one, &arena), slot_of(&two, &arena)], slots);
    }
}
