//! A page of one file that shows snapshots in a browser.
//!
//! The page itself is in `page.html`, `style.css` and `script/`; [`payload`] is what its script
//! reads. [`header`] and [`fallback`] write what is there without a script. [`escape`] sees to it
//! that no name of a function becomes a part of the page.

mod escape;
mod fallback;
mod header;
mod payload;
mod sources;

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::error::Error;
use crate::report::own_code::OwnCode;
use crate::snapshot::{GroupBy, Snapshot};
use escape::{Escaped, InScript};
use payload::Payload;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// One module, in the order in which its parts build on each other.
const SCRIPT: &str = concat!(
    include_str!("script/data.js"),
    include_str!("script/format.js"),
    include_str!("script/elements.js"),
    include_str!("script/query.js"),
    include_str!("script/address.js"),
    include_str!("script/selection.js"),
    include_str!("script/groups.js"),
    include_str!("script/tree.js"),
    include_str!("script/colors.js"),
    include_str!("script/flame.js"),
    include_str!("script/details.js"),
    include_str!("script/table.js"),
    include_str!("script/sizes.js"),
    include_str!("script/app.js"),
);

/// Nothing may be loaded, sent or run but the script and the style whose hashes are named. A test
/// compares them with the files.
const POLICY: &str = include_str!("policy.txt");

/// A page of one file that shows snapshots in a browser: a flame graph, tables by line, function,
/// file, crate and traceback, by type, tag and thread where they are known, and the sizes of the blocks.
///
/// It opens by a double-click, needs no other file and no network, and sends nothing anywhere; the
/// page forbids it to itself by a content security policy. Its header says how the snapshot was
/// recorded and what it does not hold. Without scripts it shows a table of the largest lines.
///
/// The file holds what the snapshot names: files, functions, crates and
/// [attributes](Snapshot::attributes), and unless [`source_lines`](Self::source_lines) is switched
/// off a line of source for each frame, as far as it can be read. It has no full paths, no contents
/// of memory, no arguments and no variables of the environment.
///
/// Numbers above 2^53 are rounded, as JavaScript knows doubles only.
///
/// ```
/// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback, report::Html};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12).with_function("app::main"));
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 1);
/// let mut page = Vec::new();
/// Html::new().title("after warm-up").write(&snapshot, &mut page)?;
/// assert!(page.starts_with(b"<!doctype html>"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Html {
    title: Option<String>,
    own_code: OwnCode,
    source_lines: bool,
}

impl Default for Html {
    fn default() -> Self {
        Self {
            title: None,
            own_code: OwnCode::Auto,
            source_lines: true,
        }
    }
}

impl Html {
    /// A page with source lines, whose title is the program's name, or where that is not known what kind of
    /// page it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// The title of the page, any text.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Whether the page shows [own code](Snapshot::own_code) when it is opened, if the snapshot knows whose
    /// code frames are. A reader switches between own code and all frames. [`OwnCode::Auto`], as in a table
    /// by line, unless this is called.
    #[must_use]
    pub fn own_code(mut self, own_code: OwnCode) -> Self {
        self.own_code = own_code;
        self
    }

    /// Whether to put source lines into the page, which are read from the files that the snapshot
    /// names, as they are now: one line for each of the 10,000 frames with most memory below them,
    /// at most 160 characters long. Switch it off for a snapshot from someone who is not trusted to
    /// name files, and for a page that goes to someone who may not see the source.
    #[must_use]
    pub fn source_lines(mut self, source_lines: bool) -> Self {
        self.source_lines = source_lines;
        self
    }

    /// Writes a page that shows `snapshot`. Takes memory in proportion to its distinct stacks.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let own_code = self.own_code.of(snapshot, GroupBy::Line).is_some();
        self.write_page(
            "Heap snapshot",
            &[snapshot],
            own_code,
            out,
            |slot, out| match slot {
                Slot::Header => header::write(snapshot, out),
                Slot::Fallback => {
                    let statistics = match own_code {
                        true => snapshot.own_code().statistics(GroupBy::Line),
                        false => snapshot.statistics(GroupBy::Line),
                    };
                    fallback::write(&statistics, snapshot.total_size(), own_code, out)
                }
            },
        )
    }

    /// Writes a page that shows what changed from the snapshot `old` to `new`.
    ///
    /// # Errors
    ///
    /// [`NotComparable`](crate::ErrorKind::NotComparable) as [`Snapshot::compare_to`], and
    /// [`Io`](crate::ErrorKind::Io) with what `out` returns.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback, report::Html};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let old = Snapshot::from_traces([], 1);
    /// let new = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 1);
    /// let mut page = Vec::new();
    /// Html::new().write_diff(&new, &old, &mut page)?;
    /// assert!(String::from_utf8_lossy(&page).contains("+640 B"));
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn write_diff(
        &self,
        new: &Snapshot,
        old: &Snapshot,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        let own_code = self.own_code.of_change(new, old, GroupBy::Line)?.is_some();
        let diffs = match own_code {
            true => new.own_code().compare_to(&old.own_code(), GroupBy::Line)?,
            false => new.compare_to(old, GroupBy::Line)?,
        };
        self.write_page(
            "Heap difference",
            &[new, old],
            own_code,
            out,
            |slot, out| match slot {
                Slot::Header => header::write_diff(new, old, out),
                Slot::Fallback => fallback::write_diff(&diffs, own_code, out),
            },
        )
        .map_err(|error| Error::io("cannot write", error))
    }

    fn write_page<W: Write>(
        &self,
        kind: &str,
        snapshots: &[&Snapshot],
        own_code: bool,
        out: &mut W,
        insert: impl Fn(Slot, &mut BufWriter<&mut W>) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = snapshots.first();
        let program = new.and_then(|new| new.recording().program.as_deref());
        let title = self.title.as_deref().or(program).unwrap_or(kind);
        // A tab of a browser shows nothing else of the page.
        let name = match &self.title {
            None if title != kind => format!("{title}: {kind}"),
            _ => title.to_owned(),
        };
        let mut out = BufWriter::new(out);
        // What is inserted is not looked through again, so it cannot hold marks of its own.
        let mut rest = PAGE;
        while let Some((before, mark, after)) = next_mark(rest) {
            out.write_all(before.as_bytes())?;
            match mark {
                "policy" => out.write_all(POLICY.trim_end().as_bytes())?,
                "style" => out.write_all(STYLE.as_bytes())?,
                "script" => out.write_all(SCRIPT.as_bytes())?,
                "title" => write!(out, "{}", Escaped(title))?,
                "name" => write!(out, "{}", Escaped(&name))?,
                "kind" => out.write_all(kind.as_bytes())?,
                "version" => out.write_all(env!("CARGO_PKG_VERSION").as_bytes())?,
                "header" => insert(Slot::Header, &mut out)?,
                "fallback" => insert(Slot::Fallback, &mut out)?,
                "payload" => self.write_payload(snapshots, own_code, &mut out)?,
                unknown => unreachable!("the page has no mark {unknown}"),
            }
            rest = after;
        }
        out.write_all(rest.as_bytes())?;
        out.flush()
    }

    fn write_payload(
        &self,
        snapshots: &[&Snapshot],
        own_code: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let payload = Payload::of(snapshots, self.source_lines, own_code);
        let mut serializer = serde_json::Serializer::with_formatter(out, InScript);
        payload.serialize(&mut serializer).map_err(io::Error::from)
    }
}

/// A part of the page that is about the snapshots.
#[derive(Clone, Copy)]
enum Slot {
    Header,
    Fallback,
}

/// The text before the next `{{mark}}` of the page, the mark, and the text after it.
fn next_mark(page: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = page.split_once("{{")?;
    let (mark, after) = rest.split_once("}}")?;
    Some((before, mark, after))
}
