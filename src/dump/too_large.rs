//! A file that grows beyond what the process may write ends the process by a signal. While the
//! signal is held the write fails instead, as on a full disk.
#![expect(unsafe_code, reason = "signals are C functions")]

use std::mem::MaybeUninit;
use std::ptr;

/// Holds the signal back on this thread, which gets those that are its own doing.
pub(super) struct Held {
    before: libc::sigset_t,
    was_pending: bool,
}

fn signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: fills the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: just filled.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: changes the set.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGXFSZ) };
    set
}

fn is_pending() -> bool {
    let mut pending = signal();
    // SAFETY: fills the set.
    unsafe { libc::sigpending(&raw mut pending) };
    // SAFETY: reads the set.
    unsafe { libc::sigismember(&raw const pending, libc::SIGXFSZ) == 1 }
}

impl Held {
    pub(super) fn new() -> Self {
        let (set, mut before) = (signal(), signal());
        // SAFETY: reads one set and fills the other one.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
        let was_pending = is_pending();
        Self {
            before,
            was_pending,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.was_pending && is_pending() {
            let (set, mut taken) = (signal(), 0);
            // SAFETY: the signal is pending, so this does not wait.
            unsafe { libc::sigwait(&raw const set, &raw mut taken) };
        }
        // SAFETY: reads the set that there was before.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut())
        };
    }
}
