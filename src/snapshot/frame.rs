//! One frame of a call stack, as people read it.
//!
//! **Order of frames.** Everywhere on this side of the crate a stack runs from the oldest frame to
//! the most recent one, as in CPython since 3.7: `traceback[0]` is the outermost caller and the
//! last frame made the allocation. The engine reads a stack the other way round, since a frame
//! knows only its caller; `collect.rs` turns it once.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::origin::FrameOrigin;

/// The name shown where nothing better is known, as in CPython.
pub(crate) const UNKNOWN: &str = "<unknown>";

/// A file of machine code: the program itself or one of its shared libraries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Module {
    /// Full path of the file at the time it was loaded.
    pub path: String,
    /// The linker's build id in lower-case hexadecimal, where the file has one.
    pub build_id: Option<String>,
}

impl Module {
    /// A module known by its path and, where it has one, its build id.
    pub fn new(path: impl Into<String>, build_id: Option<String>) -> Self {
        Self {
            path: path.into(),
            build_id,
        }
    }

    /// True for a shared library, going by its name; otherwise it is the program.
    pub(crate) fn is_library(&self) -> bool {
        const ENDINGS: [&str; 3] = [".so", ".dylib", ".dll"];
        let name = self.path.rsplit(['/', '\\']).next().unwrap_or_default();
        ENDINGS.iter().any(|ending| name.contains(ending))
    }
}

/// One frame of a [`Traceback`](crate::Traceback): a file name and a line, and what else is known of
/// the place.
///
/// Frames are equal, ordered and hashed by `(filename, lineno)` alone, as in CPython: the function,
/// the crate and the rest describe the place and never split a group. File names compare by Unicode
/// code points.
///
/// `Display` writes `FILE:LINE`, or the name alone for a frame that stands for no line
/// ([`Frame::named`]).
///
/// Cloning is cheap: a frame is one reference-counted pointer.
///
/// ```
/// use tracemalloc::Frame;
///
/// let frame = Frame::new("src/main.rs", 12).with_function("app::main");
/// assert_eq!(frame.to_string(), "src/main.rs:12");
/// assert_eq!(frame, Frame::new("src/main.rs", 12));
/// ```
#[derive(Clone)]
pub struct Frame(Arc<Place>);

#[derive(Clone)]
struct Place {
    filename: Arc<str>,
    lineno: u32,
    column: u32,
    /// Stands for a function, a crate or a file as a whole: shown without a line.
    named: bool,
    function: Option<Arc<str>>,
    crate_name: Option<Arc<str>>,
    path: Option<Arc<str>>,
    /// Bytes of `path` before what the compiler wrote.
    written_from: usize,
    code: Option<(Arc<Module>, u64)>,
    origin: Option<FrameOrigin>,
    /// Nothing has named the place in machine code yet.
    unnamed: bool,
}

impl Frame {
    /// A frame at `lineno` (0: unknown) of `filename`.
    pub fn new(filename: impl Into<Arc<str>>, lineno: u32) -> Self {
        Self(Arc::new(Place {
            filename: filename.into(),
            lineno,
            column: 0,
            named: false,
            function: None,
            crate_name: None,
            path: None,
            written_from: 0,
            code: None,
            origin: None,
            unnamed: false,
        }))
    }

    /// A frame that has a name but no line: a function in a build without line tables, a crate as a
    /// group.
    ///
    /// Its line number is 0 and `Display` writes the name alone.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        let mut frame = Self::new(name, 0);
        frame.place().named = true;
        frame
    }

    /// A frame that has a place in machine code and nothing else: an offset in bytes from the
    /// start of `module`. It is called `MODULE+0xOFFSET` until something names it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tracemalloc::{Frame, Module};
    ///
    /// let program = Arc::new(Module::new("/usr/bin/app", Some("9f86d081".to_owned())));
    /// let frame = Frame::unnamed(program, 0x11d7);
    /// assert_eq!(frame.to_string(), "app+0x11d7");
    /// assert!(frame.is_unnamed());
    /// ```
    pub fn unnamed(module: Arc<Module>, offset: u64) -> Self {
        let file = module.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut frame = Self::named(format!("{file}+{offset:#x}")).with_code(module, offset);
        frame.place().unnamed = true;
        frame
    }

    fn place(&mut self) -> &mut Place {
        Arc::make_mut(&mut self.0)
    }

    /// This frame inside `function`, a full path such as `serde_json::de::from_str`.
    #[must_use]
    pub fn with_function(mut self, function: impl Into<Arc<str>>) -> Self {
        self.place().function = Some(function.into());
        self
    }

    /// This frame as the place that it shares with `other`: with the function that holds the code of both,
    /// or without one. A line may lie in a function and in a closure of it, or, where a macro wrote the
    /// code, in several functions.
    pub(crate) fn shared_with(&self, other: &Self) -> Self {
        let shared = match (self.function(), other.function()) {
            (Some(own), Some(other)) if own == other || is_within(other, own) => {
                return self.clone();
            }
            (Some(own), Some(other)) if is_within(own, other) => Some(Arc::from(other)),
            (None, None) => return self.clone(),
            _ => None,
        };
        let mut frame = self.clone();
        frame.place().function = shared;
        frame
    }

    /// This frame as code of the crate `name`.
    #[must_use]
    pub fn with_crate(mut self, name: impl Into<Arc<str>>) -> Self {
        self.place().crate_name = Some(name.into());
        self
    }

    /// This frame with the full path of its source file.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.place().path = Some(path.into());
        self
    }

    /// This frame in a source file whose [path](Self::path) the compiler wrote without its first
    /// `bytes`: the directory that it was started in.
    #[must_use]
    pub(crate) fn with_written_from(mut self, bytes: usize) -> Self {
        self.place().written_from = bytes;
        self
    }

    /// This frame at `column` (1 is the first, 0: unknown).
    #[must_use]
    pub fn with_column(mut self, column: u32) -> Self {
        self.place().column = column;
        self
    }

    /// This frame with its place in machine code: an offset in bytes from the start of
    /// `module`, as the linker numbered it. A symboliser with the debug information of that build
    /// id can name it later.
    #[must_use]
    pub fn with_code(mut self, module: Arc<Module>, offset: u64) -> Self {
        self.place().code = Some((module, offset));
        self
    }

    /// This frame as code of `origin`.
    #[must_use]
    pub fn with_origin(mut self, origin: FrameOrigin) -> Self {
        self.place().origin = Some(origin);
        self
    }

    /// The short, stable name of the source file; the name itself for a [named](Frame::named)
    /// frame.
    pub fn filename(&self) -> &str {
        &self.0.filename
    }

    pub(crate) fn filename_shared(&self) -> &Arc<str> {
        &self.0.filename
    }

    /// The line, counted from 1; 0 when unknown.
    pub fn lineno(&self) -> u32 {
        self.0.lineno
    }

    /// The column, counted from 1; 0 when unknown.
    pub fn column(&self) -> u32 {
        self.0.column
    }

    /// True for a frame that has a name but stands for no line.
    pub fn is_named(&self) -> bool {
        self.0.named
    }

    /// True for a frame that has a [place in machine code](Self::code) and nothing else.
    pub fn is_unnamed(&self) -> bool {
        self.0.unnamed
    }

    /// Whose code it is, where that is known.
    pub fn origin(&self) -> Option<FrameOrigin> {
        self.0.origin
    }

    /// The full path of the function, without the compiler's hash.
    pub fn function(&self) -> Option<&str> {
        self.0.function.as_deref()
    }

    /// The crate that the function belongs to.
    pub fn crate_name(&self) -> Option<&str> {
        self.0.crate_name.as_deref()
    }

    /// The full path of the source file, as the compiler recorded it.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The path of the source file as `file!()` gives it there: relative to the workspace for the
    /// program's own packages.
    ///
    /// ```
    /// use tracemalloc::Frame;
    ///
    /// let frame = Frame::new("src/main.rs", 12).with_path("/w/svc/src/main.rs");
    /// assert_eq!(frame.written_path(), Some("/w/svc/src/main.rs"));
    /// ```
    pub fn written_path(&self) -> Option<&str> {
        let path = self.path()?;
        Some(path.get(self.0.written_from..).unwrap_or(path))
    }

    /// Where the [written path](Self::written_path) begins in the path.
    #[cfg(feature = "file")]
    pub(crate) fn written_from(&self) -> usize {
        self.0.written_from
    }

    /// The place in machine code: the module, and the offset in bytes that the linker gave it.
    pub fn code(&self) -> Option<(&Arc<Module>, u64)> {
        self.0
            .code
            .as_ref()
            .map(|(module, offset)| (module, *offset))
    }

    /// True if both are one and the same value, not only equal ones. Cheap; used to skip comparing
    /// text.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number that equal pointers share: the key of tables that meet the same frame many times.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn key(&self) -> (&str, u32) {
        (self.filename(), self.lineno())
    }
}

/// True for a closure or another unnamed part of the function `outer`.
fn is_within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.starts_with("::{"))
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || self.key() == other.key()
    }
}

impl Eq for Frame {}

impl PartialOrd for Frame {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Frame {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.same(other) {
            Ordering::Equal
        } else {
            self.key().cmp(&other.key())
        }
    }
}

impl Hash for Frame {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_named() {
            write!(out, "{}", self.filename())
        } else {
            write!(out, "{}:{}", self.filename(), self.lineno())
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Frame");
        shown
            .field("filename", &self.filename())
            .field("lineno", &self.lineno());
        if let Some(function) = self.function() {
            shown.field("function", &function);
        }
        shown.finish()
    }
}
