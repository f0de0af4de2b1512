//! Snapshots when the memory in use crosses a threshold.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread::{self, Thread};

use super::series::Series;
use super::thread::{DumpThread, save_with};
use crate::engine::{TRACKER, Wake};
use crate::error::{Error, ErrorKind};

/// Where [`dump_above`] saves snapshots: at a number of bytes, and again at each step beyond it.
///
/// A number converts into a threshold with steps of its own size and at most 8 snapshots.
///
/// ```
/// use tracemalloc::Above;
///
/// // At 512 MiB, 640 MiB, 768 MiB and 896 MiB.
/// let above = Above::new(512 << 20).step(128 << 20).max_snapshots(4);
/// assert_ne!(above, (512 << 20).into());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a threshold does nothing by itself"]
pub struct Above {
    bytes: u64,
    step: u64,
    max_snapshots: u32,
}

impl Above {
    /// At `bytes` live bytes, and at each multiple of it, at most 8 times.
    pub const fn new(bytes: u64) -> Self {
        Self {
            bytes,
            step: bytes,
            max_snapshots: 8,
        }
    }

    /// At each `bytes` more beyond the first threshold.
    pub const fn step(mut self, bytes: u64) -> Self {
        self.step = bytes;
        self
    }

    /// At most this many snapshots; 8 by default. 0 counts as 1.
    pub const fn max_snapshots(mut self, snapshots: u32) -> Self {
        self.max_snapshots = if snapshots == 0 { 1 } else { snapshots };
        self
    }

    /// The first threshold beyond `bytes`.
    fn beyond(self, bytes: u64) -> u64 {
        let steps = match bytes.checked_sub(self.bytes) {
            Some(more) => more / self.step + 1,
            None => 0,
        };
        self.bytes.saturating_add(steps.saturating_mul(self.step))
    }
}

impl From<u64> for Above {
    fn from(bytes: u64) -> Self {
        Self::new(bytes)
    }
}

/// The thread that waits. The handle of an earlier one is never freed: an allocation may be about to
/// wake it.
static WAITING: AtomicPtr<Thread> = AtomicPtr::new(ptr::null_mut());
/// There is such a thread.
static RUNS: AtomicBool = AtomicBool::new(false);
static WAKE: Wake = wake;

/// Saves a snapshot in `series` when the traced bytes that are live reach a threshold, and again at
/// each further step, in a thread of its own, until the [`DumpThread`] is dropped or the last
/// snapshot is saved.
///
/// The allocation that crosses the threshold wakes the thread and continues. The snapshot is taken a
/// moment later. Its [attributes](crate::Snapshot::attributes) `threshold` and `current_at_threshold`
/// hold the threshold, and the bytes that were live when it was crossed. Each threshold counts once:
/// memory that falls and rises again saves nothing. If several thresholds are crossed while a snapshot
/// is being saved, only the last one counts.
///
/// A thread adds its part to the sum that is compared after every 64 KiB that it has moved, so a
/// crossing is noticed late by up to 64 KiB for each thread. While tracing is off nothing is saved. The
/// child of a fork has no such thread.
///
/// # Errors
/// [`ErrorKind::InvalidThreshold`] for a threshold or a step of 0 bytes;
/// [`ErrorKind::AlreadyRunning`] while another such thread waits; [`ErrorKind::Io`] if the thread
/// cannot be started.
///
/// ```no_run
/// use tracemalloc::Series;
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(25)?;
/// let _thread = tracemalloc::dump_above(512 << 20, Series::new("dumps/heap"))?;
/// // The program itself.
/// # Ok(())
/// # }
/// ```
pub fn dump_above(above: impl Into<Above>, series: Series) -> Result<DumpThread, Error> {
    let above = above.into();
    if above.bytes == 0 || above.step == 0 {
        return Err(Error::new(
            ErrorKind::InvalidThreshold,
            "a threshold and the step to the next one have 1 byte at least, not 0",
        ));
    }
    if RUNS.swap(true, Ordering::AcqRel) {
        return Err(Error::new(
            ErrorKind::AlreadyRunning,
            "a thread of an earlier call of dump_above waits for its threshold",
        ));
    }
    let running = Running;
    let stop = Arc::new(Stop::default());
    let stopping = Arc::clone(&stop);
    let work = move || {
        let _running = running;
        WAITING.store(
            Box::into_raw(Box::new(thread::current())),
            Ordering::Release,
        );
        wait(above, &series, &stopping);
    };
    DumpThread::start(work, move || stop.stop())
}

/// Ends with the thread.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        TRACKER.alarm.clear();
        RUNS.store(false, Ordering::Release);
    }
}

/// Tells the thread to end.
#[derive(Default)]
struct Stop(AtomicBool);

impl Stop {
    fn stop(&self) {
        self.0.store(true, Ordering::Release);
        wake();
    }
}

/// Runs inside an allocation.
fn wake() {
    #[expect(unsafe_code, reason = "a shared handle")]
    // SAFETY: null, or a handle that is never freed.
    let waiting = unsafe { WAITING.load(Ordering::Acquire).as_ref() };
    if let Some(waiting) = waiting {
        waiting.unpark();
    }
}

fn wait(above: Above, series: &Series, stop: &Stop) {
    let mut threshold = above.bytes;
    let mut left = above.max_snapshots;
    while left > 0 {
        TRACKER.alarm.set(threshold, &WAKE);
        let reached = loop {
            if stop.0.load(Ordering::Acquire) {
                return;
            }
            // What was reached before there was an alarm rings none.
            let current = crate::get_traced_memory().current;
            let reached = TRACKER.alarm.take_reached();
            if let Some(reached) = reached.or((current >= threshold).then_some(current)) {
                break reached;
            }
            thread::park();
        };
        TRACKER.alarm.clear();
        let attributes = [
            (
                "threshold",
                above.beyond(reached).saturating_sub(above.step),
            ),
            ("current_at_threshold", reached),
        ];
        save_with(series, "above a threshold", &attributes);
        left -= 1;
        threshold = above.beyond(reached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_no_threshold() {
        for above in [Above::new(0), Above::new(5).step(0), Above::new(0).step(5)] {
            let error = dump_above(above, Series::new("a")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidThreshold);
        }
    }

    #[test]
    fn thresholds_are_steps_apart() {
        let above = Above::new(100).step(30);
        let next = [0, 99, 100, 129, 130, 131, 1000].map(|bytes| above.beyond(bytes));
        assert_eq!(next, [100, 100, 130, 130, 160, 160, 1030]);
        assert_eq!(above.beyond(u64::MAX), u64::MAX);
        assert_eq!(Above::from(7).beyond(7), 14);
    }
}
