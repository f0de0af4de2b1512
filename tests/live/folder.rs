//! A folder for the files of one case.

use std::fs;
use std::path::{Path, PathBuf};

use tracemalloc::Snapshot;

/// Removed with everything in it, unless the case fails.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// A fresh one. The process's number would not make it so: numbers are used again, and a process
    /// that was killed has left its folder behind.
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("tracemalloc-{name}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir();
        Self(folder.unwrap().keep())
    }

    /// The files, by name; unfinished ones too.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(&self.0)
    }

    /// The files, each of which is a snapshot.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let load = |path: PathBuf| Snapshot::load(&path).unwrap();
        self.files().into_iter().map(load).collect()
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Whether a snapshot holds a block of `size` bytes that `file` allocated.
pub(crate) fn holds(snapshot: &Snapshot, size: u64, file: &str) -> bool {
    snapshot.traces().unwrap().any(|trace| {
        trace.size == size
            && trace.traceback.most_recent().filename() == format!("tests/live/{file}")
    })
}
