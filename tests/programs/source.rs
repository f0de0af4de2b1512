//! Lines of a program's source that comments mark: `// at PLACE: DEPTH…`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The marked lines of each place by depth, the oldest first.
pub(crate) struct Marks(BTreeMap<String, BTreeMap<usize, String>>);

impl Marks {
    /// Reads the marks of the file at `path`, which tracebacks call `shown`.
    #[track_caller]
    pub(crate) fn read(path: &Path, shown: &str) -> Self {
        let source = fs::read_to_string(path).expect("the source is there");
        let mut places: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
        for (number, line) in (1..).zip(source.lines()) {
            let Some((place, depths)) = mark(line) else {
                continue;
            };
            let lines = places.entry(place.to_owned()).or_default();
            for depth in depths.split_whitespace() {
                let depth = depth.parse().expect("a mark's depth is a number");
                let before = lines.insert(depth, format!("{shown}:{number}"));
                assert_eq!(before, None, "{place} has two lines at depth {depth}");
            }
        }
        for (place, lines) in &places {
            assert!(
                lines.keys().copied().eq(0..lines.len()),
                "{place} lacks a depth"
            );
        }
        assert!(!places.is_empty(), "no line is marked");
        Self(places)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The lines of a traceback at `place`, oldest first, as `FILE:LINE`.
    pub(crate) fn lines(&self, place: &str) -> Vec<&str> {
        let lines = self.0.get(place).into_iter().flatten();
        lines.map(|(_, line)| line.as_str()).collect()
    }
}

fn mark(line: &str) -> Option<(&str, &str)> {
    let (_, mark) = line.split_once(" // at ")?;
    mark.split_once(": ")
}
