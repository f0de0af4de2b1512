//! The snapshot at exit.

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::sync::OnceLock;

use super::pattern::Pattern;
use super::{report, with_limited_files};
use crate::error::{Error, ErrorKind};

static OUTPUT: OnceLock<Pattern> = OnceLock::new();

/// Saves a snapshot when the process exits. The first pattern given stays.
pub(crate) fn dump_at_exit(pattern: OsString) -> Result<(), Error> {
    if OUTPUT.set(Pattern::new(pattern)).is_ok() {
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

/// Saves the snapshot of the exit now, if there is to be one.
pub(super) fn save(occasion: &str) {
    if let Some(path) = OUTPUT.get().and_then(Pattern::path)
        && crate::is_tracing()
        && let Err(error) = with_limited_files(|| crate::take_snapshot()?.dump(path))
    {
        report(occasion, &error);
    }
}

extern "C" fn write() {
    // Whatever happens here, the process is on its way out and keeps its exit code.
    let _ = catch_unwind(|| save("at exit"));
}
