//! Snapshots that a running program saves by itself: at its exit, when it panics, on a signal, from
//! time to time, when its memory crosses a threshold.
//!
//! [`pattern`] and [`series`] say which file, the others when. Nothing here knows records or formats:
//! a snapshot is taken and saved by the functions that a program would call.

mod above;
pub(crate) mod at_exit;
#[cfg(unix)]
pub(crate) mod ending;
mod panic;
pub(crate) mod pattern;
mod periodic;
mod series;
#[cfg(all(unix, feature = "signal"))]
mod signal;
mod thread;
#[cfg(unix)]
mod too_large;

pub use above::{Above, dump_above};
pub use panic::dump_on_panic;
pub use periodic::dump_every;
pub use series::Series;
#[cfg(all(unix, feature = "signal"))]
pub use signal::dump_on_signal;
pub use thread::DumpThread;

use std::io::{self, Write};
use std::path::Path;

use crate::engine::Guard;
use crate::error::Error;

/// Tells of an error where there is nobody to return it to.
fn report(occasion: &str, error: &Error) {
    let line = format!("tracemalloc: snapshot {occasion}: {error}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Takes a snapshot and saves it as the file `path`. Saving is not recorded: the program may go on.
fn save_to(path: &Path) -> Result<(), Error> {
    with_limited_files(|| {
        let snapshot = crate::take_snapshot()?;
        let _unrecorded = Guard::enter();
        snapshot.dump(path)
    })
}

/// Does `work`, in which a file that gets too large for the process is an error and not its end.
fn with_limited_files<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(unix)]
    let _held = too_large::Held::new();
    work()
}
