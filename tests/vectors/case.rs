//! One case file: its input as values of the crate, its sections as they stand.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use serde_json::{Map, Value, json};
use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};

/// Stands in file names and expected texts for the folder that the sources are written to.
const FOLDER_MARK: &str = "@TMP@";
const INPUT: [&str; 7] = [
    "version",
    "name",
    "tags",
    "files",
    "stacks",
    "snapshots",
    "sources",
];

/// What a row asks for and what came out.
pub(crate) struct Outcome {
    pub(crate) tags: Vec<String>,
    pub(crate) expected: Value,
    pub(crate) found: Value,
}

impl Outcome {
    pub(crate) fn new(expected: impl Into<Value>, found: impl Into<Value>) -> Self {
        Self {
            tags: Vec::new(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// This outcome, with the tags of its row.
    pub(crate) fn tagged(mut self, row: &Value) -> Result<Self, String> {
        self.tags = texts(member(row, "tags")?)?;
        Ok(self)
    }
}

pub(crate) struct Case {
    whole: Value,
    files: Vec<String>,
    positions: HashMap<String, usize>,
    pub(crate) stacks: Vec<Traceback>,
    snapshots: Vec<Snapshot>,
    /// Sources, removed with the case.
    _folder: Option<Folder>,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Case {
    /// Reads a case. A key that is neither input nor in `sections` is an error: the format is newer
    /// than this test.
    pub(crate) fn read(path: &Path, sections: &BTreeSet<&str>) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let mut whole: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let expected: Vec<&str> = INPUT.into_iter().chain(sections.iter().copied()).collect();
        check_keys(&whole, &expected)?;
        if whole["version"] != json!(1) {
            return Err(format!("unknown version {}", whole["version"]));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if whole["name"].as_str() != stem {
            return Err(format!("the case calls itself {}", whole["name"]));
        }
        let folder = write_sources(&mut whole)?;
        let files = texts(&whole["files"])?;
        let mut case = Self {
            positions: files.iter().cloned().zip(0..).collect(),
            files,
            stacks: Vec::new(),
            snapshots: Vec::new(),
            _folder: folder,
            whole,
        };
        case.stacks = each(&case.whole["stacks"], |stack| case.stack(stack))?;
        case.snapshots = each(&case.whole["snapshots"], |value| case.read_snapshot(value))?;
        Ok(case)
    }

    pub(crate) fn section(&self, name: &str) -> Result<&Value, String> {
        member(&self.whole, name)
    }

    pub(crate) fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// The snapshot that `row` names under `key`.
    pub(crate) fn snapshot(&self, row: &Value, key: &str) -> Result<&Snapshot, String> {
        let index = index(member(row, key)?)?;
        self.snapshots
            .get(index)
            .ok_or_else(|| format!("no snapshot {index}"))
    }

    /// Frames as the cases write them.
    pub(crate) fn frames(&self, frames: &[Frame]) -> Value {
        frames
            .iter()
            .map(|frame| json!([self.positions.get(frame.filename()), frame.lineno()]))
            .collect()
    }

    /// Of input stacks the most recent frame comes first.
    fn stack(&self, stack: &Value) -> Result<Traceback, String> {
        check_keys(stack, &["frames", "total_nframe"])?;
        let mut frames = each(&stack["frames"], |frame| self.frame(frame))?;
        frames.reverse();
        Ok(Traceback::from_oldest_first(frames)
            .ok_or("a stack without frames")?
            .with_total_nframe(number(&stack["total_nframe"])?))
    }

    fn frame(&self, frame: &Value) -> Result<Frame, String> {
        let [file, line] = parts(frame)?;
        let name = self.files.get(index(file)?).ok_or("no such file")?;
        Ok(Frame::new(name.as_str(), number(line)?))
    }

    fn read_snapshot(&self, snapshot: &Value) -> Result<Snapshot, String> {
        check_keys(snapshot, &["limit", "traces"])?;
        let traces = each(&snapshot["traces"], |trace| {
            let [domain, size, stack] = parts(trace)?;
            let stack = self.stacks.get(index(stack)?).ok_or("no such stack")?;
            let domain = Domain(number(domain)?);
            Ok(Trace::new(domain, number(size)?, stack.clone()))
        })?;
        Ok(Snapshot::from_traces(traces, number(&snapshot["limit"])?))
    }
}

/// Writes the sources of a case into a fresh folder and puts its path where the case has a mark.
fn write_sources(whole: &mut Value) -> Result<Option<Folder>, String> {
    let sources = whole["sources"].take();
    let sources = sources.as_object().ok_or("sources: not an object")?;
    if sources.is_empty() {
        return Ok(None);
    }
    let name = format!(
        "vectors-{}-{}",
        process::id(),
        whole["name"].as_str().unwrap_or("")
    );
    let folder = Folder(env::temp_dir().join(name));
    replace_mark(whole, folder.0.to_str().ok_or("an odd temporary folder")?);
    for (file, text) in sources {
        let file: usize = file.parse().map_err(|_| format!("sources: {file}"))?;
        let path = whole["files"][file]
            .as_str()
            .ok_or("sources: no such file")?;
        let text = text.as_str().ok_or("sources: not a text")?;
        write_source(Path::new(path), text).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(Some(folder))
}

fn write_source(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

fn replace_mark(value: &mut Value, folder: &str) {
    match value {
        Value::String(text) => *text = text.replace(FOLDER_MARK, folder),
        Value::Array(values) => values.iter_mut().for_each(|v| replace_mark(v, folder)),
        Value::Object(members) => members.values_mut().for_each(|v| replace_mark(v, folder)),
        _ => {}
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("not an object: {value}"))
}

/// Fails unless `value` is an object with just these keys.
pub(crate) fn check_keys(value: &Value, keys: &[&str]) -> Result<(), String> {
    let found: BTreeSet<&str> = object(value)?.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = keys.iter().copied().collect();
    if found != expected {
        return Err(format!("the keys are {found:?} and not {expected:?}"));
    }
    Ok(())
}

pub(crate) fn member<'a>(value: &'a Value, key: &str) -> Result<&'a Value, String> {
    object(value)?.get(key).ok_or_else(|| format!("no {key:?}"))
}

/// The elements of a list, each read by `read`. An error says which element it is about.
pub(crate) fn each<'a, T>(
    list: &'a Value,
    mut read: impl FnMut(&'a Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let list = list
        .as_array()
        .ok_or_else(|| format!("not a list: {list}"))?;
    list.iter()
        .enumerate()
        .map(|(number, value)| read(value).map_err(|error| format!("[{number}]: {error}")))
        .collect()
}

pub(crate) fn parts<const N: usize>(list: &Value) -> Result<[&Value; N], String> {
    each(list, Ok)?
        .try_into()
        .map_err(|_| format!("not a list of {N}: {list}"))
}

pub(crate) fn number<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    value
        .as_i64()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("not a number that fits: {value}"))
}

/// A number, or none for `null`.
pub(crate) fn optional<T: TryFrom<i64>>(value: &Value) -> Result<Option<T>, String> {
    if value.is_null() {
        Ok(None)
    } else {
        number(value).map(Some)
    }
}

pub(crate) fn index(value: &Value) -> Result<usize, String> {
    number(value)
}

pub(crate) fn flag(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("not a boolean: {value}"))
}

pub(crate) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("not a text: {value}"))
}

pub(crate) fn texts(list: &Value) -> Result<Vec<String>, String> {
    each(list, |value| text(value).map(str::to_owned))
}
