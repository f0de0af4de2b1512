//! From the fields of a file to a snapshot. Every index and sum is checked here, before anything
//! relies on it.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::FileHeader;
use super::limits::{self, invalid};
use super::schema::{self, FrameRow, Meta, ModuleRow, NodeRow, RunRow, StackRow};
use super::source::{self, Source};
use crate::error::{Error, ErrorKind};
use crate::snapshot::frame::{Frame, Module, Traceback};
use crate::snapshot::trace::{Domain, Losses, Recording, Runs, Snapshot};

type Body = schema::Body<'static, Vec<RunRow>>;

pub(super) fn snapshot(input: impl Read) -> Result<(Snapshot, FileHeader), Error> {
    let mut source = Source::new(input);
    let body = parse(&mut source)?;
    source.expect_end()?;

    let modules = modules(body.modules)?;
    let strings = strings(body.strings)?;
    let frames = frames(&body.frames, &strings, &modules)?;
    let calls = Calls::check(&body.nodes, &frames)?;
    let stacks = stacks(&body.stacks, &calls, source.compressed())?;
    let runs = runs(&body.runs, stacks.len())?;
    let limit = body.meta.traceback_limit;
    let mut snapshot = Snapshot::from_parts(stacks, runs, limit, recording(&body.meta));
    if let Some(bytes) = body.meta.sample_every {
        snapshot = snapshot.with_sample_every(bytes);
    }
    for (name, value) in body.meta.attributes {
        limits::check_text("an attribute's name", &name)?;
        limits::check_text("an attribute", &value)?;
        snapshot.set_attribute(name, value);
    }
    limits::check_text("the name of the writer", &body.meta.writer)?;
    let header = FileHeader {
        version: schema::VERSION,
        writer: body.meta.writer.into_owned(),
    };
    Ok((snapshot, header))
}

fn parse(source: &mut Source<impl Read>) -> Result<Body, Error> {
    let mut version = None;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut *source));
    let parsed = Document {
        version: &mut version,
    }
    .deserialize(&mut json)
    .and_then(|body| json.end().map(|()| body));
    parsed.map_err(|error| match version {
        Some(found) if found > schema::VERSION => newer(found, source),
        _ if error.is_io() => source::describe(error.into()),
        _ => invalid(format!("not a snapshot, or a damaged one: {error}")),
    })
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
        if version != schema::VERSION {
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

fn modules(rows: Vec<ModuleRow<'static>>) -> Result<Vec<Arc<Module>>, Error> {
    rows.into_iter()
        .map(|row| {
            limits::check_text("a module's path", &row.path)?;
            limits::check_text("a build id", row.build_id.as_deref().unwrap_or_default())?;
            Ok(Arc::new(Module::new(
                row.path,
                row.build_id.map(Cow::into_owned),
            )))
        })
        .collect()
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
fn entry<'a, T>(
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
    let filename = text(row.file)?;
    let mut frame = match (row.named, row.line) {
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
    if let Some((module, offset)) = row.code {
        let module = entry(modules, module, "module", owner)?;
        frame = frame.with_code(Arc::clone(module), offset.0);
    }
    Ok(frame)
}

/// The call tree, checked: parents come before their children, so every walk towards the root ends.
struct Calls<'a> {
    nodes: &'a [NodeRow],
    frames: &'a [Frame],
    /// Frames from the root to each node, itself included.
    depths: Vec<u32>,
}

impl<'a> Calls<'a> {
    fn check(nodes: &'a [NodeRow], frames: &'a [Frame]) -> Result<Self, Error> {
        let mut depths: Vec<u32> = Vec::with_capacity(nodes.len());
        for (index, &NodeRow(parent, frame)) in nodes.iter().enumerate() {
            entry(frames, frame, "frame", || format!("node {index}"))?;
            let above = match parent {
                None => 0,
                Some(parent) => *depths.get(parent as usize).ok_or_else(|| {
                    invalid(format!(
                        "node {index} has the parent {parent}, which does not come before it"
                    ))
                })?,
            };
            depths.push(above.saturating_add(1));
        }
        Ok(Self {
            nodes,
            frames,
            depths,
        })
    }

    /// Appends the frames from `node`, which has been checked, to the root.
    fn append(&self, node: u32, to: &mut Vec<Frame>) {
        let caller = |node: &u32| self.nodes.get(*node as usize).and_then(|row| row.0);
        let frames = std::iter::successors(Some(node), caller)
            .filter_map(|node| self.nodes.get(node as usize))
            .filter_map(|row| self.frames.get(row.1 as usize).cloned());
        to.extend(frames);
    }
}

fn stacks(rows: &[StackRow], calls: &Calls<'_>, compressed: u64) -> Result<Vec<Traceback>, Error> {
    let mut kept = limits::Frames::default();
    for (index, row) in rows.iter().enumerate() {
        let depth = entry(&calls.depths, row.0, "node", || format!("stack {index}"))?;
        kept.add(index, *depth)?;
    }
    kept.check(compressed)?;
    let mut frames = Vec::new();
    rows.iter()
        .enumerate()
        .map(|(index, &StackRow(node, total_nframe, truncated))| {
            calls.append(node, &mut frames);
            let mut stack = Traceback::from_oldest_first(frames.drain(..).rev())
                .ok_or_else(|| invalid(format!("stack {index} is empty")))?;
            if let Some(total) = total_nframe {
                stack = stack.with_total_nframe(total);
            }
            Ok(if truncated {
                stack.with_truncated()
            } else {
                stack
            })
        })
        .collect()
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
        current: meta.current,
        peak: meta.peak,
        tracer_memory: meta.tracer_memory,
        runtime_frames: meta.runtime_frames,
        losses: Losses {
            blocks: meta.losses.blocks,
            stacks: meta.losses.stacks,
            replaced: meta.losses.replaced,
            incomplete_stacks: meta.losses.ended,
        },
    }
}
