//! Memory and name of this process, from the system.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Bytes of the process in physical memory; `None` if the system does not report them.
///
/// Linux alone is asked: this opens and reads `/proc/self/status`.
pub(crate) fn resident_memory() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The function that tells what the allocator holds; null: the C library is asked, if blocks come from there.
static TELLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Has `held` asked for what the allocator of the program holds, for each snapshot from now on.
///
/// Snapshots record it as [`Recording::allocator_memory`](crate::Recording::allocator_memory), and reports set it
/// beside the live blocks: what an allocator holds beyond them is free memory that it keeps, or gaps between blocks.
/// Without this call glibc is asked, if [`TraceAlloc::system`](crate::TraceAlloc::system) is installed and its `malloc`
/// is glibc's. A program that wraps another allocator hands over that one's own statistics.
///
/// `held` returns bytes, or `None` if it does not know. Whichever thread takes a snapshot calls it, several at
/// one time if they do. What it allocates is not traced. A later call replaces the function.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// // With jemalloc: `|| tikv_jemalloc_ctl::stats::mapped::read().ok().map(|bytes| bytes as u64)`.
/// tracemalloc::set_allocator_memory(|| Some(8 << 20));
/// tracemalloc::start(1)?;
/// let recording = tracemalloc::take_snapshot()?.recording().clone();
/// assert_eq!(recording.allocator_memory, Some(8 << 20));
/// # Ok(())
/// # }
/// ```
pub fn set_allocator_memory(held: fn() -> Option<u64>) {
    TELLER.store(held as *mut (), Ordering::Release);
}

/// Bytes that the allocator has got from the system, in use or not; `None` if nobody tells. `is_c_librarys`:
/// the program's blocks come from the C library, as far as is known.
#[expect(unsafe_code, reason = "a function in an atomic")]
pub(crate) fn allocator_memory(is_c_librarys: bool) -> Option<u64> {
    let teller = TELLER.load(Ordering::Acquire);
    if teller.is_null() {
        return is_c_librarys.then(c_allocator_memory).flatten();
    }
    // SAFETY: only `set_allocator_memory` writes there, functions of this type.
    let teller = unsafe { std::mem::transmute::<*mut (), fn() -> Option<u64>>(teller) };
    teller()
}

/// Bytes that the C library's allocator has got from the system, in use or not; `None` where it does
/// not tell, or holds nothing.
///
/// glibc alone tells, from 2.33 on.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
#[expect(unsafe_code, reason = "a C function that older libraries lack")]
pub(crate) fn c_allocator_memory() -> Option<u64> {
    type Mallinfo2 = unsafe extern "C" fn() -> libc::mallinfo2;
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the C library's function of this name has this type.
    let mallinfo2 = unsafe { std::mem::transmute::<*mut libc::c_void, Mallinfo2>(found) };
    // SAFETY: it takes nothing and may be called by any thread.
    let answer = unsafe { mallinfo2() };
    let bytes = (answer.arena as u64).checked_add(answer.hblkhd as u64)?;
    (bytes > 0).then_some(bytes)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
pub(crate) fn c_allocator_memory() -> Option<u64> {
    None
}

/// The number of the line `VmRSS:     1234 kB`.
fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        let status = "Name:\tapp\nVmHWM:\t    2000 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n";
        assert_eq!(resident_in(status), Some(1234 * 1024));
        for broken in [
            "",
            "VmRSS:",
            "VmRSS:\t x kB",
            "VmRSS:\t 12",
            "VmRSS:\t18446744073709551615 kB",
        ] {
            assert_eq!(resident_in(broken), None, "{broken:?}");
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    #[test]
    fn the_allocator_holds_what_this_process_has_allocated() {
        const SIZE: u64 = 300 << 20;
        // Before it, glibc may not tell.
        let before = c_allocator_memory();
        let block = std::hint::black_box(vec![0_u8; SIZE as usize]);
        let with = c_allocator_memory();
        drop(block);
        if let (Some(before), Some(with)) = (before, with) {
            assert!(with >= before + SIZE / 2, "{before} {with}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_resident() {
        let bytes = resident_memory().expect("Linux tells");
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}
