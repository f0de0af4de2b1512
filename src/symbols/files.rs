//! Names from the files of a module: the one that was loaded, and those that hold its debug
//! information.

use std::cell::OnceCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use object::{Object, SymbolMap, SymbolMapName};

use super::debug_info::DebugInfo;
use super::demangle::demangled;
use super::file::{Mapped, build_id};
use super::packages::Packages;
use super::reader::Symbol;
use super::room::Need;
use super::runtime::is_startup_function;
use super::sections;
use super::separate;
use super::stash::Stash;
use super::symbol_table::SymbolTable;
use crate::snapshot::{Module, Unread};

/// A module whose names are wanted, and where to look for its files.
pub(super) struct Wanted<'a> {
    pub(super) module: &'a Module,
    /// The program, not a library.
    pub(super) is_program: bool,
    /// Files that may be the module's, the best first. Those of other builds are passed over.
    pub(super) candidates: Vec<Candidate>,
    /// Folders with debug information, before those that every system has.
    pub(super) folders: &'a [PathBuf],
}

/// A file that may be the module's.
pub(super) struct Candidate {
    /// What is opened.
    pub(super) open: PathBuf,
    /// Where it is: other files of the module lie beside it.
    pub(super) path: PathBuf,
}

impl From<PathBuf> for Candidate {
    fn from(path: PathBuf) -> Self {
        Self {
            open: path.clone(),
            path,
        }
    }
}

/// Reads the names of one module.
pub(super) struct FileReader<'s> {
    /// `None` for code of no module.
    files: Option<Files<'s>>,
    /// Read when the first place needs it; `None` in it for files that say nothing.
    info: OnceCell<Option<DebugInfo<'s>>>,
    table: SymbolTable<'s>,
    none: Packages,
    file: PathBuf,
    /// There is a table of symbols or debug information.
    has_names: bool,
}

/// Where debug information is read from.
struct Files<'s> {
    stash: &'s Stash,
    debug: object::File<'s>,
    /// The file with the table of symbols, if that is another one.
    symbols: Option<object::File<'s>>,
    /// The table, read when the name of an inlined function needs all of it.
    functions: OnceCell<SymbolMap<SymbolMapName<'s>>>,
    /// The module's own file.
    path: PathBuf,
    is_program: bool,
}

impl<'s> Files<'s> {
    fn functions(&self) -> &SymbolMap<SymbolMapName<'s>> {
        let symbols = self.symbols.as_ref().unwrap_or(&self.debug);
        self.functions.get_or_init(|| symbols.symbol_map())
    }
}

/// A file of the module's build.
struct Found<'s> {
    object: object::File<'s>,
    path: PathBuf,
}

impl<'s> FileReader<'s> {
    /// A reader of no module, which knows no names.
    pub(super) fn none() -> Self {
        Self {
            files: None,
            info: OnceCell::new(),
            table: SymbolTable::default(),
            none: Packages::default(),
            file: PathBuf::new(),
            has_names: false,
        }
    }

    /// Opens the files of the module, to ask for these `places`, which are in order. Files without a build
    /// id count as one.
    pub(super) fn open(
        stash: &'s Stash,
        wanted: &Wanted<'_>,
        places: &[u64],
    ) -> Result<Self, Unread> {
        let id = wanted.module.build_id.as_deref();
        let own = loaded_file(stash, wanted);
        let separate = match &own {
            Ok(found) if separate::has_debug_info(&found.object) => None,
            Ok(found) => {
                let object = Some((&found.object, found.path.as_path()));
                separate::find(stash, id, object, wanted.folders)
            }
            Err(_) => separate::find(stash, id, None, wanted.folders),
        };
        let separate = separate.map(|(object, path)| Found { object, path });
        let (object, debug) = match (own, separate) {
            (Ok(own), Some(debug)) => (Some(own), debug),
            (Ok(own), None) => (None, own),
            (Err(_), Some(debug)) => (None, debug),
            (Err(unread), None) => return Err(unread),
        };
        let (debug_info, decompressed) = sections::debug_sizes(&debug.object);
        let need = Need {
            debug_info,
            decompressed,
        };
        if !need.is_met() {
            return Err(Unread::NoMemory);
        }
        let count = |object: &object::File<'_>| object.symbols().count();
        let own = object.as_ref().map(|found| &found.object);
        let is_own = own.is_some_and(|own| count(own) >= count(&debug.object));
        let symbols = own.filter(|_| is_own).unwrap_or(&debug.object);
        Ok(Self {
            table: SymbolTable::read(symbols, places, wanted.is_program, &|| {
                stash.note_piece();
            }),
            has_names: separate::has_debug_info(&debug.object) || count(symbols) > 0,
            none: Packages::default(),
            info: OnceCell::new(),
            file: debug.path.clone(),
            files: Some(Files {
                stash,
                path: object
                    .as_ref()
                    .map_or(debug.path, |found| found.path.clone()),
                symbols: object.filter(|_| is_own).map(|found| found.object),
                functions: OnceCell::new(),
                debug: debug.object,
                is_program: wanted.is_program,
            }),
        })
    }

    /// What is known of the code at one of the places, the innermost inlined function first.
    ///
    /// Of a library's start-up code the name is all that anybody needs. So debug information of the C
    /// library, compressed and far larger than most programs', is not read where nothing else of it is
    /// in a stack.
    pub(super) fn symbols_at(&self, offset: u64) -> Vec<Symbol> {
        let name = self.table.name(offset);
        let physical = name.map(demangled).filter(|name| !name.is_empty());
        let is_program = self.files.as_ref().is_some_and(|files| files.is_program);
        let info = match name {
            Some(name) if !is_program && is_startup_function(name) => None,
            _ => self.info(),
        };
        match self.files.as_ref().zip(info) {
            Some((files, info)) => info.symbols(offset, physical, &|| files.functions()),
            None => physical.map(Symbol::named).into_iter().collect(),
        }
    }

    fn info(&self) -> Option<&DebugInfo<'s>> {
        let info = self.info.get_or_init(|| {
            let files = self.files.as_ref()?;
            DebugInfo::read(files.stash, &files.debug, &files.path, files.is_program)
        });
        info.as_ref()
    }

    pub(super) fn packages(&self) -> &Packages {
        let info = self.info.get().and_then(Option::as_ref);
        info.map_or(&self.none, |info| info.packages(self.table.mains()))
    }

    /// True if the files have more than the names that the dynamic linker needs.
    pub(super) fn has_names(&self) -> bool {
        self.has_names
    }

    /// The file that names come from.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// The first of the candidates that is the module's; a later one if that has the debug information.
fn loaded_file<'s>(stash: &'s Stash, wanted: &Wanted<'_>) -> Result<Found<'s>, Unread> {
    let mut unread = Unread::NoFile;
    let mut first = None;
    for candidate in &wanted.candidates {
        let mapped = match Mapped::open(&candidate.open) {
            Ok(mapped) => mapped,
            Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(Unread::NoMemory),
            Err(_) => continue,
        };
        let is_same = |object: object::File<'_>| build_id(&object) == wanted.module.build_id;
        if !mapped.object().is_some_and(is_same) {
            unread = unread.max(Unread::OtherBuild);
            continue;
        }
        let Some(object) = stash.files.add(mapped).object() else {
            continue;
        };
        let found = Found {
            object,
            path: candidate.path.clone(),
        };
        if separate::has_debug_info(&found.object) {
            return Ok(found);
        }
        first.get_or_insert(found);
    }
    first.ok_or(unread)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod hostile;
