//! From a return address to frames: asks the symbol reader and puts what it knows into the words of
//! a [`Frame`].

use std::borrow::Cow;
use std::sync::Arc;

use crate::snapshot::{Frame, FrameOrigin, Module, UNKNOWN};

use super::cache::{Cache, Named};
use super::crate_names::{crate_of, is_standard};
use super::executable::{base_name, executable};
use super::functions::{closure_of, qualified, with_line};
use super::modules::{self, Modules};
use super::packages::Packages;
use super::paths::{self, Origin, SourceFile};
use super::reader::{Definition, Reader, Symbol};
use super::runtime::OWN_CRATE;
use super::types::Held;

/// What a program tells about names.
pub(super) struct Program {
    /// File name of the executable, without its ending and cargo's hash.
    name: String,
    /// Where the debug information says that this crate's sources are, with a `/` at the end;
    /// `None` without lines, and where compile units tell the crate.
    own_sources: Option<String>,
}

impl Program {
    pub(super) fn this(modules: &Modules) -> Self {
        let path = executable();
        Self {
            name: program_name(base_name(&path)).to_owned(),
            own_sources: (!modules::ARE_KNOWN)
                .then(|| own_sources(modules))
                .flatten(),
        }
    }

    /// The program of another process, whose executable file is called `file`.
    pub(super) fn called(file: &str) -> Self {
        Self {
            name: program_name(file).to_owned(),
            own_sources: None,
        }
    }
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
    let places: Vec<u64> = offset.into_iter().collect();
    let symbols = Reader::with(place.as_ref(), &places, |reader| {
        reader.map(|reader| reader.symbols(inside, offset))
    });
    let symbols = symbols.ok()?;
    let file = symbols.last()?.path.as_ref()?.replace('\\', "/");
    let sources = file.strip_suffix("symbols/resolve.rs")?.to_owned();
    Some(sources)
}

fn program_name(file: &str) -> &str {
    paths::without_hash(file.strip_suffix(".exe").unwrap_or(file))
}

/// The frame of an address of which nothing is known.
pub(super) fn unknown() -> Frame {
    Frame::new(UNKNOWN, 0)
}

/// Puts what a reader knows into frames. Knows no process: the code may be of another one.
pub(super) struct Resolver<'a> {
    /// Where texts are shared.
    pub(super) cache: &'a Cache,
    pub(super) program: &'a Program,
}

/// A place in machine code: a module, and the offset of a call in it.
pub(super) type Code<'a> = (&'a Arc<Module>, u64);

impl Resolver<'_> {
    /// The frames of a call, the physical function first. `symbols`: what a reader knows of the call, the
    /// innermost inlined function first.
    pub(super) fn frames(
        &self,
        symbols: &[Symbol],
        packages: &Packages,
        code: Option<Code<'_>>,
    ) -> Named {
        let mut frames: Vec<Frame> = Vec::with_capacity(symbols.len());
        let mut held = Vec::with_capacity(symbols.len());
        for symbol in symbols.iter().rev() {
            if let Some(frame) = self.frame(symbol, packages) {
                held.push(self.held(symbol, &frame));
                frames.push(frame);
            }
        }
        if held.iter().all(Option::is_none) {
            held.clear();
        }
        if let (Some(none @ None), Some(frame)) = (held.first_mut(), frames.first()) {
            *none = self.fixed(symbols, frame);
        }
        if frames.is_empty() {
            frames.push(nameless(code));
        }
        if let Some((module, offset)) = code
            && let Some(physical) = frames.first_mut()
        {
            *physical = physical.clone().with_code(Arc::clone(module), offset);
        }
        Named {
            frames: frames.into(),
            held: held.into(),
        }
    }

    /// What the physical function tells of those that are inlined into it.
    fn fixed(&self, symbols: &[Symbol], frame: &Frame) -> Option<Held> {
        let name = symbols.last()?.entry_name.as_deref()?;
        let (held, name) = Held::of_physical(frame.filename(), name)?;
        Some(held.shared(self.cache.text(&name)))
    }

    /// What a frame tells of the type of what it allocates.
    fn held(&self, symbol: &Symbol, frame: &Frame) -> Option<Held> {
        let own = symbol.entry_name.as_deref();
        let own = own.and_then(|name| Held::of(frame.filename(), name));
        let in_line = || Held::of_line(symbol.in_line.as_deref()?);
        let (held, name) = own.or_else(in_line)?;
        Some(held.shared(self.cache.text(&name)))
    }

    /// A frame for one symbol; `None` if the symbol says nothing.
    fn frame(&self, symbol: &Symbol, packages: &Packages) -> Option<Frame> {
        let function = symbol.function.as_deref();
        let (mut frame, function, crate_name) = match (&symbol.path, function) {
            (Some(path), _) => {
                let context = paths::Context {
                    packages,
                    unit_crate: symbol.crate_name.as_deref(),
                    program: &self.program.name,
                };
                let file = paths::short(path, &context);
                let frame = Frame::new(self.cache.text(&file.name), symbol.line)
                    .with_column(symbol.column)
                    .with_path(self.cache.text(path))
                    .with_written_from(file.unwritten);
                let frame = match frame_origin(&file) {
                    Some(origin) => frame.with_origin(origin),
                    None => frame,
                };
                let crate_name = self.crate_name(path, &file, function);
                let function = function.map(|function| {
                    // Where the compiler made one call of several there is no line, and the
                    // file may be another call's.
                    let known = (symbol.line != 0).then_some(file.name.as_str());
                    let crate_name = crate_name.as_deref();
                    let name: Cow<'_, str> = match &symbol.definition {
                        Definition::Clear => function.into(),
                        Definition::Path(path) => path.into(),
                        Definition::AtLine(line) | Definition::ClosureAtLine(line) => {
                            with_line(function, *line).into()
                        }
                        Definition::ClosureOf(owner) => {
                            closure_of(&qualified(owner, known, crate_name)).into()
                        }
                    };
                    qualified(&name, known, crate_name).into_owned()
                });
                // In line tables of incremental builds only the function around an inlined one tells.
                let of_definition = || {
                    let name = crate_of(function.as_deref()?, None)?;
                    (!is_standard(name)).then(|| name.to_owned())
                };
                let crate_name = crate_name.or_else(of_definition);
                (frame, function, crate_name)
            }
            (None, Some(function)) => (
                Frame::named(self.cache.text(function)),
                Some(function.to_owned()),
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
            Origin::Program(Some(name)) if name == OWN_CRATE => return Some(name.clone()),
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
}

/// A frame for code without a name: the place in its module, which address randomisation does not
/// change.
pub(super) fn nameless(code: Option<Code<'_>>) -> Frame {
    code.map_or_else(unknown, |(module, offset)| {
        Frame::unnamed(Arc::clone(module), offset)
    })
}

/// Whose code a file is.
fn frame_origin(file: &SourceFile) -> Option<FrameOrigin> {
    match &file.origin {
        Origin::Standard(_) => Some(FrameOrigin::Standard),
        Origin::Package(_) => Some(FrameOrigin::Dependency),
        // Code of other languages has no package to be seen.
        Origin::Program(_) => file.name.ends_with(".rs").then_some(FrameOrigin::Own),
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
    }
}
