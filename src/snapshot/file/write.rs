//! From a snapshot to the fields of a file. Memory grows with the distinct stacks, not with the
//! blocks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::io::{self, BufWriter, Write};

use flate2::write::GzEncoder;
use serde::{Serialize, Serializer};

use super::limits::{self, invalid};
use super::schema::{
    self, Body, Document, FrameRow, LossesRow, Meta, ModuleRow, NodeRow, Offset, OriginRow, RunRow,
    StackRow,
};
use super::views;
use crate::error::Error;
use crate::gzip;
use crate::snapshot::frame::{Frame, Module};
use crate::snapshot::identity::IdentityMap;
use crate::snapshot::trace::Snapshot;
use crate::snapshot::traceback::Traceback;

pub(super) fn snapshot(snapshot: &Snapshot, out: &mut impl Write) -> Result<(), Error> {
    snapshot.check_single_blocks("cannot save")?;
    let mut tables = Tables::default();
    let stack_of = tables.add_stacks(snapshot)?;
    let kept = std::mem::take(&mut tables.kept);
    let document = Document {
        format: schema::FORMAT,
        version: schema::VERSION,
        body: tables.into_body(snapshot, &stack_of)?,
    };
    let (decoded, compressed) =
        compress(&document, out).map_err(|error| Error::io("cannot write", error))?;
    limits::check_decoded(decoded, compressed)?;
    kept.check(compressed)
}

/// Writes the document and returns its bytes before and after compression.
fn compress(document: &impl Serialize, out: &mut impl Write) -> io::Result<(u64, u64)> {
    let gzip = GzEncoder::new(Counted::new(out), gzip::LEVEL);
    let mut json = BufWriter::new(Counted::new(gzip));
    serde_json::to_writer(&mut json, document)?;
    let gzip = json.into_inner().map_err(io::IntoInnerError::into_error)?;
    let decoded = gzip.bytes;
    let mut file = gzip.inner.finish()?;
    file.flush()?;
    Ok((decoded, file.bytes))
}

/// Counts the bytes that pass.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Self { inner, bytes: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The tables under construction, each entry numbered by its first appearance.
#[derive(Default)]
struct Tables<'a> {
    modules: Numbered<&'a Module>,
    strings: Numbered<&'a str>,
    frames: Numbered<FrameRow>,
    nodes: Numbered<NodeRow>,
    stacks: Vec<StackRow>,
    /// Of each stack the type that it allocates.
    types: Vec<Option<u32>>,
    tags: Vec<Option<u32>>,
    threads: Vec<Option<u32>>,
    incomplete: Vec<u32>,
    /// Numbers of frames that were met before, by identity: spares comparing their texts. The
    /// snapshot is borrowed, so the identities stay those of its frames.
    known: IdentityMap<u32>,
    /// The stack that was added last, as the identity of each frame and its node.
    last: Vec<(usize, u32)>,
    kept: limits::Frames,
}

impl<'a> Tables<'a> {
    /// Adds the stacks that blocks or the history have; a filtered snapshot holds more. Returns the number in the
    /// file of each stack of the snapshot.
    fn add_stacks(&mut self, snapshot: &'a Snapshot) -> Result<Vec<u32>, Error> {
        const UNUSED: u32 = u32::MAX;
        let mut totals = limits::Totals::default();
        for (index, (run, count)) in snapshot.counted_runs().enumerate() {
            totals.add(index, run.size, count)?;
        }
        let mut numbers = vec![UNUSED; snapshot.stacks().len()];
        let live = snapshot.counted_runs().map(|(run, _)| run.stack);
        for stack in live.chain(snapshot.history_rows().iter().map(|row| row.stack)) {
            let stack = stack as usize;
            if let (Some(number @ &mut UNUSED), Some(traceback)) =
                (numbers.get_mut(stack), snapshot.stacks().get(stack))
            {
                *number = index_of(self.stacks.len())?;
                self.add_stack(traceback)?;
            }
        }
        Ok(numbers)
    }

    fn add_stack(&mut self, stack: &'a Traceback) -> Result<(), Error> {
        self.kept
            .add(self.stacks.len(), index_of(stack.len()).unwrap_or(u32::MAX))?;
        let mut frames = Vec::new();
        stack.list_into(&mut frames);
        // Stacks that follow each other mostly have their first calls in common.
        let common = self
            .last
            .iter()
            .zip(&frames)
            .take_while(|((last, _), frame)| *last == frame.identity())
            .count();
        self.last.truncate(common);
        let mut node = self.last.last().map(|(_, node)| *node);
        for frame in frames.into_iter().skip(common) {
            let number = self.frame(frame)?;
            let call = self.nodes.number(NodeRow(node, number))?;
            self.last.push((frame.identity(), call));
            node = Some(call);
        }
        if let Some(node) = node {
            if stack.is_incomplete() {
                self.incomplete.push(index_of(self.stacks.len())?);
            }
            let row = StackRow(node, stack.total_nframe(), stack.was_cut());
            self.stacks.push(row);
            let type_name = self.optional(stack.type_name())?;
            self.types.push(type_name);
            let tag = self.optional(stack.tag())?;
            self.tags.push(tag);
            let thread = self.optional(stack.thread_name())?;
            self.threads.push(thread);
        }
        Ok(())
    }

    fn frame(&mut self, frame: &'a Frame) -> Result<u32, Error> {
        if let Some(number) = self.known.get(&frame.identity()) {
            return Ok(*number);
        }
        let code = match frame.code() {
            Some((module, offset)) => Some((self.modules.number(module)?, Offset(offset))),
            None => None,
        };
        let origin = frame.origin().map(Into::into);
        let row = match frame.is_unnamed() {
            true => FrameRow {
                file: None,
                line: None,
                column: 0,
                named: false,
                function: None,
                crate_name: None,
                path: None,
                written: 0,
                code,
                origin,
            },
            false => self.named_frame(frame, code, origin)?,
        };
        let number = self.frames.number(row)?;
        self.known.insert(frame.identity(), number);
        Ok(number)
    }

    fn named_frame(
        &mut self,
        frame: &'a Frame,
        code: Option<(u32, Offset)>,
        origin: Option<OriginRow>,
    ) -> Result<FrameRow, Error> {
        Ok(FrameRow {
            file: Some(self.string(frame.filename())?),
            line: Some(frame.lineno()),
            column: frame.column(),
            named: frame.is_named(),
            function: self.optional(frame.function())?,
            crate_name: self.optional(frame.crate_name())?,
            path: self.optional(frame.path())?,
            written: u32::try_from(frame.written_from()).unwrap_or(0),
            code,
            origin,
        })
    }

    fn string(&mut self, text: &'a str) -> Result<u32, Error> {
        limits::check_text("a name in a frame", text)?;
        self.strings.number(text)
    }

    fn optional(&mut self, text: Option<&'a str>) -> Result<Option<u32>, Error> {
        text.map(|text| self.string(text)).transpose()
    }

    fn into_body(
        self,
        snapshot: &'a Snapshot,
        stack_of: &'a [u32],
    ) -> Result<Body<'a, RunRows<'a>>, Error> {
        Ok(Body {
            meta: meta(snapshot)?,
            modules: modules(snapshot, self.modules.rows)?,
            strings: self.strings.rows.into_iter().map(Cow::Borrowed).collect(),
            frames: self.frames.rows,
            nodes: self.nodes.rows,
            stacks: self.stacks,
            runs: RunRows { snapshot, stack_of },
            stack_types: unless_unknown(self.types),
            stack_trims: Vec::new(),
            stack_tags: unless_unknown(self.tags),
            stack_threads: unless_unknown(self.threads),
            incomplete_stacks: self.incomplete,
            views: views::of_snapshot(snapshot, stack_of)?,
        })
    }
}

/// Distinct rows and the number of each.
struct Numbered<T> {
    numbers: HashMap<T, u32>,
    rows: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            rows: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn number(&mut self, row: T) -> Result<u32, Error> {
        match self.numbers.entry(row) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                let number = index_of(self.rows.len())?;
                self.rows.push(new.key().clone());
                Ok(*new.insert(number))
            }
        }
    }
}

/// A list beside a table is left out if nothing of it is known.
fn unless_unknown(list: Vec<Option<u32>>) -> Vec<Option<u32>> {
    match list.iter().any(Option::is_some) {
        true => list,
        false => Vec::new(),
    }
}

fn index_of(len: usize) -> Result<u32, Error> {
    u32::try_from(len).map_err(|_| invalid("a table has more than 4294967295 entries"))
}

fn modules<'a>(snapshot: &Snapshot, rows: Vec<&'a Module>) -> Result<Vec<ModuleRow<'a>>, Error> {
    // Of a snapshot without names the reason stands once, for all modules.
    let is_unnamed = snapshot.recording().unnamed.is_some();
    rows.into_iter()
        .map(|module| {
            limits::check_text("a module's path", &module.path)?;
            limits::check_text("a build id", module.build_id.as_deref().unwrap_or_default())?;
            Ok(ModuleRow {
                path: Cow::Borrowed(&module.path),
                build_id: module.build_id.as_deref().map(Cow::Borrowed),
                unread: match is_unnamed {
                    true => None,
                    false => snapshot.unread(module).map(Into::into),
                },
            })
        })
        .collect()
}

fn meta(snapshot: &Snapshot) -> Result<Meta<'_>, Error> {
    let recording = snapshot.recording();
    limits::check_text(
        "the program's name",
        recording.program.as_deref().unwrap_or_default(),
    )?;
    for (name, value) in snapshot.attributes() {
        limits::check_text("an attribute's name", name)?;
        limits::check_text("an attribute", value)?;
    }
    Ok(Meta {
        writer: Cow::Borrowed(concat!("tracemalloc ", env!("CARGO_PKG_VERSION"))),
        traceback_limit: snapshot.traceback_limit(),
        sample_every: snapshot.sample_every(),
        taken_at: recording.taken_at,
        process_id: recording.process_id,
        program: recording.program.as_deref().map(Cow::Borrowed),
        resident_memory: recording.resident_memory,
        allocator_memory: recording.allocator_memory,
        current: recording.current,
        peak: recording.peak,
        tracer_memory: recording.tracer_memory,
        runtime_frames: recording.runtime_frames,
        unnamed: recording.unnamed.map(Into::into),
        losses: LossesRow {
            blocks: recording.losses.blocks,
            stacks: recording.losses.stacks,
            replaced: recording.losses.replaced,
            incomplete_stacks: recording.losses.incomplete_stacks,
            history_events: recording.losses.history_events,
            labels: recording.losses.labels,
        },
        attributes: snapshot
            .attributes()
            .iter()
            .map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value.as_str())))
            .collect(),
    })
}

/// The runs, written one by one from the snapshot.
struct RunRows<'a> {
    snapshot: &'a Snapshot,
    stack_of: &'a [u32],
}

impl Serialize for RunRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.snapshot.counted_runs().map(|(run, count)| {
            let stack = self.stack_of.get(run.stack as usize).copied();
            RunRow(stack.unwrap_or(u32::MAX), run.domain.0, run.size, count)
        }))
    }
}
