//! A series of files. The newest are kept.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::Guard;
use crate::error::Error;
use crate::snapshot::Snapshot;
use crate::utc::Utc;

const ENDING: &str = ".tmsnap.json.gz";
/// As many as the digits of a name have room for.
const LAST: u32 = 99_999_999;

/// Where to save one snapshot after the other, each in a file of its own.
///
/// The files are called `NAME-NUMBER-TIME-PROCESS.tmsnap.json.gz`, such as
/// `heap-00000017-20260309T170405Z-4711.tmsnap.json.gz`: sorted by name they are in the order in which they
/// were made, also when the clock was set back. The number is one more than the highest in the folder,
/// from any process, so a program that is started again continues the sequence. The time is
/// that of saving, in UTC.
///
/// A series removes only its own files: regular files, not links, with exactly such a name and the number
/// of its own process. So processes that run at the same time keep each other's files, and so does the
/// child of a fork. Files of earlier processes stay, unless [`Series::across_processes`] says otherwise.
/// Process numbers are unique on one machine or in one container: if several of those write to one
/// folder, give each a name of its own.
///
/// ```
/// use tracemalloc::{Series, Snapshot};
///
/// # let folder = tempfile::tempdir().unwrap().keep();
/// let series = Series::new(folder.join("heap")).keep(2);
/// for _ in 0..5 {
///     let path = series.dump(&Snapshot::from_traces([], 25))?;
///     println!("{}", path.display());
/// }
/// assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a series writes nothing by itself"]
pub struct Series {
    path: PathBuf,
    keep: usize,
    across_processes: bool,
}

impl Series {
    /// Files in the folder of `path`, which must exist, whose names begin with its last part. All of
    /// them are kept.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            keep: usize::MAX,
            across_processes: false,
        }
    }

    /// Keeps the newest `files` files, the one just saved among them, and removes older ones after
    /// each dump. 0 is taken as 1.
    pub fn keep(mut self, files: usize) -> Self {
        self.keep = files.max(1);
        self
    }

    /// Whether the files of other processes count, and are removed, as the own ones are: for a
    /// program with one process at a time, so that the folder does not fill however often
    /// it is started again. Processes that run at the same time would remove each other's files.
    pub fn across_processes(mut self, across: bool) -> Self {
        self.across_processes = across;
        self
    }

    /// Takes a snapshot and saves it as [`Series::dump`] does.
    ///
    /// # Errors
    /// Those of [`take_snapshot`](crate::take_snapshot) and [`Series::dump`].
    pub fn take_snapshot(&self) -> Result<PathBuf, Error> {
        self.dump(&crate::take_snapshot()?)
    }

    /// Saves `snapshot` in a new file, and then removes what is too old. The path of the file.
    ///
    /// The file is written under another name, readable by its owner only, and gets its own name
    /// when it is complete and on the disk. It never takes the place of another file or link.
    ///
    /// What is allocated here, the path too, is not recorded: later snapshots show the program's memory
    /// alone, and their history too.
    ///
    /// # Errors
    /// As for [`Snapshot::dump`]; then no file was made and none removed. An error that names an older
    /// file says that this one cannot be removed; the new one is there then.
    pub fn dump(&self, snapshot: &Snapshot) -> Result<PathBuf, Error> {
        let _unrecorded = Guard::enter();
        let folder = self.folder();
        let name = self.name()?;
        let highest = members(folder, name)?
            .last()
            .map_or(0, |member| member.number);
        let process = process::id();
        let made = (highest + 1..=LAST).map(|number| Member::now(number, process).name(name));
        let path = snapshot.dump_new(folder, made)?;
        self.remove_old(folder, name, process)?;
        Ok(path)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    fn name(&self) -> Result<&OsStr, Error> {
        self.path.file_name().ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name");
            Error::io("cannot create", error).at(&self.path)
        })
    }

    fn remove_old(&self, folder: &Path, name: &OsStr, process: u32) -> Result<(), Error> {
        let mut own = members(folder, name)?;
        own.retain(|member| self.across_processes || member.process == process);
        let old = own.len().saturating_sub(self.keep);
        for member in &own[..old] {
            let path = folder.join(member.name(name));
            match fs::remove_file(&path) {
                // Another thread was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => {
                    outcome.map_err(|error| Error::io("cannot remove", error).at(&path))?;
                }
            }
        }
        Ok(())
    }
}

/// What the name of a file says, in the order of names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    number: u32,
    time: String,
    process: u32,
}

impl Member {
    fn now(number: u32, process: u32) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_epoch.map_or(0, |time| time.as_secs());
        Self {
            number,
            time: format!("{:#}", Utc(seconds)),
            process,
        }
    }

    fn name(&self, series: &OsStr) -> OsString {
        let mut name = series.to_owned();
        let Self {
            number,
            time,
            process,
        } = self;
        name.push(format!("-{number:08}-{time}-{process}{ENDING}"));
        name
    }

    /// What a name says if it is one that `series` would have made, to the byte.
    fn read(name: &OsStr, series: &OsStr) -> Option<Self> {
        let rest = name
            .as_encoded_bytes()
            .strip_prefix(series.as_encoded_bytes())?;
        let rest = str::from_utf8(rest).ok()?.strip_prefix('-')?;
        let mut parts = rest.strip_suffix(ENDING)?.splitn(3, '-');
        let member = Self {
            number: parts
                .next()?
                .parse()
                .ok()
                .filter(|number| *number <= LAST)?,
            time: parts.next().filter(|time| is_time(time))?.to_owned(),
            process: parts.next()?.parse().ok()?,
        };
        (member.name(series) == name).then_some(member)
    }
}

/// Whether a text has the form of `20260309T170405Z`.
fn is_time(text: &str) -> bool {
    text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

/// The regular files of a series, the oldest first.
fn members(folder: &Path, series: &OsStr) -> Result<Vec<Member>, Error> {
    let read = || -> io::Result<Vec<Member>> {
        let mut members = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Not that of a link's target. A file that has been removed since is left out.
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && let Some(member) = Member::read(&entry.file_name(), series) {
                members.push(member);
            }
        }
        members.sort_unstable();
        Ok(members)
    };
    read().map_err(|error| Error::io("cannot read the folder", error).at(folder))
}

#[cfg(test)]
mod tests;
