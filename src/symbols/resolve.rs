//! From a return address to frames: asks the symbol reader and puts what it knows into the words of
//! a [`Frame`].

use std::sync::Arc;

use crate::snapshot::{Frame, UNKNOWN};

use super::cache::Cache;
use super::crate_names::{crate_of, is_standard};
use super::functions::qualified;
use super::modules::{Modules, Place};
use super::paths::{self, Origin, SourceFile};
use super::reader::{Reader, Symbol};
use super::runtime::OWN_CRATE;

/// What the running program tells about names.
pub(super) struct Program {
    /// File name of the executable, without its ending and cargo's hash.
    name: String,
    /// Where the debug information says that this crate's sources are, with a `/` at the end;
    /// `None` without lines.
    own_sources: Option<String>,
}

impl Program {
    pub(super) fn this(modules: &Modules) -> Self {
        let path = executable();
        Self {
            name: program_name(base_name(&path)).to_owned(),
            own_sources: own_sources(modules),
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

/// The name of the executable file without its folder, if the system tells it.
pub(crate) fn program_file() -> Option<String> {
    let path = executable();
    let name = base_name(&path);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The directory of this crate's sources, read from the debug information of this very function.
///
/// Line tables give names without a path, so there a function of this crate shows only by its file.
#[inline(never)]
fn own_sources(modules: &Modules) -> Option<String> {
    // A return address lies behind the call that it belongs to; so must this one.
    let inside = (own_sources as fn(&Modules) -> Option<String> as usize).wrapping_add(1);
    let place = modules.of_call(inside);
    let offset = place.as_ref().map(|place| place.offset);
    let symbols = Reader::with(place.as_ref(), |reader| reader.symbols(inside, offset));
    let file = symbols.last()?.path.as_ref()?.replace('\\', "/");
    let sources = file.strip_suffix("symbols/resolve.rs")?.to_owned();
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

pub(super) struct Resolver<'a> {
    pub(super) cache: &'a Cache,
    pub(super) modules: &'a Modules,
    pub(super) program: &'a Program,
}

impl Resolver<'_> {
    /// Names all of these return addresses, which are in order: those of a module together.
    pub(super) fn name(&self, mut return_addresses: &[usize]) {
        while let Some(first) = return_addresses.first() {
            let place = self.modules.of_call(*first);
            let end = place.as_ref().map_or(*first, |place| place.end);
            let count = return_addresses.partition_point(|address| *address <= end);
            let (group, rest) = return_addresses.split_at(count.max(1));
            Reader::with(place.as_ref(), |reader| {
                for address in group {
                    self.cache.insert(*address, self.frames(*address, reader));
                }
            });
            return_addresses = rest;
        }
    }

    /// The frames of a return address, the physical function first.
    fn frames(&self, return_address: usize, reader: &Reader<'_>) -> Arc<[Frame]> {
        let code = self.modules.of_call(return_address);
        let offset = code.as_ref().map(|place| place.offset);
        let symbols = reader.symbols(return_address, offset);
        let mut frames: Vec<Frame> = symbols
            .iter()
            .rev()
            .filter_map(|symbol| self.frame(symbol))
            .collect();
        if frames.is_empty() {
            frames.push(self.nameless(code.as_ref()));
        }
        if let Some(place) = code
            && let Some(physical) = frames.first_mut()
        {
            *physical = physical.clone().with_code(place.module, place.offset);
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
    fn nameless(&self, code: Option<&Place>) -> Frame {
        match code {
            Some(place) => {
                let name = format!("{}+{:#x}", base_name(&place.module.path), place.offset);
                Frame::named(self.cache.text(&name))
            }
            None => unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
