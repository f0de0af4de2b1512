//! What samples refer to: each text, function, mapping and location once, numbered by first
//! appearance.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;

use super::Pprof;
use super::message::{Function, Label, Line, Location, Mapping, Sample};
use crate::report::calls::{calls, function, shown};
use crate::snapshot::{Domain, Frame, IdentityMap, Module, Site};

/// A frame as far as it is exported.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    line: Line,
    mapping_id: u64,
    address: u64,
}

pub(super) struct Tables<'a> {
    options: Pprof,
    /// Whether samples have what was allocated before what is live.
    with_allocated: bool,
    pub(super) strings: Strings,
    functions: Numbered<(i64, i64)>,
    mappings: Numbered<&'a Module>,
    places: Numbered<Place>,
    /// Places by the identity of their frame. The snapshot is borrowed, so identities stay theirs.
    seen: IdentityMap<u32>,
    locations: HashMap<Box<[u32]>, u64>,
    location_rows: Vec<Location>,
    /// The call at work.
    call: Vec<u32>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(options: Pprof, with_allocated: bool) -> Self {
        Self {
            options,
            with_allocated,
            strings: Strings::new(),
            functions: Numbered::new(),
            mappings: Numbered::new(),
            places: Numbered::new(),
            seen: IdentityMap::default(),
            locations: HashMap::new(),
            location_rows: Vec::new(),
            call: Vec::new(),
        }
    }

    /// One sample, in the order of the sample types: blocks and bytes, of all that was allocated first if
    /// that is known.
    pub(super) fn sample(&mut self, site: &Site<'a>) -> Sample {
        let mut location_id = Vec::new();
        let mut frames = Vec::new();
        site.stack.list_into(&mut frames);
        for call in calls(&frames) {
            let frames = if self.options.separate_inlined {
                1
            } else {
                call.len()
            };
            location_id.extend(call.chunks(frames).map(|frames| self.location(frames)));
        }
        location_id.reverse();
        let domain = (site.domain != Domain::HEAP).then(|| site.domain.0.to_string());
        let labels = [
            ("domain", domain.map(Cow::Owned)),
            ("tag", site.stack.tag().map(shown)),
            ("thread", site.stack.thread_name().map(shown)),
            ("type", site.stack.type_name().map(shown)),
        ];
        let labels = labels.into_iter().filter_map(|(key, text)| {
            Some(Label {
                text: self.strings.index(&text?),
                key: self.strings.index(key),
            })
        });
        let label = labels.collect();
        let allocated = site.history.allocated;
        let allocated = self
            .with_allocated
            .then_some([allocated.count, allocated.size]);
        let live = [site.count, site.size];
        let values = allocated.into_iter().flatten().chain(live);
        Sample {
            location_id,
            value: values.map(clamped).collect(),
            label,
        }
    }

    fn location(&mut self, frames: &[&'a Frame]) -> u64 {
        self.call.clear();
        for frame in frames {
            let place = self.place(frame);
            self.call.push(place);
        }
        if let Some(id) = self.locations.get(&*self.call) {
            return *id;
        }
        let id = self.location_rows.len() as u64 + 1;
        let places = self
            .call
            .iter()
            .map(|&place| self.places.rows[place as usize]);
        let line = places.clone().rev().map(|place| place.line).collect();
        // The first frame of a call is the one that knows its code.
        let (mapping_id, address) = places
            .clone()
            .next()
            .map_or((0, 0), |place| (place.mapping_id, place.address));
        self.location_rows.push(Location {
            id,
            mapping_id,
            address,
            line,
        });
        self.locations.insert(self.call.as_slice().into(), id);
        id
    }

    fn place(&mut self, frame: &'a Frame) -> u32 {
        if let Some(place) = self.seen.get(&frame.identity()) {
            return *place;
        }
        let name = self.strings.index(&function(frame));
        let filename = self.filename(frame);
        let (mapping_id, address) = match frame.code() {
            Some((module, offset)) => (u64::from(self.mappings.number(&**module)) + 1, offset),
            None => (0, 0),
        };
        let line = Line {
            function_id: u64::from(self.functions.number((name, filename))) + 1,
            line: frame.lineno().into(),
            column: frame.column().into(),
        };
        let place = self.places.number(Place {
            line,
            mapping_id,
            address,
        });
        self.seen.insert(frame.identity(), place);
        place
    }

    /// Of a frame that has only a name, no file is known.
    fn filename(&mut self, frame: &Frame) -> i64 {
        let filename = match frame.path() {
            Some(path) if self.options.full_paths => path,
            _ if frame.is_named() => return 0,
            _ => frame.filename(),
        };
        self.strings.index(&shown(filename))
    }

    pub(super) fn functions(&self) -> Vec<Function> {
        (1..)
            .zip(&self.functions.rows)
            .map(|(id, &(name, filename))| Function { id, name, filename })
            .collect()
    }

    /// The program before its libraries: viewers take the first mapping for the program.
    ///
    /// Addresses are those that the linker gave. A mapping of the whole address space from 0 tells
    /// `pprof` that they need no more adjusting (`GetBase` in its package `elfexec`).
    pub(super) fn mappings(&mut self) -> Vec<Mapping> {
        let mut rows: Vec<(u64, &Module)> = (1..).zip(self.mappings.rows.iter().copied()).collect();
        rows.sort_by_key(|(_, module)| module.is_library());
        let mapping = |(id, module): (u64, &Module)| Mapping {
            id,
            memory_start: 0,
            memory_limit: u64::MAX,
            filename: self.strings.index(&shown(&module.path)),
            build_id: match &module.build_id {
                Some(build_id) => self.strings.index(&shown(build_id)),
                None => 0,
            },
            // All that is known is here; otherwise `pprof` looks for it in files of that name.
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        };
        rows.into_iter().map(mapping).collect()
    }

    /// The locations, and the texts that all else refers to.
    pub(super) fn into_rows(self) -> (Vec<Location>, Vec<String>) {
        (
            self.location_rows,
            self.strings
                .0
                .rows
                .into_iter()
                .map(Cow::into_owned)
                .collect(),
        )
    }
}

/// The nearest number that the format has.
fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The string table. Its first text is empty.
pub(super) struct Strings(Numbered<Cow<'static, str>>);

impl Strings {
    fn new() -> Self {
        let mut texts = Numbered::new();
        texts.number(Cow::Borrowed(""));
        Self(texts)
    }

    pub(super) fn index(&mut self, text: &str) -> i64 {
        match self.0.numbers.get(text) {
            Some(number) => i64::from(*number),
            None => i64::from(self.0.number(Cow::Owned(text.to_owned()))),
        }
    }
}

/// Distinct rows and the number of each, from 0.
struct Numbered<T> {
    numbers: HashMap<T, u32>,
    rows: Vec<T>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            rows: Vec::new(),
        }
    }

    fn number(&mut self, row: T) -> u32 {
        if let Some(number) = self.numbers.get(&row) {
            return *number;
        }
        let number = u32::try_from(self.rows.len())
            .unwrap_or_else(|_| unreachable!("memory for 2^32 rows does not exist"));
        self.rows.push(row.clone());
        self.numbers.insert(row, number);
        number
    }
}
