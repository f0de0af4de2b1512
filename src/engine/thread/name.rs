//! The name of the running thread, as the system has it.

use std::cell::Cell;

use crate::engine::memory::errno::KeepErrno;
use crate::engine::thread::tag::TagId;

thread_local! {
    // Const-initialised and without a destructor, as all that an event asks for.
    /// The thread's name, and the bits of the session in which it was read.
    static NAME: Cell<(u64, TagId)> = const { Cell::new((0, TagId::NONE)) };
}

/// The name of this thread in the session with these `bits`: as `read` makes it of what the system knows, once.
pub(crate) fn name(bits: u64, read: impl FnOnce(&[u8]) -> TagId) -> TagId {
    let known = NAME.try_with(Cell::get).unwrap_or_default();
    if known.0 == bits {
        return known.1;
    }
    let name = with_system_name(read);
    let _ = NAME.try_with(|kept| kept.set((bits, name)));
    name
}

/// Longest name that a system has, and a zero behind it.
const LONGEST: usize = 64;

/// Calls `take` with the name of this thread: `main` for the first one, empty where it is not known.
#[inline(never)]
fn with_system_name<R>(take: impl FnOnce(&[u8]) -> R) -> R {
    let _errno = KeepErrno::new();
    if system::is_main() {
        return take(b"main");
    }
    let mut name = [0; LONGEST];
    system::read(&mut name);
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(LONGEST);
    take(name.get(..len).unwrap_or_default())
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod system {
    pub(super) fn is_main() -> bool {
        // SAFETY: asks the kernel for a number.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) } as libc::pid_t;
        // SAFETY: as above.
        let process = unsafe { libc::getpid() };
        process == thread
    }

    /// At most 15 bytes and a zero.
    pub(super) fn read(name: &mut [u8; super::LONGEST]) {
        // SAFETY: the kernel writes at most 16 bytes there.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    }
}

#[cfg(all(target_vendor = "apple", not(miri)))]
mod system {
    pub(super) fn is_main() -> bool {
        // SAFETY: asks for a number.
        unsafe { libc::pthread_main_np() == 1 }
    }

    pub(super) fn read(name: &mut [u8; super::LONGEST]) {
        // SAFETY: the running thread is there, and the function writes at most as many bytes.
        unsafe {
            libc::pthread_getname_np(libc::pthread_self(), name.as_mut_ptr().cast(), name.len());
        }
    }
}

/// Not known how to ask.
#[cfg(any(
    miri,
    not(any(target_os = "linux", target_os = "android", target_vendor = "apple"))
))]
mod system {
    pub(super) fn is_main() -> bool {
        false
    }

    pub(super) fn read(_: &mut [u8; super::LONGEST]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(any(target_os = "linux", target_vendor = "apple"), not(miri)))]
    #[test]
    fn a_thread_is_called_what_it_was_named() {
        let named = std::thread::Builder::new().name("worker-1".to_owned());
        let name = named
            .spawn(|| with_system_name(<[u8]>::to_vec))
            .expect("starts");
        assert_eq!(name.join().expect("ends"), b"worker-1");
    }

    #[test]
    fn a_name_is_read_once_in_a_session() {
        let mut reads = 0;
        let mut read = |bits| {
            name(bits, |_| {
                reads += 1;
                TagId::REFUSED
            })
        };
        let names = [read(8), read(8), read(16)];
        assert_eq!((names, reads), ([TagId::REFUSED; 3], 2));
    }
}
