//! The snapshot at exit.

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::pattern::Pattern;
use super::{report, save_to};
use crate::engine::Guard;
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
    if let Some(path) = path()
        && crate::is_tracing()
        && let Err(error) = save_to(&path)
    {
        report(occasion, &error);
    }
}

/// Not recorded: a program that has given everything back has no live block in its last snapshot.
fn path() -> Option<PathBuf> {
    let _unrecorded = Guard::enter();
    OUTPUT.get().and_then(Pattern::path)
}

extern "C" fn write() {
    // Whatever happens here, the process is on its way out and keeps its exit code.
    let _ = catch_unwind(|| save("at exit"));
}
