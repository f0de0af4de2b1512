//! The files of this repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source::Source;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The library's and the tool's files of Rust, without those that are tests as a whole.
pub(crate) fn sources() -> Vec<Source> {
    let folders = ["src", "cli/src"];
    let files = folders
        .iter()
        .flat_map(|folder| texts(&root().join(folder)));
    let sources: Vec<Source> = files
        .filter(|(path, _)| path.ends_with(".rs") && !is_test(path))
        .map(|(path, text)| Source::new(&path, &text))
        .collect();
    for folder in folders {
        let found = sources
            .iter()
            .filter(|source| source.path.starts_with(folder));
        assert!(found.count() > 10, "the sources in {folder} were not found");
    }
    sources
}

/// Files for the fuzzer are as little a part of the crate as tests are.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("/fuzzing.rs") || path.contains("/tests/")
}

/// All files below `folder` that are text, by their path from the root of the repository. What is
/// not the product is left out: hidden files and folders, and what cargo builds.
pub(crate) fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((shown(&path), text));
            }
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        panic!("{}: {error}", folder.display());
    });
    entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect()
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}
