//! Snapshots from time to time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::series::Series;
use super::thread::{DumpThread, save};
use crate::error::{Error, ErrorKind};

/// Saves a snapshot in `series` every `period`, in a thread of its own, until the [`DumpThread`] is
/// dropped.
///
/// The first snapshot is taken after one period, and each later one a period after the one before was
/// saved. While tracing is off, nothing is saved. If a snapshot cannot be saved, one line on standard
/// error says so, and the thread continues.
///
/// # Errors
/// [`ErrorKind::InvalidPeriod`] for a period of 0; [`ErrorKind::Io`] if the thread cannot be started.
///
/// ```no_run
/// use std::time::Duration;
/// use tracemalloc::Series;
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(25)?;
/// let series = Series::new("dumps/heap").keep(24);
/// let _thread = tracemalloc::dump_every(Duration::from_secs(3600), series)?;
/// // The program itself.
/// # Ok(())
/// # }
/// ```
pub fn dump_every(period: Duration, series: Series) -> Result<DumpThread, Error> {
    if period.is_zero() {
        return Err(Error::new(
            ErrorKind::InvalidPeriod,
            "the period between two snapshots is 0",
        ));
    }
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        while receiver.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
            if crate::is_tracing() {
                save(&series, "from time to time");
            }
        }
    };
    DumpThread::start(work, move || {
        let _ = sender.send(());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_of_0_is_refused() {
        let error = dump_every(Duration::ZERO, Series::new("a")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPeriod);
    }
}
