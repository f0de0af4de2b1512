//! Asks the system whether memory can be read. The answer is never a fault.
//!
//! `rt_sigprocmask` copies its new mask from the caller before it looks at what to do with it.
//! Asked for something that does not exist, it changes nothing: `EINVAL` says that the word could
//! be read, `EFAULT` that it could not. Every C library needs this call, so sandboxes permit it.
//! Where one refuses it, no memory counts as readable.

use crate::engine::memory::errno::{self, KeepErrno};

/// Bytes of the smallest page of any supported processor; larger pages are multiples of it.
pub(in crate::engine) const PAGE: usize = 4096;

/// The page that `address` lies in.
pub(in crate::engine) fn page_of(address: usize) -> usize {
    address & !(PAGE - 1)
}

/// True if the aligned word around `address` can be read. Keeps `errno`.
#[cold]
#[inline(never)]
pub(in crate::engine) fn is_readable(address: usize) -> bool {
    const NO_SUCH_CHANGE: libc::c_long = -1;
    const MASK_BYTES: usize = 8;
    let _errno = KeepErrno::new();
    // SAFETY: the call reads no memory of ours by itself, and changes nothing: the change asked for
    // does not exist.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_CHANGE,
            address & !(MASK_BYTES - 1),
            0_usize,
            MASK_BYTES,
        )
    };
    answer == -1 && errno::last() == libc::EINVAL
}

/// True if all of the `len` bytes at `address` can be read.
pub(in crate::engine) fn are_readable(address: usize, len: usize) -> bool {
    let Some(last) = address.checked_add(len.saturating_sub(1)) else {
        return false;
    };
    let (first_page, last_page) = (page_of(address), page_of(last));
    (first_page..=last_page).step_by(PAGE).all(is_readable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(protection: libc::c_int) -> usize {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping of two pages.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), 2 * PAGE, protection, flags, -1, 0) };
        assert_ne!(place, libc::MAP_FAILED);
        place.addr()
    }

    #[test]
    fn memory_is_readable_or_not_and_errno_stays() {
        let local = 0_u64;
        let (open, closed) = (map(libc::PROT_READ), map(libc::PROT_NONE));
        let function = memory_is_readable_or_not_and_errno_stays as fn();
        for (address, expect) in [
            (std::ptr::from_ref(&local).addr(), true),
            (open, true),
            (open + PAGE - 1, true),
            (function as usize, true),
            (closed, false),
            (0, false),
            (1, false),
            (usize::MAX, false),
            (0xdead_beef_dead_beef, false),
            (1 << 63, false),
        ] {
            // SAFETY: no conditions.
            let place = unsafe { libc::__errno_location() };
            // SAFETY: this thread's own variable.
            unsafe { place.write(4711) };
            assert_eq!(is_readable(address), expect, "{address:#x}");
            assert_eq!(errno::last(), 4711);
        }
        assert!(are_readable(open + PAGE - 4, 8));
        assert!(!are_readable(open.min(closed) + PAGE, usize::MAX));
        // SAFETY: the second page of a mapping of our own.
        unsafe { libc::munmap(std::ptr::without_provenance_mut(open + PAGE), PAGE) };
        assert!(are_readable(open + PAGE - 8, 8));
        assert!(!are_readable(open + PAGE - 4, 8));
    }
}
