//! The time in milliseconds, as cheap as it can be had.

use std::sync::atomic::Ordering;

use crate::engine::thread::slot::ThreadSlot;

/// Events of a thread that take the time from one look at the clock.
const EVENTS: u32 = 16;

/// Milliseconds as the thread of `slot` knows them: it looks at the clock at every 16th event. The
/// first few events after a rest are taken for earlier than they were, allocations as well as frees.
#[inline(always)]
pub(super) fn of_slot(slot: &ThreadSlot) -> u64 {
    let age = slot.time_age.load(Ordering::Relaxed);
    if age == 0 {
        slot.time.store(milliseconds(), Ordering::Relaxed);
    }
    slot.time_age.store((age + 1) % EVENTS, Ordering::Relaxed);
    slot.time.load(Ordering::Relaxed)
}

/// Milliseconds since some moment before the process began.
///
/// On Linux it is the coarse clock, which the kernel moves on every 1 to 4 milliseconds: the time
/// between two events is right on average, however short it is.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
#[inline]
pub(crate) fn milliseconds() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure may be written. The clock exists on every Linux, and is read without
    // entering the system, so it leaves `errno` alone.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Elsewhere the clock of the day: a change of it is a mistake in how long blocks lived.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
pub(crate) fn milliseconds() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};

    if cfg!(miri) {
        return 0;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}
