//! Which function of the source an inlined one is, where debug information has line tables alone.
//!
//! There an inlined function is called `fill` or `{async_fn#0}`, whatever type or function it is of. What
//! tells it from others of its name is its extent: the lines that its code comes from. The function
//! around a closure is found from five things, the surest first:
//!
//! ```text
//! fold<.., app::load::{closure_env#0}>   generic arguments of what calls the closure, or of what an
//!     {closure#0}        src/a.rs:12     async block calls with a closure of its own
//! drop_in_place<app::load::{async_fn_env#0}>
//!                        src/a.rs:14     what drops an async block or function has lines of its body
//! app::load              src/a.rs:10-15  the innermost function whose extent has the line
//! {async_fn#0}           src/a.rs:10-15  a closure whose extent has the line, and which calls it
//! app::run               src/a.rs:11     a function in that file, which calls it from the line before
//! ```
//!
//! Extents are read for a whole crate, so a function has one name wherever it is inlined.

mod drops;
mod read;

use std::collections::HashMap;

use addr2line::gimli::DwoId;

use super::functions::{bare_name, closure_of, without_generics};
use super::reader::Definition;

use drops::Dropped;

pub(super) use read::{Source, key_of};

/// How many closures around a closure are looked at.
const MAX_CLOSURES: usize = 8;

/// The name that the table of symbols has at an address.
type SymbolAt<'a> = &'a dyn Fn(u64) -> Option<String>;
/// The place of an entry of debug information. Split units begin at 0 in each file.
pub(super) type EntryKey = (Option<DwoId>, usize);

/// The functions of a crate and the lines of their code.
#[derive(Default)]
pub(super) struct Extents {
    functions: Vec<Function>,
    by_key: HashMap<Key, usize>,
    /// From the entry of a place where a function is inlined to the function.
    places: HashMap<EntryKey, usize>,
    files: HashMap<String, usize>,
    /// The functions of each file that have a path or a name, by their first lines.
    by_file: Vec<Vec<usize>>,
    /// Those of each file that drop coroutines.
    drops: Vec<Vec<usize>>,
    /// The closures of each file whose names have no path.
    closures: Vec<Vec<usize>>,
}

/// What makes it one function.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// The address of its symbol.
    Physical(u64),
    /// Its entry.
    Inlined(EntryKey),
}

struct Function {
    key: Key,
    /// Empty for a physical function, whose symbol has its name.
    name: String,
    /// The coroutine that it drops.
    drops: Option<Dropped>,
    /// Another function of a unit has its name.
    is_ambiguous: bool,
    lines: Option<Lines>,
    /// The function around a closure, by generic arguments.
    owner: Option<String>,
    /// Those that a closure is inlined into, each with the line that it calls from.
    callers: Vec<(usize, u32)>,
}

#[derive(Clone, Copy)]
struct Lines {
    file: usize,
    first: u32,
    last: u32,
}

impl Extents {
    /// Puts the functions in order, when all units have been read.
    pub(super) fn sort(&mut self) {
        for lists in [&mut self.by_file, &mut self.drops, &mut self.closures] {
            *lists = vec![Vec::new(); self.files.len()];
        }
        for (at, function) in self.functions.iter().enumerate() {
            let Some(lines) = function.lines else {
                continue;
            };
            let lists = match &function.drops {
                Some(_) => &mut self.drops,
                None if function.is_nameless_closure() => &mut self.closures,
                None => &mut self.by_file,
            };
            lists[lines.file].push(at);
        }
        for functions in &mut self.by_file {
            functions.sort_by_key(|&at| {
                let function = &self.functions[at];
                let lines = function.lines.map(|lines| (lines.first, lines.last));
                (lines, matches!(function.key, Key::Physical(_)))
            });
        }
    }

    /// What is inlined at the entry `place`. `symbol_at`: the name that the table of symbols has at an
    /// address.
    pub(super) fn find(&self, place: EntryKey, symbol_at: SymbolAt<'_>) -> Definition {
        let Some(&function) = self.places.get(&place) else {
            return Definition::Clear;
        };
        let function = &self.functions[function];
        let Some(lines) = function.lines else {
            let owner = function.owner.clone();
            return owner.map_or(Definition::Clear, Definition::ClosureOf);
        };
        if function.is_nameless_closure() {
            return self.closure(function, lines, symbol_at, MAX_CLOSURES);
        }
        match self.physical(bare_name(&function.name), lines, symbol_at) {
            Some(path) => Definition::Path(path),
            None if function.is_ambiguous => Definition::AtLine(lines.first),
            None => Definition::Clear,
        }
    }

    /// Which closure `function` is. `depth`: how many closures around it are looked at.
    fn closure(
        &self,
        function: &Function,
        lines: Lines,
        symbol_at: SymbolAt<'_>,
        depth: usize,
    ) -> Definition {
        let told = function.owner.as_deref();
        let told = told.or_else(|| self.dropped(function, lines));
        let owner = told.map(|owner| self.with_type(owner, lines, symbol_at));
        if let Some(owner) = owner.or_else(|| self.around(lines, symbol_at)) {
            return Definition::ClosureOf(owner);
        }
        let outer = self.closure_around(function, lines);
        if let Some((outer, of_outer)) = outer
            && depth > 0
        {
            return match self.closure(outer, of_outer, symbol_at, depth - 1) {
                Definition::ClosureOf(owner) => Definition::ClosureOf(closure_of(&owner)),
                definition => definition,
            };
        }
        let owner = self.nearest_caller(function, lines, symbol_at);
        owner.map_or(
            Definition::ClosureAtLine(lines.first),
            Definition::ClosureOf,
        )
    }

    /// The function around the coroutine `function`, if functions that drop it say one: they have lines
    /// of it, or lines behind it before another function begins.
    fn dropped(&self, function: &Function, lines: Lines) -> Option<&str> {
        let drops = self.drops[lines.file].iter().map(|&at| &self.functions[at]);
        let drops: Vec<(&str, Lines)> = drops
            .filter_map(|drops| {
                let dropped = drops.drops.as_ref()?;
                let is_it = dropped.may_be(&function.name);
                is_it.then_some((dropped.owner.as_str(), drops.lines?))
            })
            .collect();
        let overlaps = |of: &Lines| of.first <= lines.last && lines.first <= of.last;
        let follows = |of: &Lines| {
            let is_behind = of.first > lines.last;
            is_behind && !self.begins_between(lines.file, lines.last, of.first)
        };
        Self::only_owner(&drops, overlaps).or_else(|| Self::only_owner(&drops, follows))
    }

    /// `None` if no drop has such lines, or drops of several functions do.
    fn only_owner<'d>(
        drops: &[(&'d str, Lines)],
        has_lines: impl Fn(&Lines) -> bool,
    ) -> Option<&'d str> {
        let mut drops = drops.iter().filter(|(_, lines)| has_lines(lines));
        let (first, _) = drops.next()?;
        drops.all(|(owner, _)| owner == first).then_some(first)
    }

    /// True if a function begins behind the line `after`, and not behind `last`.
    fn begins_between(&self, file: usize, after: u32, last: u32) -> bool {
        let functions = self.by_file[file].iter().chain(&self.closures[file]);
        let mut lines = functions.filter_map(|&at| self.functions[at].lines);
        lines.any(|lines| after < lines.first && lines.first <= last)
    }

    /// The innermost closure without a path that a closure is inlined into and whose extent has its line.
    fn closure_around(&self, closure: &Function, lines: Lines) -> Option<(&Function, Lines)> {
        let callers = closure.callers.iter().map(|&(at, _)| &self.functions[at]);
        let closures = callers
            .filter(|caller| caller.is_nameless_closure() && !std::ptr::eq(*caller, closure));
        let around = closures.filter_map(|caller| Some((caller, caller.lines?)));
        let around = around.filter(|(_, around)| {
            let begins = around.first < lines.first;
            around.file == lines.file && begins && around.last >= lines.first
        });
        around.max_by_key(|(_, around)| around.first)
    }

    /// The function around a closure as its symbol calls it: for a method, generic arguments have
    /// `app::{impl#0}::put` in place of its type.
    fn with_type(&self, owner: &str, lines: Lines, symbol_at: SymbolAt<'_>) -> String {
        let mut segments = owner.rsplit("::");
        let name = segments.find(|segment| !segment.starts_with('{'));
        let name = name.filter(|_| owner.contains("{impl#"));
        // Its last lines may be those of closures alone: the name is enough.
        let mut before = self.before(lines.file, lines.first);
        let path = name.and_then(|name| {
            before.find_map(|function| {
                function
                    .physical(symbol_at)
                    .filter(|path| bare_name(path) == name)
            })
        });
        path.unwrap_or_else(|| owner.to_owned())
    }

    /// The innermost function that contains the lines of a closure.
    fn around(&self, lines: Lines, symbol_at: SymbolAt<'_>) -> Option<String> {
        let around = self.before(lines.file, lines.first);
        let mut around = around.filter(|function| function.ends_after(lines.first));
        around.find_map(|function| self.path(function, symbol_at))
    }

    /// Of the functions in its file that a closure is inlined into, the one whose call is the nearest
    /// before the closure's line; none if another function begins between.
    fn nearest_caller(
        &self,
        closure: &Function,
        lines: Lines,
        symbol_at: SymbolAt<'_>,
    ) -> Option<String> {
        let callers = closure
            .callers
            .iter()
            .map(|&(at, line)| (&self.functions[at], line));
        let callers = callers.filter(|(caller, line)| {
            let file = caller.lines.map(|lines| lines.file);
            file == Some(lines.file) && *line <= lines.first && !caller.is_nameless_closure()
        });
        let (caller, line) = callers.max_by_key(|(_, line)| *line)?;
        let between = self.before(lines.file, lines.first).next();
        let begins = between.and_then(|function| Some(function.lines?.first));
        let is_alone = begins.is_none_or(|begins| begins <= line);
        is_alone.then(|| self.path(caller, symbol_at)).flatten()
    }

    /// Functions of a file that begin at `line` or before it, the last of them first.
    fn before(&self, file: usize, line: u32) -> impl Iterator<Item = &Function> {
        let functions = &self.by_file[file];
        let count = functions.partition_point(|&at| {
            let lines = self.functions[at].lines;
            lines.is_some_and(|lines| lines.first <= line)
        });
        let before = functions[..count].iter().rev();
        before.map(|&at| &self.functions[at])
    }

    /// A function's path; the name alone of one that is nowhere a function of machine code.
    fn path(&self, function: &Function, symbol_at: SymbolAt<'_>) -> Option<String> {
        match function.key {
            Key::Physical(_) => function.physical(symbol_at),
            Key::Inlined(_) => {
                let lines = function.lines?;
                let name = bare_name(&function.name);
                let path = self.physical(name, lines, symbol_at);
                Some(path.unwrap_or_else(|| without_generics(&function.name).to_owned()))
            }
        }
    }

    /// The path of the function called `name` that is one of machine code and has some of these lines.
    fn physical(&self, name: &str, lines: Lines, symbol_at: SymbolAt<'_>) -> Option<String> {
        let before = self.before(lines.file, lines.last);
        let mut overlapping = before.filter(|function| function.ends_after(lines.first));
        overlapping.find_map(|function| {
            function
                .physical(symbol_at)
                .filter(|path| bare_name(path) == name)
        })
    }
}

impl Function {
    fn is_nameless_closure(&self) -> bool {
        self.name.starts_with('{')
    }

    /// The path of a function of machine code.
    fn physical(&self, symbol_at: SymbolAt<'_>) -> Option<String> {
        match self.key {
            Key::Physical(address) => symbol_at(address).filter(|name| name.contains("::")),
            Key::Inlined(_) => None,
        }
    }

    /// True if the last of its lines is `line` or after it.
    fn ends_after(&self, line: u32) -> bool {
        self.lines.is_some_and(|lines| lines.last >= line)
    }
}
