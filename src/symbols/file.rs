//! A file of machine code: which build it is, and the names and lines in it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::{self, NonNull};

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, RunTimeEndian};
use backtrace::SymbolName;
use object::{Object, ObjectSection, SymbolMap, SymbolMapName};

use super::modules::Place;
use super::reader::{Symbol, limited};

/// Leads to the program's file, whatever became of its name.
const PROGRAM: &str = "/proc/self/exe";

/// True if this is the file that runs, as far as the system tells.
pub(super) fn is_running(path: &str) -> bool {
    let number = |path: &str| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    };
    number(PROGRAM).is_none_or(|running| number(path) == Some(running))
}

/// A file in memory, as long as this value.
pub(super) struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

impl Mapped {
    /// The file of the module that `place` is in, if it is the build that was loaded. Files without
    /// a build id are not told apart.
    pub(super) fn of(place: &Place) -> Option<Self> {
        let module = &place.module;
        let program = place.is_program.then_some(PROGRAM);
        let mut paths = program.into_iter().chain([module.path.as_str()]);
        paths.find_map(|path| {
            let mapped = Self::open(path).ok()?;
            let build_id = mapped.build_id()?;
            (build_id == module.build_id).then_some(mapped)
        })
    }

    #[expect(unsafe_code, reason = "maps a file")]
    fn open(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a fresh mapping touches nothing that exists. It stays when the file is closed.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { start, len })
    }

    #[expect(unsafe_code, reason = "reads mapped memory")]
    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped with this length until it is dropped. Who writes to the file of code that
        // runs changes what the processor reads too; systems and updates replace such files.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    fn object(&self) -> Option<object::File<'_>> {
        object::File::parse(self.bytes()).ok()
    }

    /// The build id, which not every file has. `None` if this is no such file at all.
    fn build_id(&self) -> Option<Option<String>> {
        let object = self.object()?;
        let bytes = object.build_id().ok().flatten();
        Some(bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}

impl Drop for Mapped {
    #[expect(unsafe_code, reason = "unmaps")]
    fn drop(&mut self) {
        // SAFETY: this value's own mapping, which nothing borrows any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

type Slice<'m> = EndianSlice<'m, RunTimeEndian>;

/// What is in a file, read when it is first asked for.
pub(super) struct Contents<'m> {
    mapped: Option<&'m Mapped>,
    names: OnceCell<Option<Names<'m>>>,
}

impl<'m> Contents<'m> {
    pub(super) fn nothing() -> Self {
        Self::of(None)
    }

    pub(super) fn of(mapped: Option<&'m Mapped>) -> Self {
        Self {
            mapped,
            names: OnceCell::new(),
        }
    }

    /// What is known of the code at `offset`, the innermost inlined function first.
    pub(super) fn symbols(&self, offset: u64) -> Vec<Symbol> {
        let names = self
            .names
            .get_or_init(|| Names::read(&self.mapped?.object()?));
        names
            .as_ref()
            .map_or_else(Vec::new, |names| names.symbols(offset))
    }
}

struct Names<'m> {
    lines: Context<Slice<'m>>,
    functions: SymbolMap<SymbolMapName<'m>>,
}

impl<'m> Names<'m> {
    fn read(object: &object::File<'m>) -> Option<Self> {
        let endian = if object.is_little_endian() {
            RunTimeEndian::Little
        } else {
            RunTimeEndian::Big
        };
        let dwarf = Dwarf::load(|section| {
            let section = object.section_by_name(section.name());
            // A section that is compressed counts as missing.
            let data = section.and_then(|section| match section.uncompressed_data() {
                Ok(Cow::Borrowed(data)) => Some(data),
                _ => None,
            });
            Ok::<_, addr2line::gimli::Error>(EndianSlice::new(data.unwrap_or_default(), endian))
        });
        Some(Self {
            lines: Context::from_dwarf(dwarf.ok()?).ok()?,
            functions: object.symbol_map(),
        })
    }

    fn symbols(&self, offset: u64) -> Vec<Symbol> {
        let mut symbols = Vec::new();
        if let Ok(mut frames) = self.lines.find_frames(offset).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let function = frame.function.as_ref();
                let function = function.and_then(|function| Some(name(&function.raw_name().ok()?)));
                let location = frame.location.as_ref();
                let path = location.and_then(|location| location.file);
                symbols.push(Symbol {
                    function: function.or_else(|| self.function(offset)),
                    path: path
                        .map(|path| limited(format_args!("{path}")))
                        .filter(|path| !path.is_empty()),
                    line: location.and_then(|location| location.line).unwrap_or(0),
                    column: location.and_then(|location| location.column).unwrap_or(0),
                });
            }
        }
        if symbols.is_empty() {
            symbols.extend(self.function(offset).map(|function| Symbol {
                function: Some(function),
                path: None,
                line: 0,
                column: 0,
            }));
        }
        symbols
    }

    /// By the table of symbols.
    fn function(&self, offset: u64) -> Option<String> {
        let symbol = self.functions.containing(offset)?;
        Some(name(symbol.name())).filter(|name| !name.is_empty())
    }
}

fn name(raw: &str) -> String {
    limited(format_args!("{:#}", SymbolName::new(raw.as_bytes())))
}
