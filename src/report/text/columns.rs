//! Numbers in columns, each as wide as it must be, and a text behind them.

use std::io::{self, Write};

use super::layout::Layout;
use super::style::Paint;

const GAP: &str = "  ";

/// Rows under headings. Numbers stand to the right of their column; the text behind them is cut to
/// the rest of the line by its caller, who asks [`Columns::room`].
pub(super) struct Columns {
    headings: Vec<&'static str>,
    rows: Vec<(Vec<String>, String)>,
}

impl Columns {
    /// The last heading is that of the text.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, numbers: Vec<String>, text: String) {
        self.rows.push((numbers, text));
    }

    /// Characters that a text may have behind columns of these numbers.
    pub(super) fn room(
        layout: Layout,
        headings: &[&'static str],
        numbers: &[Vec<String>],
    ) -> usize {
        let taken: usize = widths(headings, numbers.iter()).iter().sum();
        let gaps = GAP.len() * headings.len();
        layout.width.saturating_sub(taken + gaps)
    }

    pub(super) fn write(&self, layout: Layout, out: &mut impl Write) -> io::Result<()> {
        let numbers = self.rows.iter().map(|(numbers, _)| numbers);
        let widths = widths(&self.headings, numbers);
        let (text, numbers) = match self.headings.split_last() {
            Some((text, numbers)) => (*text, numbers),
            None => return Ok(()),
        };
        let heading = line(numbers.iter().copied(), &widths, text);
        writeln!(out, "{}", layout.paint(Paint::Faint, &heading))?;
        for (numbers, text) in &self.rows {
            let line = line(numbers.iter().map(String::as_str), &widths, text);
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

/// The widths of the columns of numbers.
fn widths<'a>(
    headings: &[&'static str],
    rows: impl Iterator<Item = &'a Vec<String>>,
) -> Vec<usize> {
    let columns = headings.len().saturating_sub(1);
    let headings = headings.iter().take(columns);
    let mut widths: Vec<usize> = headings.map(|text| text.chars().count()).collect();
    for row in rows {
        for (width, number) in widths.iter_mut().zip(row) {
            *width = (*width).max(number.chars().count());
        }
    }
    widths
}

fn line<'a>(numbers: impl Iterator<Item = &'a str>, widths: &[usize], text: &str) -> String {
    let mut line = String::new();
    for (number, width) in numbers.zip(widths) {
        line += &format!("{GAP}{number:>width$}");
    }
    line += GAP;
    line += text;
    line.truncate(line.trim_end().len());
    line
}
