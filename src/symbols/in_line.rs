//! What is inlined in one line of a function, beside the call that a stack goes through.
//!
//! ```text
//! add_all              *totals.entry(word).or_default() += 1;
//!     entry<Word, u64>         inlined: its arguments are those of this line
//!     or_default<Word, Other>  a function of machine code, which may be merged with another one
//! ```
//!
//! `BTreeMap::entry` tells the map whose entry the line fills.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use addr2line::gimli::{self, UnitOffset};

use super::debug_info::Unit;
use super::extents::{EntryKey, key_of};
use super::section::Slice;

/// The start of the name of `BTreeMap::entry`, and of others.
pub(super) const ENTRY: &str = "entry<";

/// The functions that tell, by the scopes that they are inlined into.
#[derive(Default)]
pub(super) struct InLines {
    by_scope: RefCell<HashMap<EntryKey, Rc<[Inlined]>>>,
    /// The names of those, by their own entries; `None` for functions that say nothing.
    names: RefCell<HashMap<EntryKey, Option<Rc<str>>>>,
}

struct Inlined {
    line: u32,
    name: Rc<str>,
}

impl InLines {
    /// The name of the function that tells, inlined in the line `line` of the scope at the entry `scope`;
    /// `None` without one, and where two disagree. `name_of`: the name of an inlined function if it may
    /// tell, by its entry.
    pub(super) fn find(
        &self,
        unit: Unit<'_, '_>,
        scope: UnitOffset,
        line: u32,
        name_of: &dyn Fn(UnitOffset) -> Option<String>,
    ) -> Option<Rc<str>> {
        let key = key_of(unit, scope);
        let known = self.by_scope.borrow().get(&key).cloned();
        let inlined = known.unwrap_or_else(|| {
            let read = self.read(unit, scope, name_of).unwrap_or_default();
            let read: Rc<[Inlined]> = read.into();
            self.by_scope.borrow_mut().insert(key, Rc::clone(&read));
            read
        });
        let mut names = inlined.iter().filter(|inlined| inlined.line == line);
        let first = names.next()?;
        names
            .all(|other| other.name == first.name)
            .then(|| Rc::clone(&first.name))
    }

    /// The functions that are inlined directly into `scope`.
    fn read(
        &self,
        unit: Unit<'_, '_>,
        scope: UnitOffset,
        name_of: &dyn Fn(UnitOffset) -> Option<String>,
    ) -> gimli::Result<Vec<Inlined>> {
        let mut found = Vec::new();
        let mut entries = unit.entries_raw(Some(scope))?;
        let outside = entries.next_depth();
        if let Some(abbreviation) = entries.read_abbreviation()? {
            entries.skip_attributes(abbreviation.attributes())?;
        }
        // What is inlined deeper is of another scope.
        let mut inner = isize::MAX;
        while !entries.is_empty() && entries.next_depth() > outside {
            let (entry, depth) = (entries.next_offset(), entries.next_depth());
            let Some(abbreviation) = entries.read_abbreviation()? else {
                continue;
            };
            let is_direct = depth <= inner;
            let is_inlined = abbreviation.tag() == gimli::DW_TAG_inlined_subroutine;
            if is_direct {
                let is_scope = is_inlined || abbreviation.tag() == gimli::DW_TAG_subprogram;
                inner = if is_scope { depth } else { isize::MAX };
            }
            if !(is_direct && is_inlined) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let (mut line, mut origin) = (0, None);
            for attribute in abbreviation.attributes() {
                let attribute = entries.read_attribute(*attribute)?;
                match attribute.name() {
                    gimli::DW_AT_call_line => line = attribute.udata_value().unwrap_or(0) as u32,
                    gimli::DW_AT_abstract_origin => origin = origin_key(unit, attribute.value()),
                    _ => {}
                }
            }
            let name = origin.and_then(|origin| self.name(origin, entry, name_of));
            found.extend(name.map(|name| Inlined { line, name }));
        }
        Ok(found)
    }

    /// The name of the function `origin`, inlined at `entry`, if it tells.
    fn name(
        &self,
        origin: EntryKey,
        entry: UnitOffset,
        name_of: &dyn Fn(UnitOffset) -> Option<String>,
    ) -> Option<Rc<str>> {
        let known = self.names.borrow().get(&origin).cloned();
        known.unwrap_or_else(|| {
            let name = name_of(entry).map(Rc::from);
            self.names.borrow_mut().insert(origin, name.clone());
            name
        })
    }
}

fn origin_key(unit: Unit<'_, '_>, origin: gimli::AttributeValue<Slice<'_>>) -> Option<EntryKey> {
    match origin {
        gimli::AttributeValue::UnitRef(entry) => Some(key_of(unit, entry)),
        gimli::AttributeValue::DebugInfoRef(entry) => Some((unit.dwo_id, entry.0)),
        _ => None,
    }
}
