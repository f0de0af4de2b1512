//! Paths of files that each process has for itself.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process;

/// A path in which `%p` stands for the number of the process.
pub(crate) struct Pattern {
    text: OsString,
    /// The process that was given the pattern.
    process: u32,
}

impl Pattern {
    pub(crate) fn new(text: OsString) -> Self {
        let process = process::id();
        Self { text, process }
    }

    /// Where this process writes. `None` in the child of a fork whose file is its parent's.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let me = process::id();
        let path = path_of(&self.text, me);
        let is_mine = me == self.process || path != path_of(&self.text, self.process);
        is_mine.then_some(path)
    }
}

/// The path of a process: the pattern with `%p` replaced by its number and `%%` by a percent sign.
pub(crate) fn path_of(pattern: &OsStr, process: u32) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_the_path() {
        let check = |pattern: &str, expect: &str| {
            let path = path_of(pattern.as_ref(), 17);
            assert_eq!(path, PathBuf::from(expect), "{pattern:?}");
        };
        check("a/b.gz", "a/b.gz");
        check("a-%p.gz", "a-17.gz");
        check("%p%p", "1717");
        check("100%%-%p", "100%-17");
        check("%q%", "%q%");
    }

    #[test]
    fn a_child_of_a_fork_has_a_file_of_its_own_or_none() {
        let of_parent = |text: &str| Pattern {
            text: text.into(),
            process: process::id() + 1,
        };
        assert_eq!(of_parent("a.gz").path(), None);
        let own = format!("a-{}.gz", process::id());
        assert_eq!(of_parent("a-%p.gz").path(), Some(own.into()));
        assert_eq!(Pattern::new("a.gz".into()).path(), Some("a.gz".into()));
    }
}
