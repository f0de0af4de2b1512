//! Re-entrancy guard: allocations made inside the tracer are not recorded. Also what a thread knows
//! before it asks for its slot: its sampler, and the probe that proves the tracer installed.

use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroU64;

use crate::engine::thread::sampler::Sampler;
use crate::engine::thread::slot::ThreadSlot;

/// What a thread is doing, as the tracer sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Activity {
    /// Running the program: its allocations are recorded.
    Program,
    /// Inside the tracer, or inside the inner allocator on the tracer's behalf.
    Tracer,
    /// Waiting for its probe allocation to arrive.
    Probe,
}

/// What the tracer knows of the running thread before it asks for anything.
struct Local {
    activity: Cell<Activity>,
    /// The thread's slot, and the address of the list that it is in: tests have several.
    slot: Cell<Option<&'static ThreadSlot>>,
    home: Cell<usize>,
    /// Which allocations are recorded in a session that samples, and which session that is.
    sampler: Cell<Sampler>,
    sampled: Cell<u64>,
}

thread_local! {
    // Const-initialised and without a destructor: on the targets that matter this is plain
    // thread-local memory, usable in signal handlers, before the thread is fully set up and after
    // its destructors have run.
    static LOCAL: Local = const {
        Local {
            activity: Cell::new(Activity::Program),
            slot: Cell::new(None),
            home: Cell::new(0),
            sampler: Cell::new(Sampler::NONE),
            sampled: Cell::new(0),
        }
    };
}

/// Calls `task` with what is known of this thread. `None` if that is gone.
#[cfg_attr(not(debug_assertions), inline(always))]
fn local<R>(task: impl FnOnce(&Local) -> R) -> Option<R> {
    // Where the variable is a key of the system's, a look at it changes the thread's last error.
    #[cfg(windows)]
    let _errno = crate::engine::memory::errno::KeepErrno::new();
    LOCAL.try_with(task).ok()
}

/// Proof that this thread is inside the tracer. Dropping it leaves the tracer.
pub(crate) struct Guard {
    /// Bound to the thread whose state it holds.
    thread: PhantomData<*mut ()>,
}

impl Guard {
    /// Enters the tracer. `None` if this thread is inside already, or if this is a probe allocation,
    /// which is noticed here and not recorded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn enter() -> Option<Self> {
        local(|local| match local.activity.get() {
            Activity::Program => {
                local.activity.set(Activity::Tracer);
                Some(Self {
                    thread: PhantomData,
                })
            }
            Activity::Tracer => None,
            Activity::Probe => {
                local.activity.set(Activity::Program);
                None
            }
        })
        .flatten()
    }

    /// True if this thread runs the program: it is not inside the tracer, nor does it wait for a probe.
    pub(crate) fn is_outside() -> bool {
        local(|local| local.activity.get() == Activity::Program).unwrap_or(false)
    }

    /// The thread's slot in the list at `home`, if it was kept.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn slot(&self, home: usize) -> Option<&'static ThreadSlot> {
        local(|local| {
            // A program has one tracker.
            let at_home = !cfg!(test) || local.home.get() == home;
            at_home.then(|| local.slot.get()).flatten()
        })
        .flatten()
    }

    /// Remembers the thread's slot in the list at `home`.
    pub(crate) fn keep_slot(&mut self, home: usize, slot: &'static ThreadSlot) {
        local(|local| {
            local.home.set(home);
            local.slot.set(Some(slot));
        });
    }
}

impl Drop for Guard {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        local(|local| local.activity.set(Activity::Program));
    }
}

/// Fast path of [`is_unsampled`]: one comparison and one subtraction. False if it takes more to tell.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_unsampled_fast(key: u64, size: usize) -> bool {
    let passes = local(|local| {
        if local.sampled.get() != key {
            return false;
        }
        let mut sampler = local.sampler.get();
        let passes = sampler.skip_within(size as u64);
        // Not always: the compiler would make it a subtraction without a branch, which takes twice
        // the instructions.
        if passes {
            local.sampler.set(sampler);
        }
        passes
    });
    passes.unwrap_or(false)
}

/// True if the session `key`, which samples every `period` bytes, does not record an allocation of
/// `size` bytes.
#[inline(never)]
pub(crate) fn is_unsampled(
    key: u64,
    size: usize,
    period: impl FnOnce() -> Option<NonZeroU64>,
) -> bool {
    let passes = local(|local| {
        if local.sampled.get() != key && !begin_sampling(local, key, period()) {
            return false;
        }
        let mut sampler = local.sampler.get();
        let passes = sampler.skip(size as u64);
        local.sampler.set(sampler);
        passes
    });
    passes.unwrap_or(false)
}

/// Draws this thread's first point of a session. False if the allocation is a probe, which must
/// arrive, or there is no period.
#[cold]
#[inline(never)]
fn begin_sampling(local: &Local, key: u64, period: Option<NonZeroU64>) -> bool {
    if local.activity.get() == Activity::Probe {
        return false;
    }
    let Some(period) = period else {
        return false;
    };
    // Different for every thread and session, and with randomised addresses for every run.
    let seed = std::ptr::from_ref(local).addr() as u64 ^ key.rotate_left(32);
    local.sampler.set(Sampler::new(period, seed));
    local.sampled.set(key);
    true
}

/// Runs `allocate`, which must make one allocation and keep it in its result, and tells whether it came
/// through the tracer. A thread whose variables are gone already cannot tell, and is believed.
pub(crate) fn probe<T>(allocate: impl FnOnce() -> T) -> bool {
    let armed = local(|local| {
        // So that the probe is not passed by.
        local.sampled.set(0);
        local.activity.replace(Activity::Probe)
    });
    let Some(before) = armed else {
        return true;
    };
    let made = allocate();
    let after = local(|local| local.activity.replace(before));
    // Nobody has seen it come, so nobody is to see it go.
    let _inside = Guard::enter();
    drop(made);
    after == Some(Activity::Program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entering_twice_is_refused_until_the_first_is_dropped() {
        let outer = Guard::enter();
        assert!(outer.is_some());
        assert!(Guard::enter().is_none());
        drop(outer);
        assert!(Guard::enter().is_some());
    }

    #[test]
    fn a_panic_leaves_the_tracer() {
        let caught = std::panic::catch_unwind(|| {
            let _guard = Guard::enter();
            panic!("injected");
        });
        assert!(caught.is_err());
        assert!(Guard::enter().is_some());
    }

    #[test]
    fn a_probe_is_noticed_once() {
        assert!(probe(|| assert!(Guard::enter().is_none())));
        assert!(!probe(|| ()));
        assert!(Guard::enter().is_some());
    }
}
