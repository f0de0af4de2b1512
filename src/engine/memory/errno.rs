//! Leaves the thread's `errno`, and on Windows its last error, as the traced program expects to
//! find it.
//!
//! A program may free a block between a failed system call and its look at `errno`. The tracer's
//! own system calls must not show there.

/// Restores the value that `errno` had when this was made.
pub(crate) struct KeepErrno(#[cfg(any(unix, windows))] variable::Value);

#[cfg(any(unix, windows))]
impl KeepErrno {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(variable::get())
    }
}

#[cfg(any(unix, windows))]
impl Drop for KeepErrno {
    #[inline]
    fn drop(&mut self) {
        variable::set(self.0);
    }
}

/// Elsewhere the tracer makes no call of the system.
#[cfg(not(any(unix, windows)))]
impl KeepErrno {
    pub(crate) fn new() -> Self {
        Self()
    }
}

/// What the last system call that failed has left.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn last() -> i32 {
    variable::get()
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "errno is reached through a C function")]
mod variable {
    pub(super) type Value = i32;

    #[cfg(any(target_os = "illumos", target_os = "solaris"))]
    use libc::___errno as location;
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    use libc::__errno as location;
    #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "fuchsia"))]
    use libc::__errno_location as location;
    #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
    use libc::__error as location;

    #[inline]
    pub(super) fn get() -> Value {
        // SAFETY: the function returns the address of this thread's own variable.
        let place = unsafe { location() };
        // SAFETY: as above.
        unsafe { *place }
    }

    #[inline]
    pub(super) fn set(value: Value) {
        // SAFETY: the function returns the address of this thread's own variable.
        let place = unsafe { location() };
        // SAFETY: as above.
        unsafe { *place = value };
    }
}

#[cfg(windows)]
#[expect(
    unsafe_code,
    reason = "the last error is reached through functions of the system"
)]
mod variable {
    pub(super) type Value = u32;

    // SAFETY: the system's functions of these names have these types.
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn GetLastError() -> Value;
        safe fn SetLastError(value: Value);
    }

    #[inline]
    pub(super) fn get() -> Value {
        GetLastError()
    }

    #[inline]
    pub(super) fn set(value: Value) {
        SetLastError(value);
    }
}
