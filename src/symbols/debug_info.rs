//! Names and lines in the debug information of one module, split or separate, and in its table of
//! symbols.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use addr2line::gimli::{
    self, AttributeValue, DebugInfoOffset, Dwarf, DwarfPackage, RunTimeEndian, UnitOffset,
};
use addr2line::{LookupContinuation, LookupResult, SplitDwarfLoad};
use object::{Object, SymbolMap, SymbolMapName};

use super::demangle::demangled;
use super::extents::{Extents, Source, key_of};
use super::file::Mapped;
use super::functions::{has_path, without_generics};
use super::in_line::{self, InLines};
use super::lookup::Lookup;
use super::packages::{CompileUnit, Packages};
use super::paths::is_standard_file;
use super::reader::{Definition, Symbol, limited};
use super::root;
use super::section::Slice;
use super::sections;
use super::separate;
use super::stash::Stash;

type UnitAt<'s> = (
    DebugInfoOffset,
    gimli::UnitHeader<Slice<'s>>,
    OnceCell<Option<gimli::Unit<Slice<'s>>>>,
);
pub(super) type Unit<'a, 's> = gimli::UnitRef<'a, Slice<'s>>;

/// The whole table of symbols, read when a name needs it.
pub(super) type Functions<'a, 's> = &'a dyn Fn() -> &'a SymbolMap<SymbolMapName<'s>>;

/// What one module's debug information and symbols say.
pub(super) struct DebugInfo<'s> {
    stash: &'s Stash,
    dwarf: Arc<Dwarf<Slice<'s>>>,
    lines: Lookup<'s>,
    split: Option<DwarfPackage<Slice<'s>>>,
    packages: OnceCell<Packages>,
    /// The functions of each crate, by its compile units' names without their numbers.
    extents: RefCell<HashMap<String, Extents>>,
    in_lines: InLines,
    /// The units by their places, each read when an entry of another one refers to it.
    headers: OnceCell<Vec<UnitAt<'s>>>,
    /// A program, not a library: one of its packages has its `main`.
    is_program: bool,
}

impl<'s> DebugInfo<'s> {
    /// What is in the file `debug`. `path` leads to the package of split debug information.
    pub(super) fn read(
        stash: &'s Stash,
        debug: &object::File<'s>,
        path: &Path,
        is_program: bool,
    ) -> Option<Self> {
        let mut dwarf = load(stash, debug, |id| Some(id.name()))?;
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        let dwarf = Arc::new(dwarf);
        Some(Self {
            stash,
            lines: Lookup::new(Arc::clone(&dwarf))?,
            dwarf,
            split: package(stash, path),
            packages: OnceCell::new(),
            extents: RefCell::default(),
            in_lines: InLines::default(),
            headers: OnceCell::new(),
            is_program,
        })
    }

    /// What is known of the code at `offset`, the innermost inlined function first. `physical`: the
    /// function by the table of symbols. `functions`: all of that table.
    pub(super) fn symbols(
        &self,
        offset: u64,
        physical: Option<String>,
        functions: Functions<'_, 's>,
    ) -> Vec<Symbol> {
        let mut symbols = self.frames(offset, functions).unwrap_or_default();
        match symbols.last_mut() {
            // Line tables name a function without its path.
            Some(outermost) => {
                let known = outermost.function.as_deref();
                let better =
                    physical.filter(|name| known.is_none_or(|known| is_fuller(name, known)));
                outermost.function = better.or(outermost.function.take());
            }
            None => symbols.extend(physical.map(Symbol::named)),
        }
        symbols
    }

    fn frames(&self, offset: u64, functions: Functions<'_, 's>) -> Option<Vec<Symbol>> {
        let mut symbols = Vec::new();
        self.stash.note_piece();
        let lines = self.lines.context();
        let mut frames = self.loaded(lines.find_frames(offset)).ok()?;
        let unit = self.loaded(lines.find_dwarf_and_unit(offset));
        if unit.is_some_and(|unit| self.lines.note(unit)) {
            self.stash.release();
        }
        let name = unit.and_then(|unit| text(unit.name?));
        let compiled = name.as_deref().and_then(|name| CompileUnit::of(name, ""));
        // What else is inlined in a line is read for the first function behind each run of the standard library's:
        // its call leads to the allocation.
        let mut was_foreign = true;
        while let Ok(Some(frame)) = frames.next() {
            let raw = frame
                .function
                .as_ref()
                .and_then(|name| name.raw_name().ok());
            let location = frame.location.as_ref();
            let path = location.and_then(|location| location.file);
            let is_pathless = raw.as_deref().is_some_and(|raw| !has_path(raw));
            let path = path
                .map(|path| limited(format_args!("{path}")))
                .filter(|path| !path.is_empty());
            // The standard library's functions are known by their files.
            let is_foreign = path.as_deref().is_none_or(is_standard_file);
            let definition = frame.dw_die_offset.zip(unit);
            let definition = definition.filter(|_| is_pathless && !is_foreign);
            let line = location.and_then(|location| location.line).unwrap_or(0);
            let scope = unit.zip(frame.dw_die_offset);
            let calls = scope.filter(|_| was_foreign && !is_foreign && line != 0);
            was_foreign = is_foreign;
            symbols.push(Symbol {
                entry_name: scope.and_then(|(unit, entry)| self.entry_name(unit, entry, 0)),
                in_line: calls.and_then(|(unit, scope)| self.in_line(unit, scope, line)),
                definition: definition
                    .zip(name.as_deref())
                    .map_or(Definition::Clear, |((entry, unit), name)| {
                        self.definition(unit, entry, name, functions)
                    }),
                function: raw
                    .map(|raw| demangled(&raw))
                    .filter(|name| !name.is_empty()),
                path,
                line,
                column: location.and_then(|location| location.column).unwrap_or(0),
                crate_name: compiled.as_ref().and_then(|unit| unit.crate_name.clone()),
            });
        }
        Some(symbols)
    }

    /// The name that the entry of a function has, or the entry that it stands for. Unlike linkage names
    /// it has generic arguments.
    fn entry_name(&self, unit: Unit<'_, 's>, entry: UnitOffset, depth: u32) -> Option<String> {
        self.entry_text(unit, entry, gimli::DW_AT_name, depth)
    }

    /// What is inlined in a line of the function at `scope` and tells a type.
    fn in_line(&self, unit: Unit<'_, 's>, scope: UnitOffset, line: u32) -> Option<String> {
        let name_of = |entry| {
            let name = self.entry_name(unit, entry, 0)?;
            if !name.starts_with(in_line::ENTRY) {
                return None;
            }
            let linkage = self.entry_text(unit, entry, gimli::DW_AT_linkage_name, 0)?;
            linkage.contains("5btree3map").then_some(name)
        };
        let name = self.in_lines.find(unit, scope, line, &name_of)?;
        Some(name.as_ref().to_owned())
    }

    fn entry_text(
        &self,
        unit: Unit<'_, 's>,
        entry: UnitOffset,
        attribute: gimli::DwAt,
        depth: u32,
    ) -> Option<String> {
        // A hostile file may refer in circles.
        if depth > 4 {
            return None;
        }
        let entry = unit.entry(entry).ok()?;
        if let Some(name) = entry.attr_value(attribute) {
            return text(unit.attr_string(name).ok()?);
        }
        let other = entry
            .attr_value(gimli::DW_AT_abstract_origin)
            .or_else(|| entry.attr_value(gimli::DW_AT_specification))?;
        match other {
            AttributeValue::UnitRef(other) => self.entry_text(unit, other, attribute, depth + 1),
            AttributeValue::DebugInfoRef(other) => {
                let unit = self.unit_at(other)?;
                let other = other.to_unit_offset(&unit.header)?;
                self.entry_text(unit.unit_ref(&self.dwarf), other, attribute, depth + 1)
            }
            _ => None,
        }
    }

    /// The unit that holds `entry`, in builds whose units refer to each other.
    fn unit_at(&self, entry: DebugInfoOffset) -> Option<&gimli::Unit<Slice<'s>>> {
        let headers = self.headers.get_or_init(|| {
            let mut found = Vec::new();
            let mut headers = self.dwarf.units();
            while let Ok(Some(header)) = headers.next() {
                if let Some(start) = header.debug_info_offset() {
                    found.push((start, header, OnceCell::new()));
                }
            }
            found
        });
        let next = headers.partition_point(|(start, ..)| *start <= entry);
        let (_, header, unit) = headers.get(next.checked_sub(1)?)?;
        let unit = unit.get_or_init(|| self.dwarf.unit(*header).ok());
        unit.as_ref()
    }

    /// Which function is inlined at `entry` of the unit called `name`.
    fn definition(
        &self,
        unit: Unit<'_, 's>,
        entry: UnitOffset,
        name: &str,
        functions: Functions<'_, 's>,
    ) -> Definition {
        let Some(group) = unit_group(name) else {
            return Definition::Clear;
        };
        let mut known = self.extents.borrow_mut();
        let extents = known
            .entry(group.to_owned())
            .or_insert_with(|| self.extents(group, functions()));
        extents.find(key_of(unit, entry), &|address| {
            let symbol = functions().containing(address)?;
            Some(demangled(symbol.name())).filter(|name| !name.is_empty())
        })
    }

    /// The functions of the units of a group.
    fn extents(&self, group: &str, functions: &SymbolMap<SymbolMapName<'s>>) -> Extents {
        let lines = self.lines.context();
        let source = Source {
            lines: &lines,
            symbols: functions,
            name_at: &|(_, entry)| {
                let entry = DebugInfoOffset(entry);
                let unit = self.unit_at(entry)?;
                let entry = entry.to_unit_offset(&unit.header)?;
                self.entry_name(unit.unit_ref(&self.dwarf), entry, 0)
            },
        };
        let mut extents = Extents::default();
        let dwarf = &*self.dwarf;
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let Ok(skeleton) = dwarf.unit(header) else {
                continue;
            };
            let skeleton = skeleton.unit_ref(dwarf);
            let is_member = |unit: Unit<'_, 's>| {
                let name = unit.name.and_then(text);
                name.is_some_and(|name| unit_group(&name) == Some(group))
            };
            if skeleton.dwo_id.is_none() {
                if is_member(skeleton) {
                    extents.add(skeleton, skeleton, &source);
                    self.lines.note(skeleton);
                    self.stash.release();
                }
                continue;
            }
            let split = self.split_unit(skeleton);
            if let Some((dwarf, unit)) = &split {
                let unit = unit.unit_ref(dwarf);
                if is_member(unit) {
                    extents.add(unit, skeleton, &source);
                    self.lines.note(unit);
                }
            }
        }
        extents.sort();
        extents
    }

    /// The packages that the module was built from. `mains`: functions called `main`.
    pub(super) fn packages(&self, mains: &[(u64, &str)]) -> &Packages {
        self.packages.get_or_init(|| {
            let units = self.compile_units();
            let main = self.is_program.then(|| self.main_unit(mains)).flatten();
            Packages::new(units, main, self.is_program)
        })
    }

    /// The compile units of Rust code. Their names stand in their first entries: nothing else of a unit
    /// is read, as there are thousands.
    fn compile_units(&self) -> Vec<CompileUnit> {
        let dwarf = &*self.dwarf;
        let mut found = Vec::new();
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            match root::names(dwarf, &header) {
                Some(root) => found.extend(root.of_rust()),
                None => {
                    if let Ok(unit) = dwarf.unit(header) {
                        found.extend(self.compile_unit(unit.unit_ref(dwarf)));
                    }
                }
            }
            self.stash.note_piece();
        }
        found
    }

    fn compile_unit(&self, unit: Unit<'_, 's>) -> Option<CompileUnit> {
        let directory = unit.comp_dir.and_then(text).unwrap_or_default();
        match (unit.name, unit.dwo_id) {
            (Some(name), _) => CompileUnit::of(&text(name)?, &directory),
            (None, Some(_)) => {
                let (_, split) = self.split_unit(unit)?;
                CompileUnit::of(&text(split.name?)?, &directory)
            }
            (None, None) => None,
        }
    }

    /// The unit that `skeleton` stands for in split debug information.
    fn split_unit(
        &self,
        skeleton: Unit<'_, 's>,
    ) -> Option<(Arc<Dwarf<Slice<'s>>>, gimli::Unit<Slice<'s>>)> {
        let path = skeleton.dwo_name().ok()??;
        let split = self.split(SplitDwarfLoad {
            dwo_id: skeleton.dwo_id?,
            comp_dir: skeleton.comp_dir,
            path: skeleton.attr_string(path).ok(),
            parent: Arc::clone(&self.dwarf),
        })?;
        let header = split.units().next().ok()??;
        let mut unit = split.unit(header).ok()?;
        unit.copy_relocated_attributes(&skeleton);
        Some((split, unit))
    }

    /// The unit of a function called `main` at the root of its crate.
    fn main_unit(&self, mains: &[(u64, &str)]) -> Option<CompileUnit> {
        let lines = self.lines.context();
        let units = mains.iter().filter_map(|(address, name)| {
            let unit = self.loaded(lines.find_dwarf_and_unit(*address))?;
            self.lines.note(unit);
            let mut unit = CompileUnit::of(&text(unit.name?)?, &self.directory(unit))?;
            if unit.crate_name.is_none() {
                let name = demangled(name);
                unit.crate_name = name.split("::").next().map(str::to_owned);
            }
            Some(unit)
        });
        let mut units: Vec<CompileUnit> = units.collect();
        // A library may have such a function too.
        units.sort_by_key(CompileUnit::is_library);
        units.into_iter().next()
    }

    /// The directory that a unit was compiled in. A split unit has it in its skeleton.
    fn directory(&self, unit: Unit<'_, 's>) -> String {
        let skeleton = || {
            let dwo_id = unit.dwo_id?;
            let mut headers = self.dwarf.units();
            while let Some(header) = headers.next().ok()? {
                match self.dwarf.unit(header) {
                    Ok(unit) if unit.dwo_id == Some(dwo_id) => return unit.comp_dir,
                    _ => {}
                }
            }
            None
        };
        let directory = unit.comp_dir.or_else(skeleton);
        directory.and_then(text).unwrap_or_default()
    }

    /// Loads split debug information for as long as it takes.
    fn loaded<L>(&self, mut lookup: LookupResult<L>) -> L::Output
    where
        L: LookupContinuation<Buf = Slice<'s>>,
    {
        loop {
            match lookup {
                LookupResult::Output(output) => return output,
                LookupResult::Load { load, continuation } => {
                    lookup = continuation.resume(self.split(load));
                }
            }
        }
    }

    fn split(&self, load: SplitDwarfLoad<Slice<'s>>) -> Option<Arc<Dwarf<Slice<'s>>>> {
        let package = self.split.as_ref();
        let packed = package.and_then(|package| package.find_cu(load.dwo_id, &load.parent).ok()?);
        if let Some(packed) = packed {
            return Some(Arc::new(packed));
        }
        let directory = load.comp_dir.and_then(text);
        let path = separate::unit(directory.as_deref(), &text(load.path?)?)?;
        let object = self.stash.files.add(Mapped::open(&path).ok()?).object()?;
        let mut dwarf = load_split(self.stash, &object)?;
        let header = dwarf.units().next().ok()??;
        let is_same = dwarf.unit(header).ok()?.dwo_id == Some(load.dwo_id);
        dwarf.make_dwo(&load.parent);
        is_same.then(|| Arc::new(dwarf))
    }
}

pub(super) fn text(bytes: Slice<'_>) -> Option<String> {
    Some(bytes.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
}

/// The name of a compile unit without the number that tells it from the others of its crate; `None` if
/// it is not of Rust code.
fn unit_group(name: &str) -> Option<&str> {
    let (root, _) = name.split_once("/@/")?;
    Some(name.rsplit_once("-cgu.").map_or(root, |(group, _)| group))
}

/// True if `name` has a path to the function that line tables call `known`.
fn is_fuller(name: &str, known: &str) -> bool {
    has_path(name) && !has_path(known) && name.contains(without_generics(known))
}

pub(super) fn load<'s>(
    stash: &'s Stash,
    object: &object::File<'s>,
    name: impl Fn(gimli::SectionId) -> Option<&'static str>,
) -> Option<Dwarf<Slice<'s>>> {
    let endian = endian(object);
    let load = |id| {
        let data = name(id).map_or(&[][..], |name| sections::contents(stash, object, name));
        Ok::<_, gimli::Error>(section(id, data, endian))
    };
    Dwarf::load(load).ok()
}

fn load_split<'s>(stash: &'s Stash, object: &object::File<'s>) -> Option<Dwarf<Slice<'s>>> {
    load(stash, object, |id| id.dwo_name())
}

fn package<'s>(stash: &'s Stash, path: &Path) -> Option<DwarfPackage<Slice<'s>>> {
    let mapped = Mapped::open(separate::package(path)).ok()?;
    let object = stash.files.add(mapped).object()?;
    let endian = endian(&object);
    let load = |id: gimli::SectionId| {
        let name = id.dwo_name();
        let data = name.map_or(&[][..], |name| sections::contents(stash, &object, name));
        Ok::<_, gimli::Error>(section(id, data, endian))
    };
    DwarfPackage::load(load, Slice::new(&[], endian)).ok()
}

fn section(id: gimli::SectionId, data: &[u8], endian: RunTimeEndian) -> Slice<'_> {
    match id {
        gimli::SectionId::DebugStr => Slice::texts(data, endian),
        _ => Slice::new(data, endian),
    }
}

fn endian(object: &object::File<'_>) -> RunTimeEndian {
    if object.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    }
}
