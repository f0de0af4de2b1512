//! Names as the crate `backtrace` reads them, on platforms where no files are read here.

use std::path::Path;

use super::demangle::demangled;
use super::modules::Place;
use super::packages::Packages;
use super::reader::{Symbol, limited};
use crate::snapshot::Unread;

/// Reads names wherever they are.
pub(super) struct Reader(Packages);

impl Reader {
    pub(super) fn with<R>(
        _place: Option<&Place>,
        _places: &[u64],
        work: impl FnOnce(Result<&Reader, Unread>) -> R,
    ) -> R {
        work(Ok(&Self(Packages::default())))
    }

    /// What is known of a return address, the innermost inlined function first.
    pub(super) fn symbols(&self, return_address: usize, _offset: Option<u64>) -> Vec<Symbol> {
        let mut symbols = Vec::new();
        let address = std::ptr::without_provenance_mut(return_address);
        backtrace::resolve(address, |symbol| {
            let name = symbol.name();
            let name = name.map(|name| demangled(&String::from_utf8_lossy(name.as_bytes())));
            symbols.push(Symbol {
                function: name.filter(|name| !name.is_empty()),
                path: symbol
                    .filename()
                    .map(path_text)
                    .filter(|path| !path.is_empty()),
                line: symbol.lineno().unwrap_or(0),
                column: symbol.colno().unwrap_or(0),
                ..Symbol::default()
            });
        });
        symbols
    }

    pub(super) fn packages(&self) -> &Packages {
        &self.0
    }
}

/// Has `backtrace` close the files that it keeps open.
pub(super) fn close() {
    backtrace::clear_symbol_cache();
}

fn path_text(path: &Path) -> String {
    limited(format_args!("{}", path.to_string_lossy()))
}
