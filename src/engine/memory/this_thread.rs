//! Which thread is running, as a number.

thread_local! {
    // Const-initialised and without a destructor: on the targets that matter this is plain
    // thread-local memory, usable at any moment of a thread's life.
    static HERE: u8 = const { 0 };
}

/// A number that no other running thread has, and that stays the thread's over a fork; never 0.
pub(crate) fn this_thread() -> usize {
    // Where the variable is a key of the system's, a look at it changes the thread's last error.
    #[cfg(windows)]
    let _errno = super::errno::KeepErrno::new();
    let address = HERE.try_with(|here| std::ptr::from_ref(here).addr());
    address.unwrap_or(1)
}
