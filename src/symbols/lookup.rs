//! From a place in machine code to functions and lines, within bounds of memory.
//!
//! A reader of debug information keeps what it reads of each unit: lines and inlined functions take more
//! memory than in the file. Places come in order, so a unit that was left is not needed again. Readers
//! cannot forget single units; when one holds much, another one takes its place. It begins with a look at each
//! unit's first entry, which takes long where units are many, so that a reader may hold more there.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;
use std::sync::Arc;

use addr2line::Context;
use addr2line::gimli::{self, Dwarf, Reader as _, Section as _};

use super::extents::{EntryKey, key_of};
use super::section::Slice;

/// Bytes that a reader may hold in any case.
const LIMIT: usize = 6 << 20;
/// How often a reader is replaced at most.
const READERS: usize = 8;

/// Finds places.
pub(super) struct Lookup<'s> {
    dwarf: Arc<Dwarf<Slice<'s>>>,
    context: RefCell<Context<Slice<'s>>>,
    /// The units that `context` has read.
    units: RefCell<HashSet<EntryKey>>,
    /// Bytes that it holds of them, estimated.
    held: Cell<usize>,
    limit: usize,
}

impl<'s> Lookup<'s> {
    pub(super) fn new(dwarf: Arc<Dwarf<Slice<'s>>>) -> Option<Self> {
        let all = held(
            dwarf.debug_info.reader().len(),
            dwarf.debug_line.reader().len(),
        );
        Some(Self {
            context: RefCell::new(Context::from_arc_dwarf(Arc::clone(&dwarf)).ok()?),
            dwarf,
            units: RefCell::default(),
            held: Cell::new(0),
            limit: LIMIT.max(all / READERS),
        })
    }

    /// The reader, to find places with. Nothing that was found may be kept until the next call.
    pub(super) fn context(&self) -> Ref<'_, Context<Slice<'s>>> {
        if self.held.get() > self.limit
            && let Ok(mut open) = self.context.try_borrow_mut()
            && let Ok(context) = Context::from_arc_dwarf(Arc::clone(&self.dwarf))
        {
            *open = context;
            self.units.borrow_mut().clear();
            self.held.set(0);
        }
        self.context.borrow()
    }

    /// Notes that the reader has read this unit. True if it had not been noted yet.
    pub(super) fn note(&self, unit: gimli::UnitRef<'_, Slice<'s>>) -> bool {
        let key = key_of(unit, unit.header.root_offset());
        let is_new = self.units.borrow_mut().insert(key);
        if is_new {
            let program = unit.line_program.as_ref();
            let lines = program.map_or(0, |lines| lines.header().raw_program_buf().len());
            let held = held(unit.header.length_including_self(), lines);
            self.held.set(self.held.get().saturating_add(held));
        }
        is_new
    }
}

/// Bytes that a reader holds at most of this many bytes of entries and of line programs.
fn held(entries: usize, lines: usize) -> usize {
    (entries - entries / 4).saturating_add(lines.saturating_mul(2))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use addr2line::LookupResult;
    use object::Object as _;

    use super::super::debug_info::load;
    use super::super::file::Mapped;
    use super::super::stash::Stash;
    use super::*;

    /// Function and line of each frame at the places.
    fn frames(lookup: &Lookup<'_>, places: &[u64]) -> Vec<String> {
        let mut found = Vec::new();
        for place in places {
            let context = lookup.context();
            let mut frames = context
                .find_frames(*place)
                .skip_all_loads()
                .expect("frames");
            while let Some(frame) = frames.next().expect("a frame") {
                let name = frame.function.map(|name| name.raw_name().map(Into::into));
                let name: Option<String> = name.and_then(Result::ok);
                let line = frame
                    .location
                    .map(|location| (location.line, location.column));
                found.push(format!("{place:x} {name:?} {line:?}"));
            }
            if let LookupResult::Output(Some(unit)) = context.find_dwarf_and_unit(*place) {
                lookup.note(unit);
            }
        }
        found
    }

    /// A reader that forgets every unit finds what one finds that forgets none.
    #[test]
    fn what_is_forgotten_is_read_again() {
        let stash = Stash::new();
        let mapped = Mapped::open("/proc/self/exe").expect("this program can be read");
        let object = stash.files.add(mapped).object().expect("an ELF file");
        let dwarf = load(&stash, &object, |id| Some(id.name())).expect("debug information");
        let dwarf = Arc::new(dwarf);
        let map = object.symbol_map();
        let symbols = map.symbols();
        let step = symbols.len() / 5;
        // There and back, so that units are read once more.
        let there = symbols
            .iter()
            .step_by(step)
            .map(|symbol| symbol.address() + 1);
        let places: Vec<u64> = there.clone().chain(there.rev()).collect();
        let mut lookup = Lookup::new(dwarf).expect("units");
        lookup.limit = usize::MAX;
        let all = frames(&lookup, &places);
        assert!(all.len() > 5, "{all:?}");
        let held = lookup.held.get();
        assert!(held > 0);
        lookup.limit = 0;
        assert_eq!(frames(&lookup, &places), all);
        assert!(lookup.held.get() < held);
        assert!(lookup.units.borrow().len() <= 1);
    }
}
