//! Starting from the environment, so that a program can be traced without being changed.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Once;

use crate::Size;
use crate::config::{Config, Names};
#[cfg(feature = "file")]
use crate::dump::at_exit::dump_at_exit;
#[cfg(all(unix, feature = "file"))]
use crate::dump::ending::{SIGNALS as SIGNALS_THAT_END, dump_at_end};
use crate::error::{Error, ErrorKind};

const FRAMES: &str = "TRACEMALLOC";
const OUT: &str = "TRACEMALLOC_OUT";
const SAMPLE: &str = "TRACEMALLOC_SAMPLE";
const HISTORY: &str = "TRACEMALLOC_HISTORY";
const SIGNALS: &str = "TRACEMALLOC_SIGNALS";
const NAMES: &str = "TRACEMALLOC_NAMES";

/// Starts tracing if the environment asks for it. Call it early in `main`; an explicit
/// [`start`](crate::start) before it wins, as in CPython the command line wins over the variable.
///
/// | variable | meaning |
/// | --- | --- |
/// | `TRACEMALLOC` | frames per block; unset, empty or 0: do not trace |
/// | `TRACEMALLOC_OUT` | file of a snapshot at exit, `%p`: process number; unset or empty: none |
/// | `TRACEMALLOC_SAMPLE` | bytes of [`Config::sample_every`], such as `512K`; unset, empty or 0: record them all |
/// | `TRACEMALLOC_HISTORY` | 1: [`Config::history`], so that the file shows what the peak was made of; unset, empty or 0: none |
/// | `TRACEMALLOC_NAMES` | `later`: [`Config::names`], so that the file is named by `tracemalloc symbolize`; unset, empty or `now`: named by the process |
/// | `TRACEMALLOC_SIGNALS` | signals that end the process after its snapshot is saved, such as `INT,TERM`; unset or empty: none |
///
/// A [`Size`] may have a unit: `512K` and `512KiB` are 524,288 bytes.
///
/// Where one of the first two variables is set without the other, one line on standard error says so:
/// either nothing is traced, or nothing is saved at exit.
///
/// The snapshot is written when `main` returns, also after a panic, or when `std::process::exit` is
/// called; where a panic aborts, at the panic. An error then goes to standard error. It is not written
/// when the process is killed, except by a signal of `TRACEMALLOC_SIGNALS` (on Unix: `INT`, `TERM` and
/// `HUP`). Such a signal wakes a thread that saves the snapshot and then lets the signal end the
/// process, so the exit status does not change. A second signal ends the process immediately. An ignored
/// signal stays ignored. A handler that the program sets later replaces this one. The child of a fork
/// writes a snapshot too if `%p` gives it a file of its own, and leaves its parent's alone. The other
/// variables are read only if the first one turns tracing on. A process with more privileges than its
/// user ignores them all.
///
/// # Errors
/// [`ErrorKind::InvalidVariable`] for a value that means nothing, for a file in a build without
/// the feature `file`, and for a signal that the program handles already; [`ErrorKind::Io`] if the
/// thread for signals cannot be started; [`ErrorKind::OutOfMemory`] if the exit function cannot be registered; and
/// those of [`Config::start`].
///
/// ```no_run
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// fn main() -> Result<(), tracemalloc::Error> {
///     tracemalloc::start_from_env()?;
///     // The program itself.
///     Ok(())
/// }
/// ```
pub fn start_from_env() -> Result<(), Error> {
    if is_privileged() {
        return Ok(());
    }
    let asked = env::var_os(FRAMES).filter(|frames| !frames.is_empty());
    let out = env::var_os(OUT).filter(|path| !path.is_empty());
    let switched_off = asked.as_deref().is_some_and(|frames| frames == "0");
    if !switched_off && let Some(missing) = missing(asked.is_some(), out.is_some()) {
        say_once(missing);
    }
    let Some(frames) = frames(asked)? else {
        return Ok(());
    };
    let sample_every = sample_every(env::var_os(SAMPLE))?;
    let history = history(env::var_os(HISTORY))?;
    let signals = signals(env::var_os(SIGNALS), out.is_some())?;
    let names = names(env::var_os(NAMES))?;
    let config = Config::new().frames(frames).history(history).names(names);
    match sample_every {
        Some(bytes) => config.sample_every(bytes).start()?,
        None => config.start()?,
    }
    let Some(pattern) = out else { return Ok(()) };
    #[cfg(all(feature = "file", panic = "abort"))]
    if !saves_already() {
        crate::dump_on_panic(&pattern);
    }
    dump_at_exit(pattern)?;
    if signals.is_empty() {
        return Ok(());
    }
    dump_at_end(&signals)
}

/// True if this was called before: a program may start several times.
#[cfg(all(feature = "file", panic = "abort"))]
fn saves_already() -> bool {
    static SAVES: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    SAVES.swap(true, std::sync::atomic::Ordering::Relaxed)
}

/// What a user who set one of two variables may have forgotten.
fn missing(frames: bool, out: bool) -> Option<&'static str> {
    match (frames, out) {
        (false, true) => Some(
            "TRACEMALLOC_OUT is set and TRACEMALLOC is not: nothing is traced; set TRACEMALLOC=25",
        ),
        (true, false) => Some(
            "TRACEMALLOC is set and TRACEMALLOC_OUT is not: tracing is on, and no snapshot is saved at \
             exit",
        ),
        (true, true) | (false, false) => None,
    }
}

/// Writes a line to standard error, once in a process: a program may start several times.
fn say_once(line: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        // Standard error may be closed: then nobody reads it.
        let _ = writeln!(io::stderr(), "tracemalloc: {line}");
    });
}

/// The number of frames that a value of `TRACEMALLOC` asks for. Leading blanks are allowed, as in
/// CPython.
fn frames(value: Option<OsString>) -> Result<Option<usize>, Error> {
    let Some(value) = value else { return Ok(None) };
    let text = value.to_string_lossy();
    match text.trim_start().parse() {
        _ if text.is_empty() => Ok(None),
        Ok(0) => Ok(None),
        Ok(frames @ 1..=65_535) => Ok(Some(frames)),
        _ => Err(Error::new(
            ErrorKind::InvalidVariable,
            format!("{FRAMES}={text}: invalid number of frames, expected 0 to 65535"),
        )),
    }
}

/// The sampling period in bytes that a value of `TRACEMALLOC_SAMPLE` asks for. Leading blanks are
/// allowed as above.
fn sample_every(value: Option<OsString>) -> Result<Option<u64>, Error> {
    let Some(value) = value else { return Ok(None) };
    let text = value.to_string_lossy();
    if text.is_empty() {
        return Ok(None);
    }
    match text.trim_start().parse() {
        Ok(Size(0)) => Ok(None),
        Ok(Size(bytes)) => Ok(Some(bytes)),
        Err(_) => Err(Error::new(
            ErrorKind::InvalidVariable,
            format!(
                "{SAMPLE}={text}: invalid size, expected a number of bytes such as 524288 or 512K"
            ),
        )),
    }
}

/// Whether a value of `TRACEMALLOC_HISTORY` asks for a history. Leading blanks are allowed as above.
fn history(value: Option<OsString>) -> Result<bool, Error> {
    let Some(value) = value else {
        return Ok(false);
    };
    let text = value.to_string_lossy();
    match text.trim_start() {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if text.is_empty() => Ok(false),
        _ => Err(Error::new(
            ErrorKind::InvalidVariable,
            format!("{HISTORY}={text}: expected 1, or 0 for no history"),
        )),
    }
}

/// When a value of `TRACEMALLOC_NAMES` asks for names. Leading blanks are allowed as above.
fn names(value: Option<OsString>) -> Result<Names, Error> {
    let Some(value) = value else {
        return Ok(Names::Now);
    };
    let text = value.to_string_lossy();
    match text.trim_start() {
        "later" => Ok(Names::Later),
        "now" => Ok(Names::Now),
        _ if text.is_empty() => Ok(Names::Now),
        _ => Err(Error::new(
            ErrorKind::InvalidVariable,
            format!("{NAMES}={text}: expected now, or later for names that are read from the file"),
        )),
    }
}

/// The signals that a value of `TRACEMALLOC_SIGNALS` names.
fn signals(value: Option<OsString>, has_out: bool) -> Result<Vec<i32>, Error> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(Vec::new());
    };
    let text = value.to_string_lossy();
    let invalid = |why: String| {
        Error::new(
            ErrorKind::InvalidVariable,
            format!("{SIGNALS}={text}: {why}"),
        )
    };
    let known = SIGNALS_THAT_END.map(|(name, _)| name).join(", ");
    let mut signals = Vec::new();
    for name in text.split(',').map(str::trim) {
        let short = name.strip_prefix("SIG").unwrap_or(name);
        let found = SIGNALS_THAT_END.iter().find(|(name, _)| *name == short);
        let (_, number) = found.ok_or_else(|| {
            invalid(format!(
                "{name:?} is none of the signals that can be asked for: {known}"
            ))
        })?;
        if is_handled(*number) {
            return Err(invalid(format!(
                "the program handles SIG{short} itself; let that handler end the program, so that its \
                 snapshot is saved at exit, or call dump_on_signal"
            )));
        }
        signals.push(*number);
    }
    if !has_out {
        return Err(invalid(format!(
            "{OUT} does not say where to save a snapshot"
        )));
    }
    Ok(signals)
}

#[cfg(not(all(unix, feature = "file")))]
const SIGNALS_THAT_END: [(&str, i32); 0] = [];

#[cfg(not(all(unix, feature = "file")))]
fn dump_at_end(_signals: &[i32]) -> Result<(), Error> {
    Ok(())
}

/// Whether the program has a handler of its own.
#[cfg(all(unix, feature = "file"))]
fn is_handled(signal: i32) -> bool {
    use crate::dump::ending::{Disposition, disposition};
    disposition(signal) == Disposition::Programs
}

#[cfg(not(all(unix, feature = "file")))]
fn is_handled(_signal: i32) -> bool {
    false
}

/// Whether the process runs with rights that its user does not have: then the user must not choose
/// its files.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_privileged() -> bool {
    #[expect(unsafe_code, reason = "a C function")]
    // SAFETY: reads a value that the kernel gave the process at its start.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    secure != 0
}

/// Elsewhere the system does not tell, but the rights themselves do.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
#[expect(unsafe_code, reason = "C functions")]
fn is_privileged() -> bool {
    // SAFETY: takes nothing and returns a number.
    let user = unsafe { libc::getuid() };
    // SAFETY: as above.
    let group = unsafe { libc::getgid() };
    // SAFETY: as above.
    let acts_as_user = unsafe { libc::geteuid() };
    // SAFETY: as above.
    let acts_as_group = unsafe { libc::getegid() };
    (user, group) != (acts_as_user, acts_as_group)
}

#[cfg(not(unix))]
fn is_privileged() -> bool {
    false
}

#[cfg(not(feature = "file"))]
fn dump_at_exit(_pattern: OsString) -> Result<(), Error> {
    Err(Error::new(
        ErrorKind::InvalidVariable,
        format!("{OUT}: this build cannot write snapshots, it lacks the feature `file`"),
    ))
}

#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    //! A way in for the fuzzer.

    use std::ffi::OsString;

    /// Reads each value as if it were in the environment.
    pub fn environment(value: &OsString) {
        let read = super::frames(Some(value.clone()));
        assert!(!matches!(read, Ok(Some(0 | 65_536..))), "{value:?}");
        let read = super::sample_every(Some(value.clone()));
        assert!(!matches!(read, Ok(Some(0))), "{value:?}");
        let _ = super::history(Some(value.clone()));
        let _ = super::names(Some(value.clone()));
        let _ = super::signals(Some(value.clone()), true);
        let path = crate::dump::pattern::path_of(value, 1);
        let marks = value.as_encoded_bytes().contains(&b'%');
        assert!(marks || path.as_os_str() == value, "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variable_without_the_other_is_said() {
        assert!(missing(false, true).unwrap().contains("nothing is traced"));
        assert!(
            missing(true, false)
                .unwrap()
                .contains("no snapshot is saved")
        );
        assert_eq!((missing(true, true), missing(false, false)), (None, None));
    }

    #[test]
    fn values_of_the_frames_variable() {
        let check = |value: &str, expect: Result<Option<usize>, ()>| {
            let read = frames(Some(value.into()));
            if let Err(error) = &read {
                assert_eq!(error.kind(), ErrorKind::InvalidVariable);
                assert!(
                    error.to_string().contains(&format!("TRACEMALLOC={value}")),
                    "{error}"
                );
            }
            assert_eq!(read.map_err(|_| ()), expect, "{value:?}");
        };
        assert_eq!(frames(None).unwrap(), None);
        check("", Ok(None));
        check("0", Ok(None));
        check("00", Ok(None));
        check("1", Ok(Some(1)));
        check(" 25", Ok(Some(25)));
        check("65535", Ok(Some(65_535)));
        for bad in [
            "65536",
            "-1",
            "1073741824",
            "99999999999999999999",
            "on",
            "25 ",
            "2.5",
            " ",
        ] {
            check(bad, Err(()));
        }
    }

    #[test]
    fn values_of_the_history_variable() {
        assert!(!history(None).unwrap());
        for (value, expected) in [("", false), ("0", false), ("1", true), (" 1", true)] {
            assert_eq!(history(Some(value.into())).unwrap(), expected, "{value:?}");
        }
        for bad in ["2", "on", "true", "1 ", " ", "01"] {
            let error = history(Some(bad.into())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidVariable);
            let expected = format!("TRACEMALLOC_HISTORY={bad}: expected 1, or 0 for no history");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[cfg(all(unix, feature = "file"))]
    #[test]
    fn values_of_the_signals_variable() {
        let read = |value: &str| signals(Some(value.into()), true);
        assert!(signals(None, false).unwrap().is_empty() && read("").unwrap().is_empty());
        assert_eq!(read("TERM").unwrap(), [libc::SIGTERM]);
        let both = [libc::SIGINT, libc::SIGHUP];
        assert_eq!(read("INT,HUP").unwrap(), both);
        assert_eq!(read(" SIGINT , HUP").unwrap(), both);
        for (bad, name) in [
            ("KILL", "KILL"),
            ("INT,", ""),
            ("INT TERM", "INT TERM"),
            ("15", "15"),
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidVariable);
            assert_eq!(
                error.to_string(),
                format!(
                    "TRACEMALLOC_SIGNALS={bad}: {name:?} is none of the signals that can be asked for: \
                     INT, TERM, HUP"
                )
            );
        }
    }

    #[test]
    fn values_of_the_sampling_variable() {
        let check = |value: &str, expect: Option<u64>| {
            assert_eq!(
                sample_every(Some(value.into())).unwrap(),
                expect,
                "{value:?}"
            );
        };
        assert_eq!(sample_every(None).unwrap(), None);
        check("", None);
        check("0", None);
        check("1", Some(1));
        check(" 524288", Some(524_288));
        check("512K", Some(524_288));
        check("512 KiB", Some(524_288));
        check("18446744073709551615", Some(u64::MAX));
        for bad in [
            "18446744073709551616",
            "-1",
            "512 apples",
            "K",
            "0x1000",
            "5e5",
            "1 ",
            " ",
        ] {
            let error = sample_every(Some(bad.into())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidVariable);
            assert_eq!(
                error.to_string(),
                format!(
                    "TRACEMALLOC_SAMPLE={bad}: invalid size, expected a number of bytes such as \
                     524288 or 512K"
                )
            );
        }
    }
}
