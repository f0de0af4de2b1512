//! The saved form of a snapshot: JSON inside gzip, described field by field in `docs/FORMAT.md`.
//!
//! A file is hostile until checked. [`schema`] says what the fields are, [`write`] makes them from
//! a snapshot, [`source`] decompresses within [`limits`], [`read`] checks every index and sum
//! before it builds a snapshot, and [`replace`] gives a finished file its name.
//! Nothing of the process is written but what the snapshot holds: no arguments, no environment.

mod calls;
mod columns;
mod limits;
mod read;
mod replace;
mod schema;
mod source;
mod views;
mod write;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::trace::Snapshot;
use crate::error::Error;

/// What a file says of itself, besides the snapshot that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileHeader {
    /// Version of the format.
    pub version: u64,
    /// Name and version of the program that wrote the file, as that program states them; empty if it
    /// does not.
    pub writer: String,
}

impl Snapshot {
    /// Saves the snapshot as the file `path`, replacing an older file of that name.
    ///
    /// The file is written beside the target under another name, readable by its owner only, and
    /// renamed when it is complete and on the disk: a reader sees the old file or the new one,
    /// never a part. After an error the target is as it was. A path that names a device or a pipe
    /// is written to, not replaced.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be written, and
    /// [`InvalidFile`](crate::ErrorKind::InvalidFile) if the snapshot is beyond what a file may
    /// hold (a text of more than 1 MiB, more than 1 GiB in all). Both name the path.
    /// [`NoSingleBlocks`](crate::ErrorKind::NoSingleBlocks) for a [view](Self::view) other than of live
    /// memory: save the snapshot that it was made from, which keeps them all.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let stack = Traceback::of(Frame::new("src/main.rs", 12));
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 1);
    /// # let folder = tempfile::tempdir().unwrap().keep();
    /// let path = folder.join("before.json.gz");
    /// snapshot.dump(&path)?;
    /// assert_eq!(Snapshot::load(&path)?.traces()?, snapshot.traces()?);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn dump(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        replace::file(path, |file| write::snapshot(self, file)).map_err(|error| error.at(path))
    }

    /// Saves the snapshot as [`Snapshot::dump`] does, under the first of `names` in `folder` that
    /// nothing has yet. The path of the file; errors name the folder.
    pub(crate) fn dump_new(
        &self,
        folder: &Path,
        names: impl Iterator<Item = OsString>,
    ) -> Result<PathBuf, Error> {
        replace::new_file(folder, names, |file| write::snapshot(self, file))
            .map_err(|error| error.at(folder))
    }

    /// Reads a snapshot that [`Snapshot::dump`] saved, on this machine or another, by this version
    /// or an older one.
    ///
    /// The file may come from anyone: its texts, indices and sums are checked, and what it makes
    /// the reader allocate is bounded by its size. Stacks stay shared, as they are in the file.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`InvalidFile`](crate::ErrorKind::InvalidFile) if it is no snapshot or a damaged one,
    /// [`UnsupportedVersion`](crate::ErrorKind::UnsupportedVersion) if a newer format wrote it. All name the path.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::load_with_header(path)?.0)
    }

    /// Reads a snapshot as [`Snapshot::load`] does, and what the file says of itself.
    ///
    /// # Errors
    ///
    /// As for [`Snapshot::load`].
    ///
    /// ```
    /// use tracemalloc::Snapshot;
    ///
    /// # let folder = tempfile::tempdir().unwrap().keep();
    /// let path = folder.join("empty.json.gz");
    /// Snapshot::from_traces([], 25).dump(&path)?;
    /// let (_, header) = Snapshot::load_with_header(&path)?;
    /// assert_eq!(header.version, 2);
    /// assert!(header.writer.starts_with("tracemalloc "));
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn load_with_header(path: impl AsRef<Path>) -> Result<(Self, FileHeader), Error> {
        let path = path.as_ref();
        File::open(path)
            .map_err(|error| Error::io("cannot open", error))
            .and_then(read::snapshot)
            .map_err(|error| error.at(path))
    }

    /// Writes to `out` what [`Snapshot::dump`] saves, and flushes it.
    ///
    /// # Errors
    ///
    /// As for [`Snapshot::dump`]; a part may have been written by then.
    ///
    /// ```
    /// use tracemalloc::Snapshot;
    ///
    /// let mut bytes = Vec::new();
    /// Snapshot::from_traces([], 25).write_to(&mut bytes)?;
    /// assert_eq!(Snapshot::read_from(&bytes[..])?.traceback_limit(), 25);
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn write_to(&self, out: &mut impl io::Write) -> Result<(), Error> {
        write::snapshot(self, out)
    }

    /// Reads a snapshot from `input`, which must end where the snapshot ends.
    ///
    /// # Errors
    ///
    /// As for [`Snapshot::load`], without a path.
    pub fn read_from(input: impl io::Read) -> Result<Self, Error> {
        Ok(read::snapshot(input)?.0)
    }
}
