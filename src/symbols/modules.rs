//! The files of machine code in this process: where each is loaded, and its build id.
//!
//! The list is read from the loader again when that has added or removed something, so libraries
//! loaded later are found, and those that took the place of others. On platforms without
//! `dl_iterate_phdr` it is empty, and names come from the symbol reader alone.

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod loader;

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use crate::snapshot::Module;

/// Whether the platform has such a list.
pub(super) const ARE_KNOWN: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd"
));

/// The modules known so far.
pub(super) struct Modules(RwLock<Known>);

#[derive(Default)]
struct Known {
    list: Vec<Loaded>,
    /// What the loader had counted when the list was read; `None` before the first time.
    read_at: Option<Changes>,
    /// The process that has read it.
    process: u32,
}

/// How often the loader has added and removed modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    added: u64,
    removed: u64,
}

/// A module at its place in memory.
#[derive(Clone, Debug)]
struct Loaded {
    module: Arc<Module>,
    /// What the loader added to the linker's addresses.
    bias: usize,
    /// Addresses of the module's segments.
    segments: Vec<Range<usize>>,
    /// The program itself, which is always there.
    is_program: bool,
}

impl Loaded {
    /// The part that holds `address`.
    fn part(&self, address: usize) -> Option<&Range<usize>> {
        self.segments.iter().find(|range| range.contains(&address))
    }

    /// True if this is what `other` was, its place in memory included. `unloaded`: something was
    /// unloaded since, so that what has no build id is not known to be the same.
    fn is(&self, other: &Self, unloaded: bool) -> bool {
        let known = !unloaded || self.is_program || self.module.build_id.is_some();
        known && self.bias == other.bias && self.module == other.module
    }
}

/// Where an address is.
pub(super) struct Place {
    pub(super) module: Arc<Module>,
    /// The address as the linker numbered it.
    pub(super) offset: u64,
    pub(super) is_program: bool,
    /// Where the part of the module that holds the address ends.
    pub(super) end: usize,
}

impl Modules {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(Known {
            list: Vec::new(),
            read_at: None,
            process: 0,
        }))
    }

    /// The module that holds `address`, as of the last [`Modules::refresh`].
    pub(super) fn find(&self, address: usize) -> Option<Place> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut list = known.list.iter();
        let (found, part) = list.find_map(|loaded| Some((loaded, loaded.part(address)?)))?;
        Some(Place {
            module: Arc::clone(&found.module),
            offset: u64::try_from(address.wrapping_sub(found.bias)).ok()?,
            is_program: found.is_program,
            end: part.end,
        })
    }

    /// The place of the call before a return address: it may be in another function, or module.
    pub(super) fn of_call(&self, return_address: usize) -> Option<Place> {
        self.find(return_address.checked_sub(1)?)
    }

    /// True in a forked child that has not read the list itself. To ask the loader is not without
    /// danger there: its lock may be held by a thread that is not there.
    pub(super) fn is_inherited(&self) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.read_at.is_some() && known.process != std::process::id()
    }

    /// Reads the list again if it has changed. Returns the places of modules that were not there
    /// before: what was known of addresses in them is of others. A module that is still there stays
    /// the same value, so that frames share it.
    pub(super) fn refresh(&self) -> Vec<Range<usize>> {
        // Outside of the lock: the loader holds one of its own meanwhile. First the counts, so that a
        // change in between is seen the next time.
        let changes = loader::changes();
        let read_at = self.read_at();
        if read_at == Some(changes) {
            return Vec::new();
        }
        let unloaded = changes.removed != read_at.unwrap_or_default().removed;
        let mut new = loader::modules();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut places = Vec::new();
        for loaded in &mut new {
            if let Some(old) = known.list.iter().find(|old| loaded.is(old, unloaded)) {
                *loaded = old.clone();
                continue;
            }
            places.extend(loaded.segments.iter().cloned());
        }
        *known = Known {
            list: new,
            read_at: Some(changes),
            process: std::process::id(),
        };
        places
    }

    fn read_at(&self) -> Option<Changes> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.read_at
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod loader {
    //! No list of modules on this platform.

    use super::{Changes, Loaded};

    pub(super) fn changes() -> Changes {
        Changes::default()
    }

    pub(super) fn modules() -> Vec<Loaded> {
        Vec::new()
    }
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod tests {
    use super::*;

    fn code() -> usize {
        code as fn() -> usize as usize
    }

    fn modules() -> Modules {
        let modules = Modules::new();
        assert!(!modules.is_inherited());
        assert!(!modules.refresh().is_empty());
        assert!(!modules.is_inherited());
        modules
    }

    #[test]
    fn the_program_and_its_libraries_are_found() {
        let modules = modules();
        let program = modules.find(code()).expect("this program is loaded");
        let executable = std::env::current_exe().expect("a test has a file");
        assert_eq!(program.module.path, executable.to_string_lossy());
        assert!(program.offset > 0 && program.is_program);

        let library = modules
            .find(libc::getpid as unsafe extern "C" fn() -> libc::pid_t as usize)
            .expect("the C library is loaded");
        if cfg!(not(target_feature = "crt-static")) {
            assert_ne!(library.module.path, program.module.path);
            assert!(!library.is_program);
        }
    }

    #[test]
    fn an_address_of_no_module_is_not_found() {
        let modules = modules();
        let boxed = Box::new(0_u8);
        for address in [0, usize::MAX, &raw const *boxed as usize] {
            assert!(modules.find(address).is_none());
        }
    }

    #[test]
    fn a_module_stays_one_value_when_the_list_is_read_again() {
        let modules = modules();
        assert_eq!(modules.refresh(), [], "nothing has changed");
        let before = modules.find(code()).expect("this program is loaded");
        // As if one had been unloaded.
        modules.0.write().expect("not poisoned").read_at = Some(Changes {
            added: 0,
            removed: u64::MAX,
        });
        modules.refresh();
        let after = modules.find(code()).expect("this program is still loaded");
        assert!(Arc::ptr_eq(&before.module, &after.module));
    }
}
