//! Names for return addresses: functions, inlined ones too, with files and lines.
//!
//! Runs when somebody asks (a snapshot), never inside an allocation: it takes locks, reads debug
//! information and allocates freely.

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod build_id;
mod cache;
mod closures;
mod crate_names;
mod debug_info;
mod demangle;
mod executable;
mod extents;
mod file;
mod files;
mod functions;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod in_line;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod listed;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod loaded;
mod lookup;
mod modules;
mod packages;
mod paths;
mod reader;
mod resolve;
mod room;
mod root;
mod runtime;
mod section;
mod sections;
mod separate;
mod stacks;
mod stash;
mod symbol_table;
mod symbolizer;
#[cfg(test)]
mod tests;
mod types;

use std::sync::{Arc, OnceLock};

use crate::snapshot::{Frame, Module, Unread};

use cache::Cache;
use modules::Modules;
use reader::Reader;
use resolve::Resolver;

pub(crate) use executable::{program_file, was_started_by_loader};
pub(crate) use stacks::{NamedCalls, NamedStack, Oldest, Shape, mix, not_recorded};
pub use symbolizer::{Symbolized, SymbolizedModule, Symbolizer};

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
        self.read(&unnamed);
        reader::close();
    }

    /// Names all of these return addresses, which are in order: those of a module together.
    fn read(&self, mut return_addresses: &[usize]) {
        let program = self
            .program
            .get_or_init(|| resolve::Program::this(&self.modules));
        let resolver = Resolver {
            cache: &self.cache,
            program,
        };
        while let Some(first) = return_addresses.first() {
            let place = self.modules.of_call(*first);
            let end = place.as_ref().map_or(*first, |place| place.end);
            let count = return_addresses.partition_point(|address| *address <= end);
            let (group, rest) = return_addresses.split_at(count.max(1));
            let calls = group.iter().map(|address| self.modules.of_call(*address));
            let places: Vec<u64> = calls.flatten().map(|place| place.offset).collect();
            Reader::with(place.as_ref(), &places, |reader| {
                for address in group {
                    let place = self.modules.of_call(*address);
                    let code = place.as_ref().map(|place| (&place.module, place.offset));
                    match reader {
                        Ok(reader) => {
                            let symbols = reader.symbols(*address, code.map(|(_, offset)| offset));
                            let named = resolver.frames(&symbols, reader.packages(), code);
                            self.cache.insert(*address, named);
                        }
                        Err(_) => {
                            let frames = Arc::new([resolve::nameless(code)]);
                            self.cache.insert_unread(*address, frames);
                        }
                    }
                }
                if let Some(place) = &place {
                    self.cache.note(&place.module, reader.err());
                }
            });
            return_addresses = rest;
        }
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

    /// Whether calls can be named later: the platform tells their modules.
    pub(crate) const NAMES_CAN_WAIT: bool = modules::ARE_KNOWN;

    /// Gives each of these return addresses the frame of its place in machine code, without reading names.
    pub(crate) fn locate(&self, calls: &mut NamedCalls) {
        if !self.modules.is_inherited() {
            self.cache.forget(&self.modules.refresh());
        }
        for address in calls.calls() {
            let place = self.modules.of_call(address);
            let code = place.as_ref().map(|place| (&place.module, place.offset));
            calls.set(address, &[resolve::nameless(code)], &[]);
        }
    }

    /// The modules whose names could not be read when they were last asked for.
    pub(crate) fn unread(&self) -> Vec<(Arc<Module>, Unread)> {
        self.cache.unread()
    }

    /// Gives frames to all of these return addresses.
    ///
    /// # Errors
    ///
    /// [`Unread::NoMemory`] if there is too little memory to read all names. The calls have no frames then.
    pub(crate) fn name(&self, calls: &mut NamedCalls) -> Result<(), Unread> {
        let addresses = calls.calls();
        self.resolve(&addresses);
        let unread = self.cache.unread();
        let is_short = |address: usize| {
            let module = self.modules.of_call(address).map(|place| place.module);
            let mut unread = unread.iter();
            unread.any(|(of, why)| *why == Unread::NoMemory && Some(of) == module.as_ref())
        };
        if self.unnamed(&addresses).into_iter().any(is_short) {
            return Err(Unread::NoMemory);
        }
        for address in addresses {
            let held = self.cache.held(address);
            calls.set(address, &self.frames(address), &held);
        }
        Ok(())
    }

    /// Bytes held by the names, estimated.
    pub(crate) fn memory(&self) -> usize {
        self.cache.memory()
    }
}
