//! A finished file in the place of an older one, or no change at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;

/// Has `write` fill a new file and gives that file the name `target`.
///
/// What is not a regular file is written to as it stands: renaming a file over `/dev/null` would
/// destroy it, and a folder, also behind a link, refuses.
pub(super) fn file(
    target: &Path,
    write: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
        let mut file = OpenOptions::new()
            .write(true)
            .open(target)
            .map_err(|error| Error::io("cannot open", error))?;
        return write(&mut file);
    }
    let (temporary, mut file) =
        Temporary::beside(target).map_err(|error| Error::io("cannot create", error))?;
    write(&mut file)?;
    file.sync_all()
        .map_err(|error| Error::io("cannot write", error))?;
    drop(file);
    temporary
        .rename(target)
        .map_err(|error| Error::io("cannot replace", error))
}

/// A file under a name of its own, removed unless it is renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn beside(target: &Path) -> io::Result<(Self, File)> {
        if target.file_name().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path has no file name",
            ));
        }
        let path = target.with_file_name(unique_name());
        let file = exclusive().open(&path)?;
        let renamed = false;
        Ok((Self { path, renamed }, file))
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that brought us here says more than a second one would.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Does not contain the target's name, which may be as long as the file system allows.
fn unique_name() -> OsString {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    format!(".tracemalloc-{}-{counter}-{time:x}.tmp", std::process::id()).into()
}

/// Never opens what already exists, a planted symbolic link included.
fn exclusive() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}
