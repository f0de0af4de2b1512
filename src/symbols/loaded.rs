//! The reader of platforms whose loader tells the files of modules: names of loaded modules, from their
//! files.

use std::path::PathBuf;

use super::executable::{mapped_at, was_started_by_loader};
use super::files::{Candidate, FileReader, Wanted};
use super::modules::Place;
use super::packages::Packages;
use super::reader::Symbol;
use super::stash::Stash;
use crate::snapshot::Unread;

/// Leads to the file that was started, whatever became of its name.
const PROGRAM: &str = "/proc/self/exe";

/// Reads the names of one module of the process.
pub(super) struct Reader<'s>(FileReader<'s>);

impl Reader<'_> {
    /// Calls `work` with a reader of the module that `place` is in; of none, where it is in none.
    /// `places` are those that it will be asked for, in order.
    pub(super) fn with<R>(
        place: Option<&Place>,
        places: &[u64],
        work: impl FnOnce(Result<&Reader<'_>, Unread>) -> R,
    ) -> R {
        let stash = Stash::new();
        let reader = place.map_or(Ok(FileReader::none()), |place| {
            FileReader::open(&stash, &wanted(place), places)
        });
        let reader = reader.map(Reader);
        work(reader.as_ref().map_err(|unread| *unread))
    }

    /// What is known of a return address, the innermost inlined function first. `offset`: the call
    /// before it, as the linker numbered it.
    pub(super) fn symbols(&self, _return_address: usize, offset: Option<u64>) -> Vec<Symbol> {
        offset.map_or_else(Vec::new, |offset| self.0.symbols_at(offset))
    }

    pub(super) fn packages(&self) -> &Packages {
        self.0.packages()
    }
}

/// Nothing stays open.
pub(super) fn close() {}

fn wanted(place: &Place) -> Wanted<'_> {
    let module = &*place.module;
    let path = PathBuf::from(&module.path);
    let candidates = match place.is_program {
        true => of_program(place, path),
        false => vec![path.into()],
    };
    Wanted {
        module,
        is_program: place.is_program,
        candidates,
        folders: &[],
    }
}

/// Where the program's file may be. What the system has started is the loader's where that was the command.
fn of_program(place: &Place, path: PathBuf) -> Vec<Candidate> {
    if was_started_by_loader() {
        // The path may be another one: the loader searches, and can be given another name.
        let mapped = mapped_at(place.end - 1);
        let paths = mapped.into_iter().chain([path]);
        return paths.map(Candidate::from).collect();
    }
    let started = Candidate {
        open: PathBuf::from(PROGRAM),
        path: path.clone(),
    };
    vec![started, path.into()]
}
