//! A thread that saves snapshots until its handle is dropped.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::thread::{self, JoinHandle};

use super::series::Series;
use super::{report, with_limited_files};
use crate::error::Error;

/// A thread that saves snapshots. Dropping this ends it, after the snapshot that it is at.
///
/// The thread does not keep the program from exiting. A program that exits while a snapshot is being
/// saved leaves a hidden, incomplete file of another name behind, so keep this in `main` and let it be
/// dropped there.
///
/// The child of a fork has no such thread, and dropping this does nothing there.
#[must_use = "the thread ends when this is dropped"]
#[derive(Debug)]
pub struct DumpThread(Option<Running>);

struct Running {
    thread: JoinHandle<()>,
    stop: Box<dyn Fn() + Send + Sync>,
    /// The process that has the thread.
    process: u32,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Running")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl DumpThread {
    /// Runs `work` in a thread. `stop` makes it return soon.
    pub(super) fn start(
        work: impl FnOnce() + Send + 'static,
        stop: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let thread = thread::Builder::new()
            .name("tracemalloc".to_owned())
            .spawn(work)
            .map_err(|error| Error::io("cannot start a thread", error))?;
        Ok(Self(Some(Running {
            thread,
            stop: Box::new(stop),
            process: process::id(),
        })))
    }

    /// Lets the thread go on as long as the process lives.
    pub fn detach(mut self) {
        // Dropping the channel would end the thread too.
        mem::forget(self.0.take());
    }
}

impl Drop for DumpThread {
    fn drop(&mut self) {
        let Some(running) = self.0.take() else { return };
        if running.process != process::id() {
            // The thread is not there, and what it listens to is its parent's.
            return mem::forget(running);
        }
        (running.stop)();
        // It has caught its panics.
        let _ = running.thread.join();
    }
}

/// Saves one snapshot. The thread survives any failure; the panic hook has already reported a panic.
pub(super) fn save(series: &Series, occasion: &str) {
    save_with(series, occasion, &[]);
}

/// Saves one snapshot with attributes, as [`save`] does.
pub(super) fn save_with(series: &Series, occasion: &str, attributes: &[(&str, u64)]) {
    let taken = catch_unwind(AssertUnwindSafe(|| {
        with_limited_files(|| {
            let mut snapshot = crate::take_snapshot()?;
            for (name, value) in attributes {
                snapshot.set_attribute(*name, value.to_string());
            }
            series.dump(&snapshot)
        })
    }));
    if let Ok(Err(error)) = taken {
        report(occasion, &error);
    }
}
