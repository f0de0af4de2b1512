//! The memory of the process beside the series.

use std::io::{self, Write};

use serde_json::{Value, json};
use tracemalloc::{MemoryGrowth, ProcessMemory, Size};

/// Rows of the table: moments that are evenly spaced, the first and the last among them.
const ROWS: usize = 8;

/// Writes a table of the moments, and what explains the growth. Nothing if no snapshot knows more than
/// its live blocks.
pub(super) fn write(
    memory: &[ProcessMemory],
    growth: Option<MemoryGrowth>,
    width: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    if memory.iter().all(|moment| moment.resident.is_none()) {
        return Ok(());
    }
    writeln!(out, "Memory of the process\n")?;
    let rows = std::iter::once(headings(memory)).chain(spaced(memory.len()).map(|number| {
        let moment = &memory[number];
        let size =
            |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| Size(bytes).to_string());
        [
            at(memory, number),
            size(Some(moment.live)),
            size(moment.resident),
            size(moment.allocator),
            size(Some(moment.tracer)),
        ]
    }));
    let rows: Vec<[String; 5]> = rows.collect();
    let widths = [0, 1, 2, 3, 4].map(|column| {
        let lengths = rows.iter().map(|row| row[column].len());
        lengths.max().unwrap_or(0)
    });
    for row in &rows {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:>width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    writeln!(out)?;
    if let Some(growth) = growth {
        for line in wrapped(&sentence(&growth.to_string()), width) {
            writeln!(out, "{line}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(super) fn as_json(memory: &[ProcessMemory], growth: Option<MemoryGrowth>) -> Value {
    let moments = memory.iter().map(|moment| {
        json!({
            "taken_at": moment.taken_at,
            "live": moment.live,
            "resident": moment.resident,
            "allocator": moment.allocator,
            "tracer": moment.tracer,
        })
    });
    let growth = growth.map(|growth| {
        json!({
            "resident": growth.resident,
            "live": growth.live,
            "allocator": growth.allocator,
            "tracer": growth.tracer,
            "cause": growth.cause.name(),
            "text": growth.to_string(),
        })
    });
    json!({"moments": moments.collect::<Vec<_>>(), "growth": growth})
}

fn headings(memory: &[ProcessMemory]) -> [String; 5] {
    let first = match seconds(memory, 0) {
        Some(_) => "after",
        None => "snapshot",
    };
    [first, "live", "resident", "allocator", "tracer"].map(str::to_owned)
}

/// When the snapshot was taken, since the first one; its number where that is not known.
fn at(memory: &[ProcessMemory], number: usize) -> String {
    match seconds(memory, number) {
        Some(seconds) => format!("{seconds} s"),
        None => (number + 1).to_string(),
    }
}

/// `None` if it is not known of all, or all are of one second.
fn seconds(memory: &[ProcessMemory], number: usize) -> Option<u64> {
    let first = memory.first()?.taken_at?;
    let last = memory.last()?.taken_at?;
    let taken_at = memory.get(number)?.taken_at?;
    (last > first).then(|| taken_at.saturating_sub(first))
}

/// Up to [`ROWS`] numbers below `len`.
fn spaced(len: usize) -> impl Iterator<Item = usize> {
    let rows = len.min(ROWS);
    (0..rows).map(move |row| row * (len - 1) / (rows - 1).max(1))
}

fn sentence(text: &str) -> String {
    crate::flags::capitalised(text) + "."
}

/// The words of `text` in lines of `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_evenly_spaced() {
        let numbers = |len| spaced(len).collect::<Vec<_>>();
        assert_eq!(numbers(0), [0; 0]);
        assert_eq!(numbers(1), [0]);
        assert_eq!(numbers(3), [0, 1, 2]);
        assert_eq!(numbers(8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(15), [0, 2, 4, 6, 8, 10, 12, 14]);
    }

    #[test]
    fn lines_are_as_wide_as_there_is_room() {
        assert_eq!(
            wrapped("one two three four", 9),
            ["one two", "three", "four"]
        );
        assert_eq!(wrapped("longer words", 3), ["longer", "words"]);
    }
}
