//! From the fields of a file to a snapshot. Every index and sum is checked here, before anything
//! relies on it.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::limits::{self, invalid};
use super::schema::{self, FrameRow, Meta, ModuleRow, RunRow};
use super::source::{self, Source};
use super::{FileHeader, calls, columns, views};
use crate::error::{Error, ErrorKind};
use crate::snapshot::frame::{Frame, Module};
use crate::snapshot::recording::{Losses, Recording};
use crate::snapshot::runs::Runs;
use crate::snapshot::trace::{Domain, Snapshot};
use crate::snapshot::traceback::Traceback;
use crate::snapshot::unread::Unread;

pub(super) type Body = schema::Body<'static, Vec<RunRow>>;

pub(super) fn snapshot(input: impl Read) -> Result<(Snapshot, FileHeader), Error> {
    let mut source = Source::new(input)?;
    let (version, mut body) = parse(&mut source)?;
    source.expect_end()?;

    let (modules, unread) = modules(std::mem::take(&mut body.modules))?;
    let strings = strings(std::mem::take(&mut body.strings))?;
    let frames = frames(&std::mem::take(&mut body.frames), &strings, &modules)?;
    columns::check(&body, strings.len())?;
    let calls = calls::Tree::new(frames, &std::mem::take(&mut body.nodes))?;
    let stacks = stacks(&body, &calls, &strings, source.compressed())?;
    let runs = runs(&body.runs, stacks.len())?;
    let limit = body.meta.traceback_limit;
    let mut snapshot = Snapshot::from_parts(stacks, runs, limit, recording(&body.meta));
    snapshot = snapshot.with_unread(unread);
    if let Some(history) = views::to_history(&body.views)? {
        snapshot = snapshot.with_history_rows(history);
    }
    if let Some(bytes) = body.meta.sample_every {
        snapshot = snapshot.with_sample_every(bytes);
    }
    for (name, value) in body.meta.attributes {
        limits::check_text("an attribute's name", &name)?;
        limits::check_text("an attribute", &value)?;
        snapshot.set_attribute(name, value);
    }
    limits::check_text("the name of the writer", &body.meta.writer)?;
    let program = body.meta.program.as_deref();
    limits::check_text("the program's name", program.unwrap_or_default())?;
    let header = FileHeader {
        version,
        writer: body.meta.writer.into_owned(),
    };
    Ok((snapshot, header))
}

/// The version of the file, and what stands behind it.
fn parse(source: &mut Source<impl Read>) -> Result<(u64, Body), Error> {
    let mut version = None;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut *source));
    let parsed = Document {
        version: &mut version,
    }
    .deserialize(&mut json)
    .and_then(|body| json.end().map(|()| body));
    let body = parsed.map_err(|error| match version {
        Some(found) if found > schema::VERSION => newer(found, source),
        _ if error.is_io() => source::describe(error.into()),
        _ => invalid(format!("not a snapshot, or a damaged one: {error}")),
    })?;
    Ok((version.unwrap_or(schema::VERSION), body))
}

/// Reads to the end first: in a damaged file the version may be what is damaged.
fn newer(found: u64, source: &mut Source<impl Read>) -> Error {
    if let Err(error) = io::copy(source, &mut io::sink()) {
        return source::describe(error);
    }
    let known = schema::VERSION;
    Error::new(
        ErrorKind::UnsupportedVersion,
        format!(
            "the file has version {found} of the format; this library reads up to version {known}"
        ),
    )
}

/// Reads `format` and `version` first and the rest only if they are this reader's.
struct Document<'a> {
    version: &'a mut Option<u64>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Body;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object that starts with `format` and `version`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let format: String = expect_field(&mut map, "format")?;
        if format != schema::FORMAT {
            let expected = schema::FORMAT;
            return Err(A::Error::custom(format_args!(
                "`format` is not {expected:?}"
            )));
        }
        let version = expect_field(&mut map, "version")?;
        *self.version = Some(version);
        if !(schema::OLDEST_VERSION..=schema::VERSION).contains(&version) {
            return Err(A::Error::custom(format_args!("unknown version {version}")));
        }
        Body::deserialize(MapAccessDeserializer::new(map))
    }
}

fn expect_field<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    name: &str,
) -> Result<T, A::Error> {
    match map.next_key::<String>()? {
        Some(found) if found == name => map.next_value(),
        _ => Err(A::Error::custom(format_args!(
            "`{name}` is not at its place"
        ))),
    }
}

/// The modules, and those whose names could not be read.
#[expect(clippy::type_complexity, reason = "two lists of the module's")]
fn modules(
    rows: Vec<ModuleRow<'static>>,
) -> Result<(Vec<Arc<Module>>, Vec<(Arc<Module>, Unread)>), Error> {
    let mut modules = Vec::with_capacity(rows.len());
    let mut unread = Vec::new();
    for row in rows {
        limits::check_text("a module's path", &row.path)?;
        limits::check_text("a build id", row.build_id.as_deref().unwrap_or_default())?;
        let module = Module::new(row.path, row.build_id.map(Cow::into_owned));
        let module = Arc::new(module);
        unread.extend(row.unread.map(|why| (Arc::clone(&module), why.into())));
        modules.push(module);
    }
    Ok((modules, unread))
}

fn strings(rows: Vec<Cow<'static, str>>) -> Result<Vec<Arc<str>>, Error> {
    rows.into_iter()
        .enumerate()
        .map(|(index, text)| {
            limits::check_text(&format!("string {index}"), &text)?;
            Ok(Arc::from(text.as_ref()))
        })
        .collect()
}

/// The entry of `table` that `owner` refers to.
pub(super) fn entry<'a, T>(
    table: &'a [T],
    index: u32,
    what: &str,
    owner: impl FnOnce() -> String,
) -> Result<&'a T, Error> {
    table.get(index as usize).ok_or_else(|| {
        let (owner, len) = (owner(), table.len());
        invalid(format!(
            "{owner} refers to {what} {index}, but there are {len}"
        ))
    })
}

fn frames(
    rows: &[FrameRow],
    strings: &[Arc<str>],
    modules: &[Arc<Module>],
) -> Result<Vec<Frame>, Error> {
    rows.iter()
        .enumerate()
        .map(|(index, row)| frame(index, row, strings, modules))
        .collect()
}

fn frame(
    index: usize,
    row: &FrameRow,
    strings: &[Arc<str>],
    modules: &[Arc<Module>],
) -> Result<Frame, Error> {
    let owner = || format!("frame {index}");
    let text = |string| entry(strings, string, "string", owner).map(Arc::clone);
    let Some(file) = row.file else {
        return unnamed_frame(index, row, modules);
    };
    let filename = text(file)?;
    let line = row
        .line
        .ok_or_else(|| invalid(format!("frame {index} has a file but no line")))?;
    let mut frame = match (row.named, line) {
        (false, line) => Frame::new(filename, line),
        (true, 0) => Frame::named(filename),
        (true, line) => {
            return Err(invalid(format!(
                "frame {index} is named, so it has no line, but says line {line}"
            )));
        }
    };
    if row.column != 0 {
        frame = frame.with_column(row.column);
    }
    if let Some(function) = row.function {
        frame = frame.with_function(text(function)?);
    }
    if let Some(name) = row.crate_name {
        frame = frame.with_crate(text(name)?);
    }
    if let Some(path) = row.path {
        frame = frame.with_path(text(path)?);
    }
    let path = frame.path().unwrap_or_default();
    if path.get(row.written as usize..).is_none() {
        let written = row.written;
        return Err(invalid(format!(
            "the path of frame {index} has no part that begins at byte {written}"
        )));
    }
    if row.written != 0 {
        frame = frame.with_written_from(row.written as usize);
    }
    if let Some((module, offset)) = row.code {
        let module = entry(modules, module, "module", owner)?;
        frame = frame.with_code(Arc::clone(module), offset.0);
    }
    Ok(with_origin(frame, row))
}

/// A frame that has a place in machine code and nothing else.
fn unnamed_frame(index: usize, row: &FrameRow, modules: &[Arc<Module>]) -> Result<Frame, Error> {
    let Some((module, offset)) = row.code else {
        return Err(invalid(format!(
            "frame {index} has neither a file nor a place in machine code"
        )));
    };
    if (row.line, row.function, row.crate_name, row.path) != (None, None, None, None)
        || (row.column, row.named, row.written) != (0, false, 0)
    {
        return Err(invalid(format!(
            "frame {index} has no file, so nothing but its place in machine code can be known"
        )));
    }
    let module = entry(modules, module, "module", || format!("frame {index}"))?;
    let frame = Frame::unnamed(Arc::clone(module), offset.0);
    Ok(with_origin(frame, row))
}

fn with_origin(frame: Frame, row: &FrameRow) -> Frame {
    match row.origin {
        Some(origin) => frame.with_origin(origin.into()),
        None => frame,
    }
}

fn stacks(
    body: &Body,
    calls: &calls::Tree,
    strings: &[Arc<str>],
    compressed: u64,
) -> Result<Vec<Traceback>, Error> {
    let mut frames = limits::Frames::default();
    for (index, row) in body.stacks.iter().enumerate() {
        frames.add(index, calls.depth(index, row.0)?)?;
    }
    frames.check(compressed)?;
    let mut stacks = Vec::with_capacity(body.stacks.len());
    for (index, row) in body.stacks.iter().enumerate() {
        let trim = body.stack_trims.get(index).copied().unwrap_or_default();
        let mut stack = calls.stack(index, row.0, trim)?;
        if let Some(total) = row.1 {
            stack = stack.with_total_nframe(total);
        }
        if row.2 {
            stack = stack.with_truncated();
        }
        if body
            .incomplete_stacks
            .binary_search(&(index as u32))
            .is_ok()
        {
            stack = stack.with_incomplete();
        }
        if let Some(name) = known(&body.stack_types, index, strings) {
            stack = stack.with_type_name(name);
        }
        if let Some(tag) = known(&body.stack_tags, index, strings) {
            stack = stack.with_tag(tag);
        }
        if let Some(name) = known(&body.stack_threads, index, strings) {
            stack = stack.with_thread_name(name);
        }
        stacks.push(stack);
    }
    Ok(stacks)
}

/// The text that a list beside a table has at `index`, if it has one. The lists have been checked.
fn known(list: &[Option<u32>], index: usize, strings: &[Arc<str>]) -> Option<Arc<str>> {
    let text = (*list.get(index)?)?;
    strings.get(text as usize).cloned()
}

fn runs(rows: &[RunRow], stacks: usize) -> Result<Runs, Error> {
    let mut totals = limits::Totals::default();
    let mut runs = Runs::default();
    for (index, &RunRow(stack, domain, size, count)) in rows.iter().enumerate() {
        if stack as usize >= stacks {
            return Err(invalid(format!(
                "run {index} refers to stack {stack}, but there are {stacks}"
            )));
        }
        totals.add(index, size, count)?;
        runs.push(stack, Domain(domain), size, count);
    }
    Ok(runs)
}

fn recording(meta: &Meta<'_>) -> Recording {
    Recording {
        taken_at: meta.taken_at,
        process_id: meta.process_id,
        program: meta.program.as_deref().map(str::to_owned),
        resident_memory: meta.resident_memory,
        allocator_memory: meta.allocator_memory,
        current: meta.current,
        peak: meta.peak,
        tracer_memory: meta.tracer_memory,
        runtime_frames: meta.runtime_frames,
        unnamed: meta.unnamed.map(Into::into),
        losses: Losses {
            blocks: meta.losses.blocks,
            stacks: meta.losses.stacks,
            replaced: meta.losses.replaced,
            incomplete_stacks: meta.losses.incomplete_stacks,
            history_events: meta.losses.history_events,
            labels: meta.losses.labels,
        },
    }
}
