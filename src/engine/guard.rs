//! Keeps the tracer out of its own way: what a thread allocates while it is inside the tracer is
//! not recorded.

use std::cell::Cell;
use std::marker::PhantomData;

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

thread_local! {
    // Const-initialised and without a destructor: on the targets that matter this is a plain
    // thread-local word, usable in signal handlers, before the thread is fully set up and after its
    // destructors have run.
    static ACTIVITY: Cell<Activity> = const { Cell::new(Activity::Program) };
}

/// Proof that this thread is inside the tracer. Leaving is dropping it.
pub(crate) struct Guard {
    /// Bound to the thread whose state it holds.
    thread: PhantomData<*mut ()>,
}

impl Guard {
    /// Enters the tracer; `None` if this thread is inside already. A probe allocation ends here: it
    /// is noticed, and not recorded.
    #[inline]
    pub(crate) fn enter() -> Option<Self> {
        ACTIVITY
            .try_with(|activity| match activity.get() {
                Activity::Program => {
                    activity.set(Activity::Tracer);
                    Some(Self {
                        thread: PhantomData,
                    })
                }
                Activity::Tracer => None,
                Activity::Probe => {
                    activity.set(Activity::Program);
                    None
                }
            })
            .unwrap_or(None)
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        let _ = ACTIVITY.try_with(|activity| activity.set(Activity::Program));
    }
}

/// Runs `allocate`, which must make at least one allocation, and tells whether it came through the
/// tracer.
pub(crate) fn probe(allocate: impl FnOnce()) -> bool {
    let armed = ACTIVITY.try_with(|activity| activity.replace(Activity::Probe));
    allocate();
    let after = ACTIVITY.try_with(Cell::get);
    if let Ok(before) = armed {
        let _ = ACTIVITY.try_with(|activity| activity.set(before));
    }
    after == Ok(Activity::Program)
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
            panic!("planted");
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
