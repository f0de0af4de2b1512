//! Snapshots on a signal.

use signal_hook::consts::FORBIDDEN;
use signal_hook::iterator::Signals;

use super::series::Series;
use super::thread::{DumpThread, save};
use crate::error::{Error, ErrorKind};

/// Numbers of signals are below this on all systems.
const END: i32 = 128;

/// Saves a snapshot in `series` whenever the process gets `signal`, in a thread of its own, until the
/// [`DumpThread`] is dropped. `libc::SIGUSR2` is the one to use: its number differs between systems, and
/// few programs have a use of their own for it.
///
/// The handler of the signal only wakes the thread. An earlier handler runs too. Signals that arrive while
/// a snapshot is being saved cause one more snapshot, however many they are. After the [`DumpThread`] is
/// dropped, the signal does nothing, unless it had a handler before.
///
/// If tracing is off, or the snapshot cannot be saved, one line on standard error says so. The child of a
/// fork has the handler without the thread: a signal to it does nothing. A child that becomes another
/// program has neither, and most signals end it.
///
/// # Errors
/// [`ErrorKind::InvalidSignal`] for a number that is no signal, or one that the system does not let a
/// program handle, or that means a defect (`SIGKILL`, `SIGSTOP`, `SIGSEGV`, `SIGILL`, `SIGFPE`);
/// [`ErrorKind::Io`] if the thread cannot be started.
///
/// ```no_run
/// use tracemalloc::Series;
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(25)?;
/// let series = Series::new("dumps/heap").keep(10);
/// let _thread = tracemalloc::dump_on_signal(libc::SIGUSR2, series)?;
/// // The program itself. Now `kill -USR2 PROCESS` saves a snapshot.
/// # Ok(())
/// # }
/// ```
pub fn dump_on_signal(signal: i32, series: Series) -> Result<DumpThread, Error> {
    let invalid =
        |why: &str| Error::new(ErrorKind::InvalidSignal, format!("signal {signal}: {why}"));
    if FORBIDDEN.contains(&signal) {
        return Err(invalid("a program cannot handle it safely"));
    }
    if !(1..END).contains(&signal) {
        return Err(invalid("there is no such signal"));
    }
    let mut signals = Signals::new([signal]).map_err(|error| invalid(&error.to_string()))?;
    let handle = signals.handle();
    let occasion = format!("on signal {signal}");
    let work = move || signals.forever().for_each(|_| save(&series, &occasion));
    DumpThread::start(work, move || handle.close())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_cannot_be_handled_are_refused() {
        let check = |signal: i32, why: &str| {
            let error = dump_on_signal(signal, Series::new("a")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSignal);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("signal {signal}: {why}")),
                "{text}"
            );
        };
        for signal in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV] {
            check(signal, "a program cannot handle it");
        }
        for signal in [i32::MIN, -1, 0, 128, i32::MAX] {
            check(signal, "there is no such signal");
        }
        // The system's own answer.
        check(127, "");
    }
}
