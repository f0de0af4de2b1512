//! Source lines for the page, which are put into it when it is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::{Frame, lines_of};

/// Maximum number of frames with a source line.
const MAX_LINES: usize = 10_000;

/// Characters that are kept of a line.
const WIDTH: usize = 160;

/// The source line of each of the first frames, as far as it can be read: the frame's number and
/// the line.
///
/// A source file is read once and only its wanted lines are kept. What no source can be is not
/// opened.
pub(super) fn of<'a>(frames: impl IntoIterator<Item = (usize, &'a Frame)>) -> Vec<(usize, String)> {
    let with_line = frames
        .into_iter()
        .filter(|(_, frame)| frame.lineno() > 0 && !frame.is_named());
    let mut files: BTreeMap<&str, BTreeMap<u32, Vec<usize>>> = BTreeMap::new();
    for (number, frame) in with_line.take(MAX_LINES) {
        let path = frame.path().unwrap_or(frame.filename());
        let lines = files.entry(path).or_default();
        lines.entry(frame.lineno()).or_default().push(number);
    }
    let mut found = Vec::new();
    for (path, numbers) in files {
        let wanted: BTreeSet<u32> = numbers.keys().copied().collect();
        for (line, text) in lines_of(path, &wanted) {
            let text = shortened(&text);
            let numbers = numbers.get(&line).into_iter().flatten();
            found.extend(numbers.map(|number| (*number, text.clone())));
        }
    }
    found
}

fn shortened(line: &str) -> String {
    let line = line.replace('\t', " ");
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/html/sources.rs");

    #[test]
    fn lines_are_found_by_path_and_number() {
        let at = |line| Frame::new("short.rs", line).with_path(HERE);
        let frames = [at(1), at(2), at(0), at(u32::MAX), Frame::new("gone.rs", 1)];
        let named = Frame::named(HERE);
        let numbered = (7..).zip(frames.iter().chain([&named, &frames[0]]));
        let line = "//! Source lines for the page, which are put into it when it is written.";
        let expected = [(7, line.to_owned()), (13, line.to_owned())];
        assert_eq!(of(numbered), expected);
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let short = "ä".repeat(WIDTH);
        assert_eq!(shortened(&short), short);
        assert_eq!(shortened(&format!("{short}b")), format!("{short}…"));
        assert_eq!(shortened("a\tb"), "a b");
    }

    #[test]
    fn frames_beyond_the_bound_have_no_line() {
        let frame = Frame::new("short.rs", 1).with_path(HERE);
        let many = (0..MAX_LINES + 5).map(|number| (number, &frame));
        assert_eq!(of(many).len(), MAX_LINES);
    }
}
