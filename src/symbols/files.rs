//! Names from the files of a module: the one that was loaded, and those that hold its debug
//! information.

use super::debug_info::DebugInfo;
use super::file::{Mapped, build_id};
use super::modules::Place;
use super::packages::Packages;
use super::reader::{Symbol, Unread};
use super::separate;
use super::stash::Stash;

/// Leads to the program's file, whatever became of its name.
const PROGRAM: &str = "/proc/self/exe";

/// Reads the names of one module.
pub(super) struct Reader<'s> {
    /// `None` for code of no module, and for files that say nothing.
    info: Option<DebugInfo<'s>>,
    none: Packages,
}

impl Reader<'_> {
    /// Calls `work` with a reader of the module that `place` is in; of none, where it is in none.
    pub(super) fn with<R>(
        place: Option<&Place>,
        work: impl FnOnce(Result<&Reader<'_>, Unread>) -> R,
    ) -> R {
        let stash = Stash::new();
        let info = place.map_or(Ok(None), |place| open(&stash, place));
        let reader = info.map(|info| Reader {
            info,
            none: Packages::default(),
        });
        work(reader.as_ref().map_err(Clone::clone))
    }

    /// What is known of a return address, the innermost inlined function first. `offset`: the call
    /// before it, as the linker numbered it.
    pub(super) fn symbols(&self, _return_address: usize, offset: Option<u64>) -> Vec<Symbol> {
        let found = self.info.as_ref().zip(offset);
        found.map_or_else(Vec::new, |(info, offset)| info.symbols(offset))
    }

    pub(super) fn packages(&self) -> &Packages {
        self.info.as_ref().map_or(&self.none, DebugInfo::packages)
    }
}

/// Nothing stays open.
pub(super) fn close() {}

/// Opens the files of the module that `place` is in, if they are of the build that was loaded. Files
/// without a build id are not told apart.
fn open<'s>(stash: &'s Stash, place: &Place) -> Result<Option<DebugInfo<'s>>, Unread> {
    let (path, id) = (place.module.path.as_str(), place.module.build_id.as_deref());
    let own = loaded_file(stash, place);
    let separate = match &own {
        Ok(object) if separate::has_debug_info(object) => None,
        own => separate::find(stash, path, id, own.as_ref().ok()),
    };
    let (object, debug) = match (own, separate) {
        (Ok(object), Some(debug)) => (object, debug),
        (Ok(object), None) => {
            return Ok(DebugInfo::read(
                stash,
                &object,
                &object,
                path,
                place.is_program,
            ));
        }
        (Err(_), Some(debug)) => {
            return Ok(DebugInfo::read(
                stash,
                &debug,
                &debug,
                path,
                place.is_program,
            ));
        }
        (Err(unread), None) => return Err(unread),
    };
    Ok(DebugInfo::read(
        stash,
        &object,
        &debug,
        path,
        place.is_program,
    ))
}

fn loaded_file<'s>(stash: &'s Stash, place: &Place) -> Result<object::File<'s>, Unread> {
    let module = &place.module;
    let program = place.is_program.then_some(PROGRAM);
    let mut unread = Unread::File;
    for path in program.into_iter().chain([module.path.as_str()]) {
        let Ok(mapped) = Mapped::open(path) else {
            continue;
        };
        let is_same = |object: object::File<'_>| build_id(&object) == module.build_id;
        if mapped.object().is_some_and(is_same) {
            return stash.files.add(mapped).object().ok_or(Unread::File);
        }
        unread = Unread::OtherBuild;
    }
    Err(unread)
}
