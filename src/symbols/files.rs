//! Names from the files of a module: the one that was loaded, and those that hold its debug
//! information.

use std::path::{Path, PathBuf};

use object::Object;

use super::debug_info::DebugInfo;
use super::file::{Mapped, build_id};
use super::packages::Packages;
use super::reader::Symbol;
use super::separate;
use super::stash::Stash;
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
    /// `None` for code of no module, and for files that say nothing.
    info: Option<DebugInfo<'s>>,
    none: Packages,
    file: PathBuf,
    /// There is a table of symbols or debug information.
    has_names: bool,
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
            info: None,
            none: Packages::default(),
            file: PathBuf::new(),
            has_names: false,
        }
    }

    /// Opens the files of the module. Files without a build id are not told apart.
    pub(super) fn open(stash: &'s Stash, wanted: &Wanted<'_>) -> Result<Self, Unread> {
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
        let (object, debug) = match (&own, &separate) {
            (Ok(own), Some(debug)) => (own, debug),
            (Ok(own), None) => (own, own),
            (Err(_), Some(debug)) => (debug, debug),
            (Err(unread), None) => return Err(*unread),
        };
        Ok(Self {
            info: DebugInfo::read(
                stash,
                &object.object,
                &debug.object,
                &object.path,
                wanted.is_program,
            ),
            file: debug.path.clone(),
            has_names: separate::has_debug_info(&debug.object)
                || object.object.symbols().next().is_some(),
            none: Packages::default(),
        })
    }

    /// What is known of the code at `offset`, as the linker numbered it, the innermost inlined function
    /// first.
    pub(super) fn symbols_at(&self, offset: u64) -> Vec<Symbol> {
        let info = self.info.as_ref();
        info.map_or_else(Vec::new, |info| info.symbols(offset))
    }

    pub(super) fn packages(&self) -> &Packages {
        self.info.as_ref().map_or(&self.none, DebugInfo::packages)
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
        let Ok(mapped) = Mapped::open(&candidate.open) else {
            continue;
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
