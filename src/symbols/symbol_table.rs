//! Names of functions in the table of symbols.
//!
//! The table of a large program has hundreds of thousands of entries, of which a snapshot needs a few
//! hundred. So it is neither sorted nor kept: one pass finds, for each wanted place, the last symbol that
//! begins at or before it.
//!
//! ```text
//! wanted      w0        w1   w2          a symbol is noted at the first place at or behind it,
//! symbols   a    b   c      d            so w1 gets c, w2 gets d
//! ```

use object::{Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, SymbolKind, SymbolScope};

use super::demangle::demangled;

/// The symbols of some places in a file.
#[derive(Debug, Default)]
pub(super) struct SymbolTable<'s> {
    /// The places, in order, and what covers each.
    places: Vec<(u64, Option<Covering<'s>>)>,
    /// Functions called `main` in the root of a crate, of a program.
    mains: Vec<(u64, &'s str)>,
}

/// A symbol at or before a place. Of several the greater one is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Covering<'s> {
    address: u64,
    has_known_kind: bool,
    has_size: bool,
    scope: u8,
    index: usize,
    size: u64,
    name: &'s str,
}

impl<'s> SymbolTable<'s> {
    /// The symbols of the `wanted` places, which are in order. Calls `rest` between symbols, now and then.
    pub(super) fn read(
        object: &object::File<'s>,
        wanted: &[u64],
        is_program: bool,
        rest: &dyn Fn(),
    ) -> Self {
        let places = wanted.iter().map(|place| (*place, None));
        let mut found = Self {
            places: places.collect(),
            mains: Vec::new(),
        };
        let table = object.symbol_table();
        let Some(table) = table.or_else(|| object.dynamic_symbol_table()) else {
            return found;
        };
        for (number, symbol) in table.symbols().enumerate() {
            found.add(&symbol, is_program);
            if number % 256 == 0 {
                rest();
            }
        }
        found.spread();
        found.end_at_sections(object);
        found
    }

    fn add(&mut self, symbol: &object::Symbol<'s, '_>, is_program: bool) {
        let has_known_kind = match symbol.kind() {
            SymbolKind::Text | SymbolKind::Data => true,
            SymbolKind::Unknown => false,
            _ => return,
        };
        if !symbol.is_definition() {
            return;
        }
        let address = symbol.address();
        let next = self.places.partition_point(|(place, _)| *place < address);
        let place = self.places.get_mut(next);
        // Only a symbol that may be better, or a function that may be `main`, has to have a name.
        let is_before = |known: &Covering<'_>| address < known.address;
        let place = place.filter(|(_, known)| !known.as_ref().is_some_and(is_before));
        if place.is_none() && !is_program {
            return;
        }
        let Some(name) = symbol.name().ok().filter(|name| !name.is_empty()) else {
            return;
        };
        if is_program && name.contains("4main") && is_main(&demangled(name)) {
            self.mains.push((address, name));
        }
        let covering = Some(Covering {
            address,
            has_known_kind,
            has_size: symbol.size() > 0,
            scope: match symbol.scope() {
                SymbolScope::Unknown => 0,
                SymbolScope::Compilation => 1,
                SymbolScope::Linkage => 2,
                SymbolScope::Dynamic => 3,
            },
            index: symbol.index().0,
            size: symbol.size(),
            name,
        });
        if let Some((_, known)) = place {
            *known = covering.max(*known);
        }
    }

    /// A symbol before one place is before the next ones too.
    fn spread(&mut self) {
        let mut last = None;
        for (_, covering) in &mut self.places {
            last = last.max(*covering);
            *covering = last;
        }
        for (place, covering) in &mut self.places {
            *covering = covering.filter(|of| of.size == 0 || *place - of.address < of.size);
        }
    }

    /// A symbol without a size ends where its section does.
    fn end_at_sections(&mut self, object: &object::File<'_>) {
        let sections = object.sections();
        let mut ends: Vec<u64> = sections
            .map(|section| section.address().saturating_add(section.size()))
            .collect();
        ends.sort_unstable();
        for (place, covering) in &mut self.places {
            let ends_between = |start: u64| {
                let next = ends.partition_point(|end| *end <= start);
                ends.get(next).is_some_and(|end| end <= place)
            };
            *covering = covering.filter(|of| of.size > 0 || !ends_between(of.address));
        }
    }

    /// The name of the function at one of the places.
    pub(super) fn name(&self, place: u64) -> Option<&'s str> {
        let at = self
            .places
            .binary_search_by_key(&place, |(place, _)| *place);
        let name = self.places.get(at.ok()?)?.1?.name;
        Some(plain(name))
    }

    /// Functions called `main` in the root of a crate: their addresses and names.
    pub(super) fn mains(&self) -> &[(u64, &'s str)] {
        &self.mains
    }
}

/// The name without its version, and without what glibc calls its own functions by.
fn plain(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    name.strip_prefix("__GI_").unwrap_or(name)
}

/// True for a function called `main` in the root of a crate.
fn is_main(name: &str) -> bool {
    name.split_once("::")
        .is_some_and(|(_, name)| name == "main")
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::file::Mapped;
    use super::*;

    /// The one pass finds what the sorted table of the crate `object` finds.
    #[test]
    fn one_pass_finds_the_symbols_of_a_sorted_table() {
        let mapped = Mapped::open("/proc/self/exe").expect("this program can be read");
        let object = mapped.object().expect("an ELF file");
        let map = object.symbol_map();
        let mut wanted = Vec::new();
        for symbol in map.symbols().iter().step_by(97) {
            let (start, end) = (symbol.address(), symbol.address() + symbol.size());
            wanted.extend([
                start.wrapping_sub(1),
                start,
                start + symbol.size() / 2,
                end,
                end + 5,
            ]);
        }
        wanted.extend([0, 1, u64::MAX]);
        wanted.sort_unstable();
        wanted.dedup();
        assert!(wanted.len() > 500);
        let table = SymbolTable::read(&object, &wanted, true, &|| ());
        for place in wanted {
            let expected = map.containing(place).map(|symbol| symbol.name());
            let expected = expected.map(plain);
            assert_eq!(table.name(place), expected, "{place:#x}");
        }
        let mains = table.mains();
        assert!(
            mains
                .iter()
                .any(|(_, name)| demangled(name) == "tracemalloc::main"),
            "{mains:?}"
        );
    }
}
