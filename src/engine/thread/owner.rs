//! Which thread a slot belongs to, and whether that thread has ended.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
pub(crate) use known::Owner;
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
pub(crate) use unknown::Owner;

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod known {
    use crate::engine::memory::errno::KeepErrno;

    /// A process and a thread of it. Slots of another process are never taken over: after a `fork`
    /// without handlers, or `vfork`, their owner may be this very thread.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Owner(u64);

    impl Owner {
        /// `None` where the system gives no number.
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

        pub(in crate::engine::thread) fn is_of_process_of(self, other: Self) -> bool {
            self.0 >> 32 == other.0 >> 32
        }

        pub(in crate::engine::thread) fn bits(self) -> u64 {
            self.0
        }

        pub(in crate::engine::thread) fn from_bits(bits: u64) -> Self {
            Self(bits)
        }

        /// True if this was a thread of the process of `me` and has ended.
        pub(in crate::engine::thread) fn is_gone(self, me: Self) -> bool {
            let _errno = KeepErrno::new();
            let process = (self.0 >> 32) as libc::pid_t;
            let thread = self.0 as u32 as libc::pid_t;
            if !self.is_of_process_of(me) {
                return false;
            }
            // SAFETY: signal 0 asks only whether the thread is there.
            let answer = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) };
            answer != 0 && crate::engine::memory::errno::last() == libc::ESRCH
        }
    }
}

/// Elsewhere the system does not tell whether a thread has ended: no thread has a slot.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod unknown {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Owner(u64);

    impl Owner {
        pub(crate) fn me() -> Option<Self> {
            None
        }

        #[cfg(all(unix, not(miri)))]
        pub(in crate::engine::thread) fn is_of_process_of(self, other: Self) -> bool {
            self.0 >> 32 == other.0 >> 32
        }

        pub(in crate::engine::thread) fn bits(self) -> u64 {
            self.0
        }

        pub(in crate::engine::thread) fn from_bits(bits: u64) -> Self {
            Self(bits)
        }

        pub(in crate::engine::thread) fn is_gone(self, _me: Self) -> bool {
            false
        }
    }
}
