//! Reads names and lines: by the crate `backtrace`, or from the file of a module that it does not
//! know.
//!
//! That crate lists the modules of the process once, when it is first asked. What is loaded later it
//! does not find, and what comes to lie where a module of its list was, it takes for that one. So it
//! is asked about modules that were there at the first snapshot, and others are read from their
//! files. No file is read that is not the one in memory: another build, which an update has put in
//! its place, would give wrong names.

use std::fmt::{self, Write};
use std::path::Path;

use super::modules::{self, Place};

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
use super::file;

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod file {
    //! There are no modules whose files could be read.

    use std::marker::PhantomData;

    use super::{Place, Symbol};

    pub(super) struct Mapped;

    impl Mapped {
        pub(super) fn of(_place: &Place) -> Option<Self> {
            None
        }
    }

    pub(super) struct Contents<'m>(PhantomData<&'m Mapped>);

    impl<'m> Contents<'m> {
        pub(super) fn nothing() -> Self {
            Self(PhantomData)
        }

        pub(super) fn of(_mapped: Option<&'m Mapped>) -> Self {
            Self(PhantomData)
        }

        pub(super) fn symbols(&self, _offset: u64) -> Vec<Symbol> {
            Vec::new()
        }
    }

    pub(super) fn is_running(_path: &str) -> bool {
        true
    }
}

/// Longest function name or path that is kept, in bytes. Names of nested generics grow without
/// bound.
const MAX_TEXT: usize = 4096;

/// What is read of one function, inlined or not.
pub(super) struct Symbol {
    pub(super) function: Option<String>,
    pub(super) path: Option<String>,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Reads the names of one module.
pub(super) struct Reader<'m> {
    /// `backtrace` knows the module, and its file is the one that was loaded.
    is_listed: bool,
    file: file::Contents<'m>,
}

impl Reader<'_> {
    /// Calls `work` with a reader of the module that `place` is in; of none, where it is in none.
    pub(super) fn with<R>(place: Option<&Place>, work: impl FnOnce(&Reader<'_>) -> R) -> R {
        let Some(place) = place else {
            return work(&Reader {
                // Where modules are known, this is no code of any.
                is_listed: !modules::ARE_KNOWN,
                file: file::Contents::nothing(),
            });
        };
        let mapped = file::Mapped::of(place);
        let file = file::Contents::of(mapped.as_ref());
        let is_same = if place.is_program {
            file::is_running(&place.module.path)
        } else {
            mapped.is_some()
        };
        work(&Reader {
            is_listed: is_same && !place.is_late,
            file,
        })
    }

    /// What is known of a return address, the innermost inlined function first. `offset`: the call
    /// before it, as the linker numbered it.
    pub(super) fn symbols(&self, return_address: usize, offset: Option<u64>) -> Vec<Symbol> {
        let mut symbols = Vec::new();
        if self.is_listed {
            symbols = listed(return_address);
        }
        if symbols.is_empty()
            && let Some(offset) = offset
        {
            symbols = self.file.symbols(offset);
        }
        symbols
    }
}

/// Has `backtrace` close the files that it keeps open.
pub(super) fn close() {
    backtrace::clear_symbol_cache();
}

fn listed(return_address: usize) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let address = std::ptr::without_provenance_mut(return_address);
    backtrace::resolve(address, |symbol| {
        symbols.push(Symbol {
            function: symbol
                .name()
                .map(|name| limited(format_args!("{name:#}")))
                .filter(|name| !name.is_empty()),
            path: symbol
                .filename()
                .map(path_text)
                .filter(|path| !path.is_empty()),
            line: symbol.lineno().unwrap_or(0),
            column: symbol.colno().unwrap_or(0),
        });
    });
    symbols
}

fn path_text(path: &Path) -> String {
    limited(format_args!("{}", path.to_string_lossy()))
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
