//! What the page's script reads, as JSON: tables of texts and frames, the tree of calls, and what
//! is live at its nodes.
//!
//! Entry 0 of every table stands for nothing: the empty text, the frames that were cut off, the
//! root of the tree. So a reference is a plain number.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};

use super::sources;
use crate::report::visible;
use crate::sampling::Fixed;
use crate::snapshot::{
    Domain, Estimate, Frame, NO_OWN_CODE, Snapshot, Sum, Traceback, View, is_own_code, type_labels,
};

/// The whole document. Memory grows with the distinct stacks, not with the blocks.
#[derive(Serialize)]
pub(super) struct Payload {
    /// Fit to be shown: what steers is written as an escape.
    strings: Vec<String>,
    frames: Vec<FrameRow>,
    /// The node of each node's caller. Callers come before what they call.
    parents: Vec<u32>,
    /// The frame of each node.
    calls: Vec<u32>,
    /// One snapshot, or the new and the old one.
    snapshots: Vec<Sites>,
    /// The node of blocks without own code; 0 if no frame is known to be own code.
    no_own_code: u32,
    /// Own code is what is shown first.
    own_code: bool,
    /// The view that they are.
    view: &'static str,
    /// The other views of them, by name; none without history.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    views: BTreeMap<&'static str, Vec<Sites>>,
}

/// File, line, function, crate and source line; texts are indices into `strings`. At last
/// `NAMED`, `STANDARD` and `OWN`, added up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize)]
struct FrameRow(u32, u32, u32, u32, u32, u8);

/// The frame has a name but stands for no line.
const NAMED: u8 = 1;
/// The frame is code of the standard library.
const STANDARD: u8 = 2;
/// The frame is code of the program's own packages.
const OWN: u8 = 4;

/// Blocks by where they were allocated, one column per field.
#[derive(Default, Serialize)]
struct Sites {
    nodes: Vec<u32>,
    domains: Vec<u32>,
    /// Texts by number; number 0 is no text. Left out if there are no others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    threads: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    types: Vec<u32>,
    /// Class 0 are blocks of no bytes, class `n` those of 2^(n-1) to 2^n - 1 bytes.
    classes: Vec<u32>,
    bytes: Vec<Amount>,
    blocks: Vec<Amount>,
}

/// A whole number, unless it is an estimate.
struct Amount(Fixed);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.whole() {
            Some(number) => serializer.serialize_u64(number),
            None => serializer.serialize_f64(self.0.thousandths()),
        }
    }
}

impl Payload {
    /// Of one snapshot, or of the new and the old one. Reads source files if `source_lines`. Own code is
    /// shown first if `own_code`.
    pub(super) fn of(snapshots: &[&Snapshot], source_lines: bool, own_code: bool) -> Self {
        let views = other_views(snapshots);
        let mut tables = Tables::new();
        let mut sites = Vec::new();
        for snapshot in snapshots {
            sites.push(tables.add(snapshot));
        }
        let views = views.iter().map(|(view, snapshots)| {
            let sites = snapshots.iter().map(|snapshot| tables.add(snapshot));
            (view.name(), sites.collect())
        });
        let views = views.collect();
        if source_lines {
            tables.add_sources();
        }
        tables.name_types();
        let no_own_code = tables.no_own_code();
        Self {
            no_own_code,
            own_code: own_code && no_own_code != 0,
            strings: tables.strings.shown,
            frames: tables.rows,
            parents: tables.parents,
            calls: tables.calls,
            snapshots: sites,
            view: snapshots
                .first()
                .map_or(View::Live, |new| new.viewed())
                .name(),
            views,
        }
    }
}

/// The views that all snapshots have, besides the one that they are.
fn other_views(snapshots: &[&Snapshot]) -> Vec<(View, Vec<Snapshot>)> {
    let views = [View::AtPeak, View::Allocated, View::Temporary];
    let known = views.into_iter().filter_map(|view| {
        let of_all = snapshots.iter().map(|snapshot| snapshot.view(view).ok());
        Some((view, of_all.collect::<Option<Vec<Snapshot>>>()?))
    });
    match snapshots.iter().all(|snapshot| snapshot.has_history()) {
        true => known.collect(),
        false => Vec::new(),
    }
}

/// The tables under construction.
struct Tables<'a> {
    strings: Strings<'a>,
    rows: Vec<FrameRow>,
    /// The frame that each row was made from. The first row has none.
    frames: Vec<&'a Frame>,
    /// Bytes below each row: what is shown first if there is not room for all.
    weights: Vec<f64>,
    numbers: HashMap<FrameRow, u32>,
    /// Rows of frames that were met before, by identity: spares comparing their texts.
    known: HashMap<usize, u32>,
    parents: Vec<u32>,
    calls: Vec<u32>,
    nodes: HashMap<(u32, u32), u32>,
    /// Types in the order in which they were met, each with the number of its text.
    types: Vec<(&'a str, u32)>,
    type_numbers: HashMap<&'a str, u32>,
}

impl<'a> Tables<'a> {
    fn new() -> Self {
        Self {
            strings: Strings::new(),
            rows: vec![FrameRow(0, 0, 0, 0, 0, 0)],
            frames: Vec::new(),
            weights: vec![0.0],
            numbers: HashMap::new(),
            known: HashMap::new(),
            parents: vec![0],
            calls: vec![0],
            nodes: HashMap::new(),
            types: Vec::new(),
            type_numbers: HashMap::new(),
        }
    }

    fn add(&mut self, snapshot: &'a Snapshot) -> Sites {
        let mut sums: BTreeMap<(u32, Domain, u32), Estimate> = BTreeMap::new();
        for (run, count) in snapshot.counted_runs() {
            let class = u64::BITS - run.size.leading_zeros();
            let site = sums.entry((run.stack, run.domain, class)).or_default();
            site.add(snapshot.stands_for(run, count));
        }
        let mut sites = Sites::default();
        let mut last = None;
        for ((stack, domain, class), sum) in sums {
            // The sites of a stack follow each other.
            let place = match last {
                Some((same, place)) if same == stack => place,
                _ => snapshot
                    .stacks()
                    .get(stack as usize)
                    .map_or([0; 4], |stack| self.place(stack)),
            };
            last = Some((stack, place));
            let [node, tag, thread, type_name] = place;
            self.weigh(node, sum.size.thousandths());
            sites.nodes.push(node);
            sites.domains.push(domain.0);
            sites.tags.push(tag);
            sites.threads.push(thread);
            sites.types.push(type_name);
            sites.classes.push(class);
            sites.bytes.push(Amount(sum.size));
            sites.blocks.push(Amount(sum.count));
        }
        for labels in [&mut sites.tags, &mut sites.threads, &mut sites.types] {
            if labels.iter().all(|label| *label == 0) {
                labels.clear();
            }
        }
        sites
    }

    /// The node of a stack's most recent frame, its tag, its thread and its type.
    fn place(&mut self, stack: &'a Traceback) -> [u32; 4] {
        let node = self.node(stack);
        let tag = self.strings.number(stack.tag().unwrap_or_default());
        let thread = self.strings.number(stack.thread_name().unwrap_or_default());
        let type_name = stack.type_name().map_or(0, |name| self.type_number(name));
        [node, tag, thread, type_name]
    }

    /// The text is known when all types are.
    fn type_number(&mut self, name: &'a str) -> u32 {
        if let Some(number) = self.type_numbers.get(name) {
            return *number;
        }
        let number = self.strings.push("");
        self.type_numbers.insert(name, number);
        self.types.push((name, number));
        number
    }

    fn name_types(&mut self) {
        let names: Vec<&str> = self.types.iter().map(|(name, _)| *name).collect();
        for ((_, number), label) in self.types.iter().zip(type_labels(&names)) {
            self.strings.shown[*number as usize] = visible::escaped(&label).into_owned();
        }
    }

    /// A node for blocks without own code, if some frame is own code. It stands for no frame of a stack, so
    /// it comes after all of them.
    fn no_own_code(&mut self) -> u32 {
        if !self.rows.iter().any(|row| row.5 & OWN != 0) {
            return 0;
        }
        let name = self.strings.push(NO_OWN_CODE);
        let row = index(self.rows.len());
        self.rows.push(FrameRow(name, 0, 0, name, 0, NAMED));
        self.child(0, row)
    }

    /// The node of a stack's most recent frame.
    fn node(&mut self, stack: &'a Traceback) -> u32 {
        let mut node = 0;
        if stack.is_truncated() {
            node = self.child(node, 0);
        }
        let mut frames = Vec::new();
        stack.list_into(&mut frames);
        for frame in frames {
            let row = self.frame(frame);
            node = self.child(node, row);
        }
        node
    }

    fn child(&mut self, parent: u32, row: u32) -> u32 {
        let next = index(self.parents.len());
        let node = *self.nodes.entry((parent, row)).or_insert(next);
        if node == next {
            self.parents.push(parent);
            self.calls.push(row);
        }
        node
    }

    fn frame(&mut self, frame: &'a Frame) -> u32 {
        if let Some(number) = self.known.get(&frame.identity()) {
            return *number;
        }
        let mut flags = 0;
        if frame.is_named() {
            flags |= NAMED;
        }
        if is_standard(frame) {
            flags |= STANDARD;
        }
        if is_own_code(frame) {
            flags |= OWN;
        }
        let row = FrameRow(
            self.strings.number(frame.filename()),
            frame.lineno(),
            self.strings.number(frame.function().unwrap_or_default()),
            self.strings.number(frame.crate_name().unwrap_or_default()),
            0,
            flags,
        );
        let next = index(self.rows.len());
        let number = *self.numbers.entry(row).or_insert(next);
        if number == next {
            self.rows.push(row);
            self.frames.push(frame);
            self.weights.push(0.0);
        }
        self.known.insert(frame.identity(), number);
        number
    }

    fn weigh(&mut self, mut node: u32, bytes: f64) {
        while node != 0 {
            self.weights[self.calls[node as usize] as usize] += bytes;
            node = self.parents[node as usize];
        }
    }

    fn add_sources(&mut self) {
        let mut order: Vec<usize> = (1..self.rows.len()).collect();
        order.sort_by(|&a, &b| self.weights[b].total_cmp(&self.weights[a]));
        let frames = order.into_iter().map(|row| (row, self.frames[row - 1]));
        for (row, line) in sources::of(frames) {
            self.rows[row].4 = self.strings.push(&line);
        }
    }
}

/// True for code of the standard library: by the file where it is known, else by the crate.
fn is_standard(frame: &Frame) -> bool {
    const CRATES: [&str; 5] = ["alloc", "core", "proc_macro", "std", "test"];
    frame.filename().starts_with("<std>/")
        || frame.is_named()
            && frame
                .crate_name()
                .is_some_and(|name| CRATES.contains(&name))
}

/// Distinct texts. Two that differ have two numbers, even if they are shown alike.
struct Strings<'a> {
    numbers: HashMap<&'a str, u32>,
    shown: Vec<String>,
}

impl<'a> Strings<'a> {
    fn new() -> Self {
        Self {
            numbers: HashMap::from([("", 0)]),
            shown: vec![String::new()],
        }
    }

    fn number(&mut self, text: &'a str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.push(text);
        self.numbers.insert(text, number);
        number
    }

    fn push(&mut self, text: &str) -> u32 {
        let number = index(self.shown.len());
        self.shown.push(visible::escaped(text).into_owned());
        number
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or_else(|_| unreachable!("memory for 2^32 rows does not exist"))
}
