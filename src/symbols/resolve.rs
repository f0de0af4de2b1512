//! From a return address to frames: asks the symbol reader and puts what it knows into the words of
//! a [`Frame`].

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::snapshot::{Frame, Module, UNKNOWN};

use super::cache::Cache;
use super::crate_names::{crate_of, is_standard};
use super::functions::qualified;
use super::modules::Modules;
use super::paths::{self, Origin, SourceFile};
use super::runtime::OWN_CRATE;

/// Longest function name or path that is kept, in bytes. Names of nested generics grow without
/// bound.
const MAX_TEXT: usize = 4096;

/// What the running program tells about names.
pub(super) struct Program {
    /// File name of the executable, without its ending and cargo's hash.
    name: String,
    /// Where the debug information says that this crate's sources are, with a `/` at the end;
    /// `None` without lines.
    own_sources: Option<String>,
}

impl Program {
    pub(super) fn this() -> Self {
        let path = executable();
        Self {
            name: program_name(base_name(&path)).to_owned(),
            own_sources: own_sources(),
        }
    }
}

/// Path of the running program; empty if the system does not tell.
pub(super) fn executable() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let path = path.to_string_lossy();
    // What Linux appends when the file was replaced, as by a new build.
    path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned()
}

/// The directory of this crate's sources, read from the debug information of this very function.
///
/// Line tables give names without a path, so there a function of this crate shows only by its file.
#[inline(never)]
fn own_sources() -> Option<String> {
    // A return address lies behind the call that it belongs to; so must this one.
    let inside = (own_sources as fn() -> Option<String> as usize).wrapping_add(1);
    let mut file = None;
    backtrace::resolve(std::ptr::without_provenance_mut(inside), |symbol| {
        file = symbol
            .filename()
            .map(|path| path.to_string_lossy().replace('\\', "/"));
    });
    let sources = file?.strip_suffix("symbols/resolve.rs")?.to_owned();
    Some(sources)
}

fn program_name(file: &str) -> &str {
    paths::without_hash(file.strip_suffix(".exe").unwrap_or(file))
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The frame of an address of which nothing is known.
pub(super) fn unknown() -> Frame {
    Frame::new(UNKNOWN, 0)
}

/// What the symbol reader says of one function, inlined or not.
struct Symbol {
    function: Option<String>,
    path: Option<String>,
    line: u32,
    column: u32,
}

pub(super) struct Resolver<'a> {
    pub(super) cache: &'a Cache,
    pub(super) modules: &'a Modules,
    pub(super) program: &'a Program,
}

impl Resolver<'_> {
    /// The frames of a return address, the physical function first.
    pub(super) fn frames(&self, return_address: usize) -> Arc<[Frame]> {
        // The call lies before the address that it returns to, maybe in another line or function.
        let code = return_address
            .checked_sub(1)
            .and_then(|call| self.modules.find(call));
        let mut frames: Vec<Frame> = symbols(return_address)
            .iter()
            .rev()
            .filter_map(|symbol| self.frame(symbol))
            .collect();
        if frames.is_empty() {
            frames.push(self.nameless(code.as_ref()));
        }
        if let Some((module, offset)) = code
            && let Some(physical) = frames.first_mut()
        {
            *physical = physical.clone().with_code(module, offset);
        }
        frames.into()
    }

    /// A frame for one symbol; `None` if the symbol says nothing.
    fn frame(&self, symbol: &Symbol) -> Option<Frame> {
        let function = symbol.function.as_deref();
        let (mut frame, function, crate_name) = match (&symbol.path, function) {
            (Some(path), _) => {
                let file = paths::short(path, &self.program.name);
                let frame = Frame::new(self.cache.text(&file.name), symbol.line)
                    .with_column(symbol.column)
                    .with_path(self.cache.text(path));
                let crate_name = self.crate_name(path, &file, function);
                let function = function.map(|function| {
                    // Where the compiler made one call of several there is no line, and the
                    // file may be another call's.
                    let file = (symbol.line != 0).then_some(file.name.as_str());
                    qualified(function, file, crate_name.as_deref())
                });
                (frame, function, crate_name)
            }
            (None, Some(function)) => (
                Frame::named(self.cache.text(function)),
                Some(function.into()),
                crate_of(function, None).map(str::to_owned),
            ),
            (None, None) => return None,
        };
        if let Some(function) = function {
            frame = frame.with_function(self.cache.text(&function));
        }
        if let Some(name) = crate_name {
            frame = frame.with_crate(self.cache.text(&name));
        }
        Some(frame)
    }

    /// The crate of a function in a known file. The standard library's files settle it; elsewhere
    /// the function's name goes first, unless it names a type of the standard library, whose code
    /// is not in this file.
    fn crate_name(&self, path: &str, file: &SourceFile, function: Option<&str>) -> Option<String> {
        let (file_crate, function) = match &file.origin {
            Origin::Standard(name) => return Some(name.clone()),
            _ if self.is_own(path) => return Some(OWN_CRATE.to_owned()),
            Origin::Package(name) => (Some(name), function),
            Origin::Program(name) => (name.as_ref(), function),
        };
        function
            .and_then(|function| crate_of(function, file_crate.map(String::as_str)))
            .filter(|name| !is_standard(name))
            .or(file_crate.map(String::as_str))
            .map(str::to_owned)
    }

    fn is_own(&self, path: &str) -> bool {
        let sources = self.program.own_sources.as_deref();
        sources.is_some_and(|sources| path.replace('\\', "/").starts_with(sources))
    }

    /// A frame for code without a name: the place in its module, which address randomisation does
    /// not change.
    fn nameless(&self, code: Option<&(Arc<Module>, u64)>) -> Frame {
        match code {
            Some((module, offset)) => {
                let name = format!("{}+{offset:#x}", base_name(&module.path));
                Frame::named(self.cache.text(&name))
            }
            None => unknown(),
        }
    }
}

/// What the symbol reader knows of a return address, the innermost inlined function first.
fn symbols(return_address: usize) -> Vec<Symbol> {
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
fn limited(text: fmt::Arguments<'_>) -> String {
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

    #[test]
    fn programs_are_called_after_their_file() {
        assert_eq!(program_name("myapp"), "myapp");
        assert_eq!(program_name("my-app.exe"), "my-app");
        assert_eq!(program_name("api-0123456789abcdef"), "api");
        assert_eq!(program_name("api-0123456789abcde"), "api-0123456789abcde");
        assert_eq!(base_name("/usr/bin/myapp"), "myapp");
        assert_eq!(base_name(r"C:\bin\myapp.exe"), "myapp.exe");
        assert_eq!(base_name("myapp"), "myapp");
    }
}
