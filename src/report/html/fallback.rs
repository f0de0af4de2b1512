//! The table that a reader without scripts sees.

use std::io::{self, Write};

use super::escape::Escaped;
use super::header::{grouped, signed, signed_size};
use crate::snapshot::{Frame, Size, Statistic, StatisticDiff};

/// Rows that are shown.
const ROWS: usize = 20;

/// The largest lines of one snapshot, of own code if `own_code`. `total` is its size in bytes.
pub(super) fn write(
    statistics: &[Statistic],
    total: u64,
    own_code: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let what = match own_code {
        true => "largest lines of own code",
        false => "largest lines",
    };
    let caption = caption(what, statistics.len());
    begin(&caption, &["Size", "Share", "Blocks"], out)?;
    for statistic in statistics.iter().take(ROWS) {
        let share = 100.0 * statistic.size as f64 / total.max(1) as f64;
        let numbers = [
            Size(statistic.size).to_string(),
            format!("{share:.1}%"),
            grouped(statistic.count),
        ];
        write_row(&numbers, statistic.traceback.most_recent(), out)?;
    }
    end(out)
}

/// The lines that changed most between two snapshots, of own code if `own_code`.
pub(super) fn write_diff(
    diffs: &[StatisticDiff],
    own_code: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let what = match own_code {
        true => "lines of own code that changed most",
        false => "lines that changed most",
    };
    let changed = |diff: &&StatisticDiff| diff.size_diff != 0 || diff.count_diff != 0;
    let diffs: Vec<&StatisticDiff> = diffs.iter().filter(changed).collect();
    let caption = caption(what, diffs.len());
    begin(&caption, &["±Size", "Size", "±Blocks", "Blocks"], out)?;
    for diff in diffs.into_iter().take(ROWS) {
        let numbers = [
            signed_size(diff.size_diff),
            Size(diff.size).to_string(),
            signed(diff.count_diff),
            grouped(diff.count),
        ];
        write_row(&numbers, diff.traceback.most_recent(), out)?;
    }
    end(out)
}

fn caption(what: &str, rows: usize) -> String {
    let shown = rows.min(ROWS);
    format!("The {shown} {what} of {rows}. With JavaScript the page shows all, and a flame graph.")
}

fn begin(caption: &str, headings: &[&str], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<table>\n<caption>{caption}</caption>\n<thead><tr>")?;
    for heading in headings {
        writeln!(out, "<th scope=\"col\" class=\"number\">{heading}</th>")?;
    }
    writeln!(out, "<th scope=\"col\">Place</th>\n</tr></thead>\n<tbody>")
}

fn write_row(numbers: &[String], place: &Frame, out: &mut impl Write) -> io::Result<()> {
    write!(out, "<tr>")?;
    for number in numbers {
        write!(out, "<td class=\"number\">{number}</td>")?;
    }
    let name = if place.lineno() == 0 {
        place.filename().to_owned()
    } else {
        place.to_string()
    };
    write!(out, "<td>{}", Escaped(&name))?;
    if let Some(function) = place.function().filter(|function| *function != name) {
        write!(out, "<br><small>{}</small>", Escaped(function))?;
    }
    writeln!(out, "</td></tr>")
}

fn end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</tbody>\n</table>")
}
