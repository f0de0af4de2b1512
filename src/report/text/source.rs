//! The source of functions, with the memory of each line.

mod listing;

use std::io::{self, Write};

use super::columns::Columns;
use super::layout::Layout;
use super::style::Paint;
use super::table::Line;
use super::visible;
use crate::report::notes::{self, Whose};
use crate::snapshot::{FrameFilter, Size, Snapshot, source_text};
use listing::{Amount, Listing, Shown, listings};

/// Headings of the columns; below the last one stands the source.
const HEADINGS: [&str; 5] = ["own", "blocks", "with calls", "line", ""];

/// The source of functions with the memory of each line: what memory_profiler shows of Python's
/// functions, and `list` in pprof.
///
/// A line has the bytes and blocks that it allocated itself, and the bytes of all that it called. A
/// closure or an async block counts for the function that it is written in. A block counts once for a line, however often the line is in
/// its stack. Lines far from any that has memory are left out and shown as `…`.
///
/// Source is read from the files that the snapshot names, as they are now; where that is not
/// possible, lines have numbers alone. Function names, and so the choice of functions, need debug
/// information with full names.
///
/// ```
/// use tracemalloc::{Domain, Frame, FrameFilter, Snapshot, Trace, Traceback, report::Source};
///
/// let line = |number| Frame::new("gone.rs", number).with_function("app::load");
/// let stack = Traceback::from_oldest_first([line(12)]).unwrap();
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 1);
/// let mut out = Vec::new();
/// Source::of(FrameFilter::function("*::load")).write(&snapshot, &mut out)?;
/// let text = String::from_utf8_lossy(&out);
/// assert!(text.starts_with("app::load\ngone.rs\n640 B in 1 block, with calls 640 B\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Source {
    frames: FrameFilter,
    limit: usize,
    layout: Layout,
}

impl Source {
    /// The functions of the frames that `frames` hits, those with most memory first, ten at most. A
    /// text chooses all functions of a file: `Source::of(file!())`.
    pub fn of(frames: impl Into<FrameFilter>) -> Self {
        Self {
            frames: frames.into(),
            limit: 10,
            layout: Layout::default(),
        }
    }

    /// How many functions are shown, at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// How many columns a line may have, as [`Text::width`](super::Text::width).
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        self.layout = self.layout.with_width(columns);
        self
    }

    /// Whether to set parts of the text off by color, as [`Text::color`](super::Text::color).
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.layout = self.layout.with_color(color);
        self
    }

    /// Writes the functions and, below them, what the snapshot does not hold, as
    /// [`Text`](super::Text) does.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let sites = snapshot.sites();
        let listings = listings(&sites, &self.frames);
        if listings.is_empty() {
            writeln!(out, "No function with memory is chosen.")?;
        }
        let (shown, others) = listings.split_at(self.limit.min(listings.len()));
        for listing in shown {
            self.write_listing(listing, out)?;
        }
        if !others.is_empty() {
            writeln!(
                out,
                "{}",
                notes::counted(others.len() as u64, "other function")
            )?;
        }
        writeln!(out, "{}", notes::total(snapshot))?;
        notes::write_recording(snapshot, Whose::Only, out)?;
        notes::write_hint([snapshot], out)
    }

    fn write_listing(&self, listing: &Listing<'_>, out: &mut impl Write) -> io::Result<()> {
        let function = Line::Function(listing.function.to_owned()).fitted(self.layout.width);
        writeln!(out, "{}", self.layout.paint(Paint::Strong, &function))?;
        let file = Line::Path(listing.file.to_owned()).fitted(self.layout.width);
        writeln!(out, "{file}")?;
        let Amount { size, count } = listing.own;
        let blocks = notes::counted(count, "block");
        let (own, whole) = (Size(size), Size(listing.inclusive.size));
        writeln!(out, "{own} in {blocks}, with calls {whole}\n")?;

        let text = source_text(listing.path).map(|text| text.replace('\t', "    "));
        let rows = listing.rows(text.as_deref());
        let indent = rows.iter().filter_map(Shown::indent).min().unwrap_or(0);
        let rows: Vec<_> = rows.into_iter().map(|shown| row(shown, indent)).collect();
        let numbers: Vec<_> = rows.iter().map(|(numbers, _)| numbers.clone()).collect();
        let room = Columns::room(self.layout, &HEADINGS, &numbers);
        let mut columns = Columns::new(&HEADINGS);
        for (numbers, source) in rows {
            let source = visible::escaped(source);
            columns.push(numbers, visible::keep_start(&source, room).into());
        }
        columns.write(self.layout, out)?;
        writeln!(out)
    }
}

/// Numbers and source of a row, without the function's own indentation.
fn row(shown: Shown<'_>, indent: usize) -> (Vec<String>, &str) {
    let Shown::Line {
        number,
        source,
        own,
        inclusive,
    } = shown
    else {
        return (vec![String::new(); HEADINGS.len() - 1], "…");
    };
    let some = |amount: u64, text: String| if amount == 0 { String::new() } else { text };
    let line = if number == 0 {
        "-".to_owned()
    } else {
        number.to_string()
    };
    let numbers = vec![
        some(own.count, Size(own.size).to_string()),
        some(own.count, own.count.to_string()),
        some(inclusive.count, Size(inclusive.size).to_string()),
        line,
    ];
    (numbers, source.get(indent..).unwrap_or_default())
}
