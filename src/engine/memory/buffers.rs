//! Buffers for what may not fit on a thread's own stack: the return addresses of a deep stack, and
//! stacks on which the tracer itself runs. A buffer is lent to one piece of work at a time.
//!
//! Buffers belong to no thread. So there is nothing to clean up when a thread ends, and there are never
//! more buffers than were ever lent at one time. A buffer that is lent has the number of its thread, so
//! that the child of a fork can take back those of threads that are not there.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::race::OnceRef;

use crate::engine::memory::arena::{Arena, Zeroed};
use crate::engine::memory::this_thread::this_thread;

/// What can be lent at one time; one more finds no buffer.
const BUFFERS: usize = 256;

struct Buffer<const WORDS: usize> {
    /// 0 if the buffer is free, else the number of the [thread](this_thread) that has it.
    lent: AtomicUsize,
    words: UnsafeCell<[usize; WORDS]>,
}

// SAFETY: `words` is reached only by the holder of `lent`, see `lend`.
unsafe impl<const WORDS: usize> Sync for Buffer<WORDS> {}
// SAFETY: integers; 0 means free.
unsafe impl<const WORDS: usize> Zeroed for Buffer<WORDS> {}

/// Buffers of `WORDS` words each.
pub(crate) struct Buffers<const WORDS: usize>([OnceRef<'static, Buffer<WORDS>>; BUFFERS]);

impl<const WORDS: usize> Buffers<WORDS> {
    pub(crate) const fn new() -> Self {
        Self([const { OnceRef::new() }; BUFFERS])
    }

    /// In the child of a fork: takes back what threads have that are not there.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn forked(&self) {
        let me = this_thread();
        for buffer in self.0.iter().filter_map(OnceRef::get) {
            if buffer.lent.load(Ordering::Relaxed) != me {
                buffer.lent.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Runs `task` with the first `len` words of a buffer, or all if it has fewer. `None` if all
    /// buffers are lent and there is no memory for another.
    pub(crate) fn lend<R>(
        &self,
        arena: &Arena,
        len: usize,
        task: impl FnOnce(&mut [usize]) -> R,
    ) -> Option<R> {
        let me = this_thread();
        // Where there is no memory for one, there is none for the next.
        self.0
            .iter()
            .map_while(|place| arena.first_use(place))
            .find(|buffer| {
                buffer
                    .lent
                    .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            })
            .map(|buffer| {
                let _back = GiveBack(&buffer.lent);
                // SAFETY: this thread has just set `lent`, which was 0, and nobody else touches
                // `words` until it is 0 again, which happens when `_back` is dropped, after the
                // last use of this reference.
                let words = unsafe { &mut *buffer.words.get() };
                task(words.get_mut(..len.min(WORDS)).unwrap_or_default())
            })
    }
}

struct GiveBack<'a>(&'a AtomicUsize);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: usize = 100;

    #[test]
    fn nested_loans_are_different_buffers_and_come_back() {
        let (arena, buffers) = (Arena::new(), Buffers::<WORDS>::new());
        let address = |frames: &mut [usize]| frames.as_ptr().addr();
        for _ in 0..3 {
            let (outer, inner) = buffers
                .lend(&arena, 10, |outer| {
                    assert_eq!(outer.len(), 10);
                    let inner = buffers.lend(&arena, WORDS + 1, |inner| {
                        assert_eq!(inner.len(), WORDS, "all that it has");
                        address(inner)
                    });
                    (address(outer), inner)
                })
                .expect("memory");
            assert_ne!(Some(outer), inner);
        }
        let made = buffers
            .0
            .iter()
            .filter(|place| place.get().is_some())
            .count();
        assert_eq!(made, 2);
    }

    /// Seen to fail while all that was lent stayed so.
    #[test]
    #[cfg(all(unix, not(miri)))]
    fn what_threads_have_that_are_not_there_is_taken_back() {
        use std::sync::Barrier;

        let (arena, buffers) = (Arena::new(), Buffers::<WORDS>::new());
        let (lent, over) = (Barrier::new(4), Barrier::new(4));
        let taken = || {
            let made = buffers.0.iter().filter_map(OnceRef::get);
            made.filter(|buffer| buffer.lent.load(Ordering::Relaxed) != 0)
                .count()
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    buffers.lend(&arena, 1, |_| {
                        lent.wait();
                        over.wait();
                    })
                });
            }
            lent.wait();
            let during = buffers.lend(&arena, 1, |_| {
                let before = taken();
                buffers.forked();
                (before, taken())
            });
            let after = taken();
            // The others wait, so nothing may fail before this.
            over.wait();
            assert_eq!(
                (during, after),
                (Some((4, 1)), 0),
                "its own stays this thread's"
            );
        });
    }

    #[test]
    fn no_memory_is_no_buffer() {
        let (arena, buffers) = (Arena::new(), Buffers::<WORDS>::new());
        arena.set_limit(0);
        assert_eq!(buffers.lend(&arena, 1, |_| ()), None);
    }

    /// Seen to fail while every one of those that there can be was asked for.
    #[test]
    fn what_the_system_refuses_is_asked_for_once() {
        // Too large to be carved from a chunk that another one could be carved from.
        const LARGE: usize = 16 << 10;
        let (arena, buffers) = (Arena::new(), Buffers::<LARGE>::new());
        arena.refusals().set(0, u64::MAX);
        assert_eq!(buffers.lend(&arena, 1, |_| ()), None);
        assert_eq!(arena.refusals().mappings(), 1);
    }
}
