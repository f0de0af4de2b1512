//! The tracer's own memory, and how it leaves the thread's `errno` as it found it.

#[expect(unsafe_code, reason = "maps memory and hands out references into it")]
pub(super) mod arena;
pub(super) mod budget;
#[expect(
    unsafe_code,
    reason = "lends out exclusive references to shared memory"
)]
pub(super) mod buffers;
pub(super) mod errno;
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "the instruction takes a pointer")
)]
pub(super) mod prefetch;
#[cfg(any(test, tracemalloc_failpoints))]
pub(super) mod refusals;
pub(super) mod this_thread;
