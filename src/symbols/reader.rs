//! Reads names and lines of one module: from its files where the platform tells which those are, else
//! by the crate `backtrace`.
//!
//! That crate lists the modules of the process once and reads them under a lock of its own. Files
//! are read here without either. No file is read that is not the one in memory: another build, which
//! an update has put in its place, would give wrong names.

use std::fmt::{self, Write};

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(super) use super::loaded::{Reader, close};

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(super) use super::listed::{Reader, close};

/// Longest function name or path that is kept, in bytes. Names of nested generics grow without
/// bound.
const MAX_TEXT: usize = 4096;

/// What is read of one function, inlined or not.
#[derive(Default)]
pub(super) struct Symbol {
    pub(super) function: Option<String>,
    pub(super) path: Option<String>,
    pub(super) line: u32,
    pub(super) column: u32,
    /// The crate of the compile unit.
    pub(super) crate_name: Option<String>,
    pub(super) definition: Definition,
    /// Its name in debug information, with generic arguments.
    pub(super) entry_name: Option<String>,
    /// A function that is inlined in this line beside the call, and tells a type.
    pub(super) in_line: Option<String>,
}

impl Symbol {
    /// A function of which nothing but the name is known.
    pub(super) fn named(function: String) -> Self {
        Self {
            function: Some(function),
            ..Self::default()
        }
    }
}

/// Which function it is, where line tables name it without a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Definition {
    /// The one that its name says.
    #[default]
    Clear,
    /// The one with this path.
    Path(String),
    /// The one of its name whose code begins at this line.
    AtLine(u32),
    /// A closure of the function with this name.
    ClosureOf(String),
    /// A closure whose code begins at this line.
    ClosureAtLine(u32),
}

/// The text, cut with an ellipsis where it gets too long. What lies behind the cut is not even
/// produced.
pub(super) fn limited(text: fmt::Arguments<'_>) -> String {
    let mut kept = Limited(String::new());
    // The only error is the one that ends the writing at the limit.
    let _ = kept.write_fmt(text);
    kept.0
}

struct Limited(String);

impl Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let cut = (0..=room)
            .rfind(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        self.0.push_str(&text[..cut]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let exact = "x".repeat(MAX_TEXT);
        assert_eq!(limited(format_args!("{exact}")), exact);
        let long = limited(format_args!("a{}", "é".repeat(MAX_TEXT)));
        assert!(long.ends_with("é…"));
        assert!(long.len() <= MAX_TEXT + '…'.len_utf8());
        let pieces = limited(format_args!("{exact}{}", "y"));
        assert_eq!(pieces, format!("{exact}…"));
    }
}
