//! Reads extents from the entries and line tables of units.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

use addr2line::Context;
use addr2line::gimli::{self, AttributeValue, Range, RangeIter, UnitOffset};
use object::{SymbolMap, SymbolMapName};

use super::super::closures::{owner_by_callee, owner_by_caller};
use super::super::paths::{is_absolute, is_standard_file};
use super::super::reader::limited;
use super::super::section::Slice;
use super::drops::Dropped;
use super::{EntryKey, Extents, Function, Key, Lines};

type Unit<'a, 's> = gimli::UnitRef<'a, Slice<'s>>;

pub(in super::super) fn key_of(unit: Unit<'_, '_>, entry: UnitOffset) -> EntryKey {
    let start = unit.header.debug_info_offset().map_or(0, |start| start.0);
    (unit.dwo_id, start + entry.0)
}

/// What extents are read from beside the units themselves.
pub(in super::super) struct Source<'a, 's> {
    pub(in super::super) lines: &'a Context<Slice<'s>>,
    pub(in super::super) symbols: &'a SymbolMap<SymbolMapName<'s>>,
    /// The name that an entry of another unit has.
    pub(in super::super) name_at: &'a dyn Fn(EntryKey) -> Option<String>,
}

/// A function inlined somewhere, as the entries have it.
struct Call {
    entry: EntryKey,
    callee: EntryKey,
    /// The call that it is inlined into; `None` where that is a physical function.
    outer: Option<usize>,
    /// The function that it is inlined into.
    caller: EntryKey,
    line: u32,
    /// The path of the file that has the line.
    file: Option<Rc<str>>,
    ranges: Vec<Range>,
}

/// The entries of a unit that are about functions.
#[derive(Default)]
struct Entries<'s> {
    names: HashMap<EntryKey, Cow<'s, str>>,
    ambiguous: Vec<EntryKey>,
    calls: Vec<Call>,
}

impl<'s> Entries<'s> {
    fn read(unit: Unit<'_, 's>, skeleton: Unit<'_, 's>) -> Self {
        let mut found = Self::default();
        let mut files = CallFiles::default();
        let mut by_name: HashMap<Cow<'s, str>, EntryKey> = HashMap::new();
        // The functions that the cursor is in, with their depths and calls.
        let mut open: Vec<(isize, Option<usize>, EntryKey)> = Vec::new();
        let mut entries = unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            while open
                .last()
                .is_some_and(|(depth, ..)| *depth >= entry.depth())
            {
                open.pop();
            }
            let key = key_of(unit, entry.offset());
            let origin = match entry.attr_value(gimli::DW_AT_abstract_origin) {
                Some(AttributeValue::UnitRef(origin)) => Some(key_of(unit, origin)),
                Some(AttributeValue::DebugInfoRef(origin)) => Some((None, origin.0)),
                _ => None,
            };
            match entry.tag() {
                gimli::DW_TAG_subprogram => {
                    open.push((entry.depth(), None, origin.unwrap_or(key)));
                    let name = entry.attr_value(gimli::DW_AT_name);
                    let Some(Ok(name)) = name.map(|name| unit.attr_string(name)) else {
                        continue;
                    };
                    let name = name.to_string_lossy();
                    let is_inlined = entry.attr_value(gimli::DW_AT_inline).is_some();
                    if is_inlined && let Some(other) = by_name.insert(name.clone(), key) {
                        found.ambiguous.extend([key, other]);
                    }
                    found.names.insert(key, name);
                }
                gimli::DW_TAG_inlined_subroutine => {
                    let Some((callee, (_, outer, caller))) = origin.zip(open.last().copied())
                    else {
                        continue;
                    };
                    open.push((entry.depth(), Some(found.calls.len()), callee));
                    let line = entry.attr_value(gimli::DW_AT_call_line);
                    let line = line.and_then(|line| line.udata_value()).unwrap_or(0);
                    let file = match entry.attr_value(gimli::DW_AT_call_file) {
                        Some(AttributeValue::FileIndex(file)) => Some(file),
                        file => file.and_then(|file| file.udata_value()),
                    };
                    found.calls.push(Call {
                        entry: key,
                        callee,
                        outer,
                        caller,
                        line: u32::try_from(line).unwrap_or(0),
                        file: file.and_then(|file| files.get(unit, skeleton, file)),
                        ranges: ranges(unit.die_ranges(entry)),
                    });
                }
                _ => {}
            }
        }
        found
    }

    /// Adds the names of functions whose entries are in other units.
    fn add_names(&mut self, name_at: &dyn Fn(EntryKey) -> Option<String>) {
        for call in &self.calls {
            for key in [call.callee, call.caller] {
                self.names
                    .entry(key)
                    .or_insert_with(|| name_at(key).unwrap_or_default().into());
            }
        }
    }

    fn name(&self, function: EntryKey) -> &str {
        self.names.get(&function).map_or("", |name| name)
    }
}

impl Extents {
    /// Adds the functions of `unit`. `skeleton`: the unit that has the ranges of its code, which is itself
    /// unless debug information is split.
    pub(in super::super) fn add<'s>(
        &mut self,
        unit: Unit<'_, 's>,
        skeleton: Unit<'_, 's>,
        source: &Source<'_, '_>,
    ) {
        let mut entries = Entries::read(unit, skeleton);
        entries.add_names(source.name_at);
        let mut places: Vec<(Range, usize)> = Vec::new();
        let callees: Vec<usize> = entries
            .calls
            .iter()
            .map(|call| self.inlined(call.callee, entries.name(call.callee)))
            .collect();
        for (call, &callee) in entries.calls.iter().zip(&callees) {
            self.places.insert(call.entry, callee);
            places.extend(call.ranges.iter().map(|range| (*range, callee)));
            self.add_owner(call, &entries);
            if self.functions[callee].is_nameless_closure() {
                self.add_callers(call, callee, &callees, &entries.calls, source);
            }
        }
        for key in &entries.ambiguous {
            let function = self.inlined(*key, entries.name(*key));
            self.functions[function].is_ambiguous = true;
        }
        places.sort_by_key(|(range, _)| (range.begin, Reverse(range.end)));
        let mut ranges = ranges(skeleton.unit_ranges());
        ranges.sort_by_key(|range| range.begin);
        let mut rest = places.as_slice();
        for range in ranges {
            rest = &rest[rest.partition_point(|(place, _)| place.begin < range.begin)..];
            let (inside, after) =
                rest.split_at(rest.partition_point(|(place, _)| place.begin < range.end));
            self.add_lines(range, inside, source);
            rest = after;
        }
        for call in &entries.calls {
            self.add_call_line(call, &callees, source);
        }
    }

    /// Adds the line that a function is called from to its caller's, whose own code may all be inlined.
    fn add_call_line(&mut self, call: &Call, callees: &[usize], source: &Source<'_, '_>) {
        let caller = match call.outer {
            Some(outer) => Some(callees[outer]),
            None => {
                let begin = call.ranges.first().map(|range| range.begin);
                let symbol = begin.and_then(|begin| source.symbols.containing(begin));
                symbol.map(|symbol| self.physical_function(symbol))
            }
        };
        if let Some((caller, file)) = caller.zip(call.file.as_deref())
            && call.line != 0
        {
            self.add_line(caller, file, call.line);
        }
    }

    /// Adds what generic arguments tell of the functions around closures.
    fn add_owner(&mut self, call: &Call, entries: &Entries<'_>) {
        let [callee, caller] = [call.callee, call.caller].map(|key| entries.name(key));
        for (closure, owner) in [
            (call.callee, owner_by_caller(caller, callee)),
            (call.caller, owner_by_callee(callee, caller)),
        ] {
            if let Some(owner) = owner {
                let function = self.inlined(closure, entries.name(closure));
                self.functions[function]
                    .owner
                    .get_or_insert_with(|| owner.to_owned());
            }
        }
    }

    /// Adds the functions that a closure is inlined into by `call`.
    fn add_callers(
        &mut self,
        call: &Call,
        closure: usize,
        callees: &[usize],
        calls: &[Call],
        source: &Source<'_, '_>,
    ) {
        let mut call = call;
        while let Some(outer) = call.outer {
            self.functions[closure]
                .callers
                .push((callees[outer], call.line));
            call = &calls[outer];
        }
        let begin = call.ranges.first().map(|range| range.begin);
        if let Some(symbol) = begin.and_then(|begin| source.symbols.containing(begin)) {
            let physical = self.physical_function(symbol);
            self.functions[closure].callers.push((physical, call.line));
        }
    }

    /// Adds the lines of the code at `range`, in which functions are inlined at `places`.
    fn add_lines(&mut self, range: Range, places: &[(Range, usize)], source: &Source<'_, '_>) {
        let Ok(rows) = source.lines.find_location_range(range.begin, range.end) else {
            return;
        };
        let mut places = places.iter().peekable();
        let mut open: Vec<(Range, usize)> = Vec::new();
        for (address, _, location) in rows {
            while let Some((place, function)) = places.next_if(|(place, _)| place.begin <= address)
            {
                open.retain(|(outer, _)| outer.end > place.begin);
                open.push((*place, *function));
            }
            open.retain(|(place, _)| place.end > address);
            let (Some(file), Some(line)) = (location.file, location.line) else {
                continue;
            };
            if line == 0 {
                continue;
            }
            let function = match open.last() {
                Some((_, function)) => *function,
                None => {
                    let Some(symbol) = source.symbols.containing(address) else {
                        continue;
                    };
                    self.physical_function(symbol)
                }
            };
            self.add_line(function, file, line);
        }
    }

    fn add_line(&mut self, function: usize, path: &str, line: u32) {
        // What drops a coroutine has lines of the standard library too.
        if self.functions[function].drops.is_none() || !is_standard_file(path) {
            let file = self.file(path);
            self.functions[function].add_line(file, line);
        }
    }

    fn inlined(&mut self, entry: EntryKey, name: &str) -> usize {
        self.function(Key::Inlined(entry), name)
    }

    fn physical_function(&mut self, symbol: &SymbolMapName<'_>) -> usize {
        let function = self.function(Key::Physical(symbol.address()), "");
        if symbol.name().contains("drop_in_place") && self.functions[function].drops.is_none() {
            let name = rustc_demangle::try_demangle(symbol.name()).ok();
            let name = name.map(|name| limited(format_args!("{name:#}")));
            self.functions[function].drops = name.as_deref().and_then(Dropped::by);
        }
        function
    }

    fn function(&mut self, key: Key, name: &str) -> usize {
        *self.by_key.entry(key).or_insert_with(|| {
            self.functions.push(Function::new(key, name));
            self.functions.len() - 1
        })
    }

    fn file(&mut self, path: &str) -> usize {
        match self.files.get(path) {
            Some(file) => *file,
            None => {
                let file = self.files.len();
                self.files.insert(path.to_owned(), file);
                file
            }
        }
    }
}

/// The paths of files that functions are called in, by their numbers, as line tables spell them.
#[derive(Default)]
struct CallFiles(HashMap<u64, Option<Rc<str>>>);

impl CallFiles {
    fn get<'s>(
        &mut self,
        unit: Unit<'_, 's>,
        skeleton: Unit<'_, 's>,
        number: u64,
    ) -> Option<Rc<str>> {
        let read = || {
            let unit = match unit.line_program {
                Some(_) => unit,
                None => skeleton,
            };
            let header = unit.line_program.as_ref()?.header();
            let file = header.file(number)?;
            // A remapped directory may be empty.
            let start = unit.comp_dir.or(skeleton.comp_dir);
            let start = start.map(|start| start.to_string_lossy().into_owned());
            let mut path = start.unwrap_or_default();
            // The first directory is that of the unit.
            let directory = file
                .directory(header)
                .filter(|_| file.directory_index() != 0);
            for part in directory.into_iter().chain([file.path_name()]) {
                let part = unit.attr_string(part).ok()?;
                let part = part.to_string_lossy();
                if is_absolute(&part) {
                    path.clear();
                } else if !path.is_empty() && !path.ends_with('/') {
                    path.push('/');
                }
                path.push_str(&part);
            }
            Some(path.into())
        };
        self.0.entry(number).or_insert_with(read).clone()
    }
}

/// What can be read of them.
fn ranges(read: gimli::Result<RangeIter<Slice<'_>>>) -> Vec<Range> {
    let mut found = Vec::new();
    if let Ok(mut read) = read {
        while let Ok(Some(range)) = read.next() {
            found.push(range);
        }
    }
    found
}

impl Function {
    fn new(key: Key, name: &str) -> Self {
        Self {
            key,
            drops: Dropped::by(name),
            name: name.to_owned(),
            is_ambiguous: false,
            lines: None,
            owner: None,
            callers: Vec::new(),
        }
    }

    /// Adds a line of its code. Code of macros may be in other files.
    fn add_line(&mut self, file: usize, line: u32) {
        let lines = self.lines.get_or_insert(Lines {
            file,
            first: line,
            last: line,
        });
        if lines.file == file {
            lines.first = lines.first.min(line);
            lines.last = lines.last.max(line);
        }
    }
}
