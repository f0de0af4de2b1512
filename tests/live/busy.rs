//! Threads that allocate while a case does something else.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Ends the threads when it is dropped. A thread scope waits for its threads also when its closure
/// panics: a failing case would wait for ever for threads that nobody ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        // Nothing is handed over: the threads only have to see it at some time.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `task` while each of `threads` threads repeats what `work` has made for its number.
pub(crate) fn among_busy_threads<Step: FnMut()>(
    threads: usize,
    work: impl Fn(usize) -> Step + Sync,
    task: impl FnOnce(),
) {
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&end);
        for number in 0..threads {
            let (end, work) = (&end, &work);
            scope.spawn(move || {
                let mut step = work(number);
                while !end.load(Ordering::Relaxed) {
                    step();
                }
            });
        }
        task();
    });
}

/// A small block that grows and is freed, as a step of a busy thread.
#[cfg(unix)]
pub(crate) fn grow_a_block() {
    let mut block = black_box(Vec::<u8>::with_capacity(10));
    block.reserve_exact(5000);
}
