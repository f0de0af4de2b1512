//! Starting from the environment, so that a program can be traced without being changed.

#[cfg(all(unix, feature = "file"))]
mod too_large;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::config::Config;
use crate::error::{Error, ErrorKind};

const FRAMES: &str = "TRACEMALLOC";
const OUT: &str = "TRACEMALLOC_OUT";
const SAMPLE: &str = "TRACEMALLOC_SAMPLE";

/// Starts tracing if the environment asks for it. Call it early in `main`; an explicit
/// [`start`](crate::start) before it wins, as in CPython the command line wins over the variable.
///
/// | variable | meaning |
/// | --- | --- |
/// | `TRACEMALLOC` | frames per block; unset, empty or 0: do not trace |
/// | `TRACEMALLOC_OUT` | file of a snapshot at exit, `%p`: process number; unset or empty: none |
/// | `TRACEMALLOC_SAMPLE` | bytes of [`Config::sample_every`]; unset, empty or 0: record them all |
///
/// The snapshot is written when `main` returns or `std::process::exit` is called, not when the
/// process is killed; an error then goes to standard error. The child of a fork writes one too if `%p`
/// gives it a file of its own, and leaves its parent's alone. The last two variables are read only if
/// the first one asks for tracing. A process with more privileges than its user ignores them all.
///
/// # Errors
/// [`ErrorKind::InvalidVariable`] for a value that means nothing, or for a file in a build without
/// the feature `file`; [`ErrorKind::OutOfMemory`] if the exit function cannot be registered; and
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
    let Some(frames) = frames(env::var_os(FRAMES))? else {
        return Ok(());
    };
    let sample_every = sample_every(env::var_os(SAMPLE))?;
    let out = env::var_os(OUT).filter(|path| !path.is_empty());
    let config = Config::new().frames(frames);
    match sample_every {
        Some(bytes) => config.sample_every(bytes).start()?,
        None => config.start()?,
    }
    match out {
        Some(pattern) => at_exit::dump(pattern),
        None => Ok(()),
    }
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
    match text.trim_start().parse() {
        _ if text.is_empty() => Ok(None),
        Ok(0) => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(Error::new(
            ErrorKind::InvalidVariable,
            format!(
                "{SAMPLE}={text}: invalid number of bytes, expected 0 to {}",
                u64::MAX
            ),
        )),
    }
}

/// The path of a process: the pattern with `%p` replaced by its number and `%%` by a percent sign.
#[cfg_attr(
    not(any(feature = "file", test, fuzzing)),
    expect(dead_code, reason = "there are no files")
)]
fn out_path(pattern: &OsStr, process: u32) -> PathBuf {
    let Some(text) = pattern.to_str() else {
        return pattern.into();
    };
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        shown.push_str(before);
        rest = match after.chars().next() {
            Some('p') => {
                shown.push_str(&process.to_string());
                &after[1..]
            }
            Some('%') => {
                shown.push('%');
                &after[1..]
            }
            _ => {
                shown.push('%');
                after
            }
        };
    }
    shown.push_str(rest);
    shown.into()
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
fn is_privileged() -> bool {
    #[expect(unsafe_code, reason = "C functions")]
    // SAFETY: they take nothing and return numbers.
    let (user, group) = unsafe {
        (
            libc::getuid() != libc::geteuid(),
            libc::getgid() != libc::getegid(),
        )
    };
    user || group
}

#[cfg(not(unix))]
fn is_privileged() -> bool {
    false
}

#[cfg(feature = "file")]
mod at_exit {
    use std::ffi::OsString;
    use std::io::Write;
    use std::panic::catch_unwind;
    use std::path::PathBuf;
    use std::process;
    use std::sync::OnceLock;

    use super::out_path;
    use crate::error::{Error, ErrorKind};

    static OUTPUT: OnceLock<Output> = OnceLock::new();

    struct Output {
        pattern: OsString,
        /// The process that has asked for the snapshot.
        process: u32,
    }

    impl Output {
        /// Where this process writes. `None` in the child of a fork whose file is its parent's.
        fn path(&self) -> Option<PathBuf> {
            let me = process::id();
            let path = out_path(&self.pattern, me);
            let is_mine = me == self.process || path != out_path(&self.pattern, self.process);
            is_mine.then_some(path)
        }
    }

    /// Writes a snapshot when the process exits. The first pattern given stays.
    pub(super) fn dump(pattern: OsString) -> Result<(), Error> {
        let process = process::id();
        if OUTPUT.set(Output { pattern, process }).is_ok() {
            #[expect(unsafe_code, reason = "a C function")]
            // SAFETY: `write` is a plain function of the program and does not unwind.
            let refused = unsafe { libc::atexit(write) };
            if refused != 0 {
                return Err(Error::new(
                    ErrorKind::OutOfMemory,
                    "cannot register an exit function",
                ));
            }
        }
        Ok(())
    }

    extern "C" fn write() {
        // Whatever happens here, the process is on its way out and keeps its exit code.
        let _ = catch_unwind(|| {
            #[cfg(unix)]
            let _held = super::too_large::Held::new();
            if let Some(path) = OUTPUT.get().and_then(Output::path)
                && crate::is_tracing()
                && let Err(error) = crate::take_snapshot().and_then(|snapshot| snapshot.dump(path))
            {
                let _ = writeln!(std::io::stderr(), "tracemalloc: snapshot at exit: {error}");
            }
        });
    }
}

#[cfg(not(feature = "file"))]
mod at_exit {
    use std::ffi::OsString;

    use crate::error::{Error, ErrorKind};

    pub(super) fn dump(_pattern: OsString) -> Result<(), Error> {
        Err(Error::new(
            ErrorKind::InvalidVariable,
            format!(
                "{}: this build cannot write snapshots, it lacks the feature `file`",
                super::OUT
            ),
        ))
    }
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
        let path = super::out_path(value, 1);
        let marks = value.as_encoded_bytes().contains(&b'%');
        assert!(marks || path.as_os_str() == value, "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        check("18446744073709551615", Some(u64::MAX));
        for bad in [
            "18446744073709551616",
            "-1",
            "512k",
            "512 KiB",
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
                    "TRACEMALLOC_SAMPLE={bad}: invalid number of bytes, \
                     expected 0 to 18446744073709551615"
                )
            );
        }
    }

    #[test]
    fn placeholders_of_the_path() {
        let check = |pattern: &str, expect: &str| {
            let path = out_path(pattern.as_ref(), 17);
            assert_eq!(path, PathBuf::from(expect), "{pattern:?}");
        };
        check("a/b.gz", "a/b.gz");
        check("a-%p.gz", "a-17.gz");
        check("%p%p", "1717");
        check("100%%-%p", "100%-17");
        check("%q%", "%q%");
    }
}
