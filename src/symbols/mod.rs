//! Names for return addresses: functions, inlined ones too, with files and lines.
//!
//! Runs when somebody asks (a snapshot), never inside an allocation: it takes locks, reads debug
//! information and allocates freely.

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod build_id;
mod cache;
mod crate_names;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod debug_info;
mod demangle;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod file;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod files;
mod functions;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod inlined;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod listed;
mod modules;
mod packages;
mod paths;
mod reader;
mod resolve;
mod runtime;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod separate;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod stash;
#[cfg(test)]
mod tests;
mod types;

use std::sync::{Arc, OnceLock};

use crate::snapshot::Frame;

use cache::Cache;
use modules::Modules;
use resolve::Resolver;

pub(crate) use resolve::program_file;
pub(crate) use runtime::{Role, visible};
pub(crate) use types::{GLOBAL_FILE, Held, Seen, type_of};

/// Names of return addresses, each read from the debug information once.
///
/// When a library was unloaded its names stay, for the blocks that it has left behind, until another
/// one takes its place in memory. An address is then one of the other library: whose call has left a
/// block behind the address alone does not tell, and most are of who is there.
pub(crate) struct Symbols {
    cache: Cache,
    modules: Modules,
    program: OnceLock<resolve::Program>,
}

impl Symbols {
    pub(crate) const fn new() -> Self {
        Self {
            cache: Cache::new(),
            modules: Modules::new(),
            program: OnceLock::new(),
        }
    }

    /// Resolves those of these return addresses that have no name yet.
    ///
    /// The debug-information reader maps whole files; its memory is given back before this returns.
    /// So name many addresses in one call.
    pub(crate) fn resolve(&self, return_addresses: &[usize]) {
        if !self.modules.is_inherited() || !self.unnamed(return_addresses).is_empty() {
            self.cache.forget(&self.modules.refresh());
        }
        let unnamed = self.unnamed(return_addresses);
        if unnamed.is_empty() {
            return;
        }
        let resolver = Resolver {
            cache: &self.cache,
            modules: &self.modules,
            program: self
                .program
                .get_or_init(|| resolve::Program::this(&self.modules)),
        };
        resolver.name(&unnamed);
        reader::close();
    }

    /// Those of the addresses that have no name yet, or none that could be read, each once and in order: the reader keeps few
    /// modules open, and neighbours in memory come from one module.
    fn unnamed(&self, return_addresses: &[usize]) -> Vec<usize> {
        let mut unnamed = return_addresses.to_vec();
        unnamed.retain(|&address| !self.cache.is_named(address));
        unnamed.sort_unstable();
        unnamed.dedup();
        unnamed
    }

    /// The frames of one return address, at least one: the function that the machine code is, then
    /// what the compiler inlined into it, the innermost last. Resolves the address if
    /// [`Symbols::resolve`] was not asked before.
    pub(crate) fn frames(&self, return_address: usize) -> Arc<[Frame]> {
        if let Some(frames) = self.cache.get(return_address) {
            return frames;
        }
        self.resolve(&[return_address]);
        self.cache
            .get(return_address)
            .unwrap_or_else(|| Arc::new([resolve::unknown()]))
    }

    /// What the frames of one return address tell of the type of what they allocate, at the places that
    /// [`Symbols::frames`] has them at; empty if nothing.
    pub(crate) fn held(&self, return_address: usize) -> Arc<[Option<Held>]> {
        self.cache.held(return_address)
    }

    /// Bytes held by the names, estimated.
    pub(crate) fn memory(&self) -> usize {
        self.cache.memory()
    }
}
