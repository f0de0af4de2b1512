//! Aligns rows: numbers to the right, each column as wide as it must be, the place takes the rest.

use std::io::{self, Write};

use super::layout::Layout;
use super::style::Paint;
use super::visible;
use crate::report::function_name;

/// Columns before the lines that stand below a row.
const INDENT: usize = 6;
const GAP: &str = "  ";

/// Lines below a row up to which rows stand close together; beyond it blank lines set them apart.
const CLOSE: usize = 2;

/// Rows and the headings of their numbers.
pub(super) struct Table {
    pub(super) headings: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) numbers: Vec<Number>,
    pub(super) place: Line,
    /// Written below the row.
    pub(super) details: Vec<Line>,
}

pub(super) struct Number {
    pub(super) text: String,
    pub(super) paint: Paint,
}

impl Number {
    pub(super) fn new(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            paint: Paint::Normal,
        }
    }
}

/// A text and which part of it stays if it is too long.
pub(super) enum Line {
    Path(String),
    Function(String),
    Source(String),
    /// A frame of a stack: its place, and its function if there is room.
    Call(String, Option<String>),
    /// The source line of a call.
    CallSource(String),
}

/// The rows and an empty line below them.
pub(super) fn write(table: &Table, layout: Layout, out: &mut impl Write) -> io::Result<()> {
    write_rows(table, layout, out)?;
    writeln!(out)
}

pub(super) fn write_rows(table: &Table, layout: Layout, out: &mut impl Write) -> io::Result<()> {
    let rank_width = table.rows.len().to_string().len().max(3);
    let widths = widths(table);
    let mut heading = format!("{:>rank_width$}", "#");
    for (text, width) in table.headings.iter().zip(&widths) {
        heading += &format!("{GAP}{text:>width$}");
    }
    heading += GAP;
    let room = layout.width.saturating_sub(heading.chars().count());
    heading += "place";
    writeln!(out, "{}", layout.paint(Paint::Faint, &heading))?;
    let spaced = table.rows.iter().any(|row| row.details.len() > CLOSE);
    for (index, row) in table.rows.iter().enumerate() {
        if spaced && index > 0 {
            writeln!(out)?;
        }
        write!(out, "{:>rank_width$}", index + 1)?;
        for (number, width) in row.numbers.iter().zip(&widths) {
            // Padded before it is painted: a width would count the escape sequences.
            let padded = format!("{:>width$}", number.text);
            write!(out, "{GAP}{}", layout.paint(number.paint, &padded))?;
        }
        let place = row.place.fitted(room);
        writeln!(out, "{GAP}{}", layout.paint(Paint::Strong, &place))?;
        for detail in &row.details {
            let text = detail.fitted(layout.width - INDENT);
            writeln!(out, "{:INDENT$}{}", "", layout.paint(Paint::Faint, &text))?;
        }
    }
    Ok(())
}

fn widths(table: &Table) -> Vec<usize> {
    let mut widths: Vec<usize> = table
        .headings
        .iter()
        .map(|text| text.chars().count())
        .collect();
    for row in &table.rows {
        for (width, number) in widths.iter_mut().zip(&row.numbers) {
            *width = (*width).max(number.text.len());
        }
    }
    widths
}

impl Line {
    /// The text, visible and at most `room` characters long.
    pub(super) fn fitted(&self, room: usize) -> String {
        match self {
            Self::Path(text) => visible::keep_end(&visible::escaped(text), room).into(),
            Self::Function(text) => function_name::shortened(&visible::escaped(text), room).into(),
            Self::Source(text) => source(text, room),
            Self::Call(place, function) => call(place, function.as_deref(), room),
            Self::CallSource(text) => format!("{GAP}{}", source(text, room - GAP.len())),
        }
    }
}

fn source(text: &str, room: usize) -> String {
    let text = text.replace('\t', " ");
    visible::keep_start(&visible::escaped(&text), room).into()
}

fn call(place: &str, function: Option<&str>, room: usize) -> String {
    const MIN_FUNCTION: usize = 12;
    let place = visible::escaped(place);
    let place = visible::keep_end(&place, room);
    let left = room.saturating_sub(place.chars().count() + GAP.len());
    match function {
        Some(function) if left >= MIN_FUNCTION => {
            let function = visible::escaped(function);
            format!("{place}{GAP}{}", function_name::shortened(&function, left))
        }
        _ => place.into(),
    }
}
