//! What is known of the operating system's allocator.

/// Whether `malloc` is glibc's own, and not one that was put in its place when the program was
/// loaded: no other gives 24 usable bytes to a request for 1.
///
/// Its smallest chunk has 32 bytes, of which 24 are the block's, and chunks begin at multiples
/// of 16: so no two blocks start within 32 bytes.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    not(miri)
))]
pub(super) fn is_glibc_malloc() -> bool {
    // SAFETY: any size may be asked for.
    let block = unsafe { libc::malloc(1) };
    // SAFETY: the block was just returned by `malloc`, or is null, for which the answer is 0.
    let usable = unsafe { libc::malloc_usable_size(block) };
    // SAFETY: as above; nobody else has the block.
    unsafe { libc::free(block) };
    usable == 24
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    not(miri)
)))]
pub(super) fn is_glibc_malloc() -> bool {
    false
}
