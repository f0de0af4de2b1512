//! Replaces a file by a complete one, or creates one under a free name, or changes nothing.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;

/// Has `write` fill a new file, and renames that file to `target`.
///
/// A target that is not a regular file is written to directly: renaming a file over `/dev/null` would
/// destroy the device, and a folder, also behind a link, refuses. Its type is checked again when it is open,
/// because a link to a file may have replaced it.
pub(super) fn file(
    target: &Path,
    write: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
        let mut file = OpenOptions::new()
            .write(true)
            .open(target)
            .and_then(special)
            .map_err(|error| Error::io("cannot open", error))?;
        return write(&mut file);
    }
    let (temporary, file) =
        Temporary::beside(target).map_err(|error| Error::io("cannot create", error))?;
    fill(file, write)?;
    temporary
        .rename(target)
        .map_err(|error| Error::io("cannot replace", error))
}

/// Has `write` fill a new file in `folder` and gives it the first of `names` that nothing has, not
/// even a link that leads nowhere. Its path.
pub(super) fn new_file(
    folder: &Path,
    names: impl Iterator<Item = OsString>,
    write: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let (mut temporary, file) =
        Temporary::in_folder(folder).map_err(|error| Error::io("cannot create a file", error))?;
    fill(file, write)?;
    for name in names {
        let target = folder.join(name);
        let is_named = temporary
            .take_name(&target)
            .map_err(|error| Error::io("cannot name a file", error))?;
        if is_named {
            return Ok(target);
        }
    }
    Err(Error::io(
        "cannot create a file",
        io::Error::other("no name is left"),
    ))
}

fn fill(mut file: File, write: impl FnOnce(&mut File) -> Result<(), Error>) -> Result<(), Error> {
    write(&mut file)?;
    file.sync_all()
        .map_err(|error| Error::io("cannot write", error))
}

/// The file, unless it is one that could be replaced and must not be overwritten.
fn special(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Err(io::Error::other("another file took its place"));
    }
    Ok(file)
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
        Self::at(target.with_file_name(unique_name()))
    }

    fn in_folder(folder: &Path) -> io::Result<(Self, File)> {
        Self::at(folder.join(unique_name()))
    }

    fn at(path: PathBuf) -> io::Result<(Self, File)> {
        let file = exclusive().open(&path)?;
        let renamed = false;
        Ok((Self { path, renamed }, file))
    }

    /// Gives the file the name `target`; false if something has that name.
    ///
    /// By a second link, which the system refuses for a name that is taken, where renaming would
    /// replace. Where there are no such links, what takes the name between the look and the renaming
    /// is replaced.
    fn take_name(&mut self, target: &Path) -> io::Result<bool> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => return Ok(true),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    || fs::symlink_metadata(target).is_ok() =>
            {
                return Ok(false);
            }
            Err(_) => fs::rename(&self.path, target)?,
        }
        self.renamed = true;
        Ok(true)
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

/// Never opens what already exists, not even a symbolic link that an attacker made.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_took_the_place_of_a_device_is_not_overwritten() {
        let path = std::env::temp_dir().join(unique_name());
        let file = exclusive().open(&path).expect("a new file");
        assert!(special(file).is_err());
        // What exists is not opened, whatever it is.
        let again = exclusive().open(&path).expect_err("it exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).expect("it is there");
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = std::env::temp_dir().join(unique_name());
        fs::create_dir(&folder).expect("a new folder");
        let (victim, link) = (folder.join("victim"), folder.join("link"));
        symlink(&victim, &link).expect("a new link");
        // The link leads nowhere yet, so that following it would make the file.
        assert!(exclusive().open(&link).is_err());
        assert!(!victim.exists());
        let file = exclusive().open(&victim).expect("a new file");
        let mode = file.metadata().expect("open").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
