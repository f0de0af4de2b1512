//! Which inlined function a name without a path stands for.
//!
//! Line tables alone name an inlined function `fill` or `{async_fn#0}`, whatever type or function it
//! is of. In one compile unit each of them has an entry of its own, and so the line where its code
//! begins tells two of one name apart.

use std::collections::HashMap;

use addr2line::gimli::{self, AttributeValue, EndianSlice, RunTimeEndian, UnitOffset};

type Slice<'s> = EndianSlice<'s, RunTimeEndian>;
type Unit<'a, 's> = gimli::UnitRef<'a, Slice<'s>>;

/// The functions that are inlined somewhere in a compile unit.
#[derive(Default)]
pub(super) struct Inlined {
    functions: HashMap<UnitOffset, Function>,
    /// From the entry of a place where a function is inlined to the function's.
    places: HashMap<UnitOffset, UnitOffset>,
}

#[derive(Default)]
struct Function {
    /// Another function of the unit has its name.
    is_ambiguous: bool,
    /// Where it is inlined: the first address and the entry.
    places: Vec<(u64, UnitOffset)>,
}

impl Inlined {
    pub(super) fn read(unit: Unit<'_, '_>) -> Self {
        let mut found = Self::default();
        let mut names: HashMap<Slice<'_>, UnitOffset> = HashMap::new();
        let mut entries = unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            match entry.tag() {
                gimli::DW_TAG_subprogram if entry.attr_value(gimli::DW_AT_inline).is_some() => {
                    let name = entry.attr_value(gimli::DW_AT_name);
                    let Some(Ok(name)) = name.map(|name| unit.attr_string(name)) else {
                        continue;
                    };
                    let other = names.insert(name, entry.offset());
                    found.function(entry.offset()).is_ambiguous |= other.is_some();
                    if let Some(other) = other {
                        found.function(other).is_ambiguous = true;
                    }
                }
                gimli::DW_TAG_inlined_subroutine => {
                    let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
                    let Some(AttributeValue::UnitRef(origin)) = origin else {
                        continue;
                    };
                    let mut ranges = match unit.die_ranges(entry) {
                        Ok(ranges) => ranges,
                        Err(_) => continue,
                    };
                    if let Ok(Some(range)) = ranges.next() {
                        found.places.insert(entry.offset(), origin);
                        let places = &mut found.function(origin).places;
                        places.push((range.begin, entry.offset()));
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn function(&mut self, entry: UnitOffset) -> &mut Function {
        self.functions.entry(entry).or_default()
    }

    /// The function that is inlined at the entry `place`.
    pub(super) fn at(&self, place: UnitOffset) -> Option<InlinedFunction<'_>> {
        let function = self.functions.get(self.places.get(&place)?)?;
        Some(InlinedFunction(function))
    }
}

/// One of them.
pub(super) struct InlinedFunction<'a>(&'a Function);

impl InlinedFunction<'_> {
    /// True if its name is another's too.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.0.is_ambiguous
    }

    /// The first line that it begins with anywhere. `line_at`: the line of the function whose entry
    /// this is, at an address.
    pub(super) fn first_line(
        &self,
        line_at: impl Fn(u64, UnitOffset) -> Option<u32>,
    ) -> Option<u32> {
        let places = self.0.places.iter();
        let lines = places.filter_map(|&(address, entry)| line_at(address, entry));
        lines.filter(|line| *line != 0).min()
    }
}
