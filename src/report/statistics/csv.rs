//! Statistics as a table of comma-separated values.

use std::io::{self, BufWriter, Write};

use super::Query;
use crate::error::Error;
use crate::report::visible;
use crate::snapshot::{Counting, Frame, GroupBy, Snapshot, SortBy, Traceback};

/// Statistics and differences as comma-separated values (RFC 4180, but lines end in `\n`), for
/// spreadsheets and databases.
///
/// | column | what it is |
/// | --- | --- |
/// | `filename`, `lineno` | the most recent frame of the group; the name of the group and 0 where it stands for no line |
/// | `function`, `crate` | of that frame; empty where they are not known |
/// | `size` | bytes; of differences those in the new snapshot |
/// | `size_diff` | of differences only: new minus old |
/// | `count` | blocks; of differences those in the new snapshot |
/// | `count_diff` | of differences only: new minus old |
/// | `traceback` | the frames as `FILE:LINE`, oldest first, separated by `;`, which is written as `:` in names |
/// | `sample_every` | bytes allocated per record, on average: the numbers are estimates then; empty if every allocation was recorded |
/// | `old_sample_every` | of differences only: the same of the old snapshot |
///
/// The first line names the columns. Every text stands in quotes, quotes in it are doubled, and
/// characters that would steer a terminal are escapes, so that a row is always one line. A text
/// that a spreadsheet could take for a formula, one that begins with `=`, `+`, `-` or `@`, has an
/// apostrophe before it. What the recording could not hold is not said; `Json` says it.
///
/// ```
/// use tracemalloc::report::Csv;
/// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
///
/// let line = Traceback::of(Frame::new("src/main.rs", 12).with_function("app::main"));
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 25);
/// let mut out = Vec::new();
/// Csv::new().write(&snapshot, &mut out)?;
/// assert_eq!(
///     String::from_utf8_lossy(&out),
///     "filename,lineno,function,crate,size,count,traceback,sample_every\n\
///      \"src/main.rs\",12,\"app::main\",\"\",640,1,\"src/main.rs:12\",\n"
/// );
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Csv {
    query: Query,
}

impl Csv {
    /// All lines.
    pub fn new() -> Self {
        Self::default()
    }

    setters!();

    /// Writes the groups of `snapshot`, largest first.
    ///
    /// # Errors
    ///
    /// [`CumulativeTraceback`](crate::ErrorKind::CumulativeTraceback) for cumulative statistics by
    /// traceback, and [`Io`](crate::ErrorKind::Io) with what `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> Result<(), Error> {
        let statistics = self.query.statistics(snapshot)?;
        let period = period(snapshot);
        let rows = self.query.shown(&statistics).iter().map(|row| {
            let (stack, size, count) = (&row.traceback, row.size, row.count);
            format!("{},{size},{count},{},{period}", key(stack), frames(stack))
        });
        let heading = "filename,lineno,function,crate,size,count,traceback,sample_every";
        write_table(heading, rows, out)
    }

    /// Writes how the groups of `new` differ from those of `old`, largest change first. Groups that
    /// did not change are there too, as in [`Snapshot::compare_to`].
    ///
    /// # Errors
    ///
    /// [`NotComparable`](crate::ErrorKind::NotComparable) as [`Snapshot::compare_to`], and those of
    /// [`write`](Self::write).
    ///
    /// ```
    /// use tracemalloc::report::Csv;
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 12));
    /// let old = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, line)], 25);
    /// let new = Snapshot::from_traces([], 25);
    /// let mut out = Vec::new();
    /// Csv::new().write_diff(&new, &old, &mut out)?;
    /// assert!(String::from_utf8_lossy(&out).contains("\"src/main.rs\",12,\"\",\"\",0,-640,0,-1,"));
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn write_diff(
        &self,
        new: &Snapshot,
        old: &Snapshot,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        let differences = self.query.differences(new, old)?;
        let (new_period, old_period) = (period(new), period(old));
        let rows = self.query.shown(&differences).iter().map(|row| {
            let stack = &row.traceback;
            format!(
                "{},{},{},{},{},{},{new_period},{old_period}",
                key(stack),
                row.size,
                row.size_diff,
                row.count,
                row.count_diff,
                frames(stack)
            )
        });
        let heading = "filename,lineno,function,crate,size,size_diff,count,count_diff,traceback,\
                       sample_every,old_sample_every";
        write_table(heading, rows, out)
    }
}

fn write_table(
    heading: &str,
    rows: impl Iterator<Item = String>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(out);
        writeln!(out, "{heading}")?;
        for row in rows {
            writeln!(out, "{row}")?;
        }
        out.flush()
    };
    write().map_err(|error| Error::io("cannot write", error))
}

fn period(snapshot: &Snapshot) -> String {
    let period = snapshot.sample_every();
    period.map(|bytes| bytes.to_string()).unwrap_or_default()
}

/// The first four columns.
fn key(stack: &Traceback) -> String {
    let frame = stack.most_recent();
    format!(
        "{},{},{},{}",
        text(frame.filename()),
        frame.lineno(),
        text(frame.function().unwrap_or_default()),
        text(frame.crate_name().unwrap_or_default())
    )
}

fn frames(stack: &Traceback) -> String {
    let frame = |frame: &Frame| frame.to_string().replace(';', ":");
    let mut frames: Vec<String> = stack.newest_first().map(frame).collect();
    frames.reverse();
    text(&frames.join(";"))
}

/// A cell that is a text and nothing else.
fn text(text: &str) -> String {
    let visible = visible::escaped(text).replace('"', "\"\"");
    // Some spreadsheets take the wide forms of the signs for the same.
    let formula = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let guard = if visible.trim_start().starts_with(formula) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{visible}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_text() {
        #[track_caller]
        fn check(name: &str, cell: &str) {
            assert_eq!(text(name), cell);
        }
        check("src/main.rs", "\"src/main.rs\"");
        check("a,\"b\"", "\"a,\"\"b\"\"\"");
        check("a\r\nb\x1b", "\"a\\r\\nb\\u{1b}\"");
        check("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\"");
        check("\t=1", "\"\\t=1\"");
        check(" @SUM(1)", "\"' @SUM(1)\"");
        for formula in ["+1", "-1", "@a", "＝1"] {
            check(formula, &format!("\"'{formula}\""));
        }
        check("a=1", "\"a=1\"");
        check("", "\"\"");
    }
}
