//! What a library with a tracer of its own calls before it is unloaded.

use super::TRACKER;

/// Stops tracing and gives the tracer's tables back to the system, before the library that has this
/// tracer is unloaded.
///
/// Without it each load and unload of such a library leaves some hundreds of KiB of tables behind:
/// they stay for the life of the process, because nothing shows when the last thread has left them.
/// A program has no use for it.
///
/// Allocations go on as before, untraced. A later [`start`](crate::start) fails with
/// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory). What the library has allocated by
/// itself, names that a snapshot has read included, is not given back.
///
/// # Safety
/// No other thread runs code of this library while this function runs. Afterwards the library only
/// allocates and frees: it calls no other function of this crate but `start`, `stop` and
/// `is_tracing`, and it has no [`Tracked`](crate::Tracked) value and no thread that saves snapshots.
///
/// ```
/// /// What the program calls before `dlclose`.
/// #[unsafe(no_mangle)]
/// extern "C" fn plugin_unload() {
///     // SAFETY: the program has ended all calls into this library, and makes none afterwards.
///     unsafe { tracemalloc::unload() };
/// }
/// # let _ = plugin_unload;
/// ```
#[expect(unsafe_code, reason = "a promise of the caller's")]
pub unsafe fn unload() {
    // SAFETY: the caller's promise.
    unsafe { TRACKER.unload() };
}
