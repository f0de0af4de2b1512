//! A test that a document names is there: a row that rests on a test which nobody runs any more says
//! nothing.

use std::collections::HashSet;

use crate::{assert_none, repository};

/// The functions of tests and of the crate, by where they are, and the names of files.
struct Functions(HashSet<(String, String)>);

impl Functions {
    /// `files`: paths from the root of the repository, and texts.
    fn of(files: &[(String, String)]) -> Self {
        let mut found = HashSet::new();
        for (path, text) in files {
            // An example or a case that is data has the name of its file.
            let file = path.rsplit('/').next().unwrap_or(path);
            let stem = file.split('.').next().unwrap_or(file);
            found.insert((String::new(), stem.to_owned()));
            if !path.ends_with(".rs") {
                continue;
            }
            for (_, after) in text
                .match_indices("fn ")
                .map(|(at, _)| text.split_at(at + 3))
            {
                let name = after.split(['(', '<']).next().unwrap_or_default();
                if !name.is_empty() && is_name(name) {
                    found.insert((path.clone(), name.to_owned()));
                }
            }
        }
        Self(found)
    }

    /// `h:NAME` is in `tests/hostile`, `l:NAME` in `tests/live`, `NAME` anywhere.
    fn hold(&self, name: &str) -> bool {
        let (folder, name) = match name.split_once(':') {
            Some(("h", name)) => ("tests/hostile/", name),
            Some(("l", name)) => ("tests/live/", name),
            _ => ("", name),
        };
        let mut functions = self.0.iter();
        functions.any(|(path, function)| path.starts_with(folder) && function == name)
    }
}

/// Names of Python's own, such as `__slots__`, begin with an underscore.
fn is_name(text: &str) -> bool {
    !text.starts_with('_')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// How many underscores: names of tests have several.
fn underscores(text: &str) -> usize {
    text.matches('_').count()
}

/// The last column of a table's rows, headings and lines between them left out.
fn shown_by(line: &str) -> Option<&str> {
    let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit(" | ");
    let last = cells.next()?;
    let is_row = cells.count() == 3 && last != "shown by" && !last.starts_with("---");
    is_row.then_some(last)
}

/// What is named in the document and is not there. Long names are those of tests wherever they stand;
/// in the tables of what tests show, all are.
fn violations(
    path: &str,
    text: &str,
    functions: &Functions,
    is_file: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut violations = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut missing = |name: &str| violations.push(format!("{path}:{number}: no {name}"));
        let long = quoted(line).filter(|name| is_name(name) && underscores(name) >= 3);
        long.filter(|name| !functions.hold(name))
            .for_each(&mut missing);
        let Some(cell) = shown_by(line) else {
            continue;
        };
        if cell.is_empty() {
            missing("test");
        }
        for name in quoted(cell) {
            let test = name.trim_start_matches("h:").trim_start_matches("l:");
            let is_there = if is_name(test) && underscores(test) >= 1 {
                underscores(name) >= 3 && test == name || functions.hold(name)
            } else {
                !name.contains('/') || name.contains(' ') || is_file(name)
            };
            if !is_there {
                missing(name);
            }
        }
    }
    violations
}

#[test]
fn a_name_of_nothing_is_found() {
    let files = [
        ("tests/hostile/a.rs", "fn one_two_three_four() {}"),
        ("tests/live/b.rs", "    fn five_six() {}"),
        ("src/c.rs", "fn seven_eight<T>(t: T) {}"),
        ("examples/over_there.rs", ""),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()));
    let functions = Functions::of(&files);
    let check = |text: &str, found: &[&str]| {
        let is_file = |path: &str| path == "tests/d.rs";
        assert_eq!(violations("a.md", text, &functions, is_file), found);
    };
    check("Runs `one_two_three_four` and `no_function`.", &[]);
    check(
        "Runs `one_two_three_five`.",
        &["a.md:1: no one_two_three_five"],
    );
    check("Python's `__slots__` and `__dict__`.", &[]);
    check("| | a | b | shown by |\n| --- | --- | --- | --- |", &[]);
    check(
        "| A1 | a | b | `h:one_two_three_four`, `l:five_six`, `seven_eight`, `tests/d.rs`, `over_there` |",
        &[],
    );
    check(
        "| A1 | a | `not_a_test` | `l:one_two_three_four`, `h:five_six`, `nine_ten`, `tests/e.rs` |",
        &[
            "a.md:1: no l:one_two_three_four",
            "a.md:1: no h:five_six",
            "a.md:1: no nine_ten",
            "a.md:1: no tests/e.rs",
        ],
    );
    check("| A1 | a | b |  |", &["a.md:1: no test"]);
}

#[test]
fn what_documents_name_is_there() {
    let folders = ["benches", "cli", "examples", "fuzz", "src", "tests"];
    let files: Vec<_> = folders
        .iter()
        .flat_map(|folder| repository::texts(&repository::root().join(folder)))
        .collect();
    let functions = Functions::of(&files);
    let documents = repository::texts(&repository::root().join("docs"));
    let documents = documents.iter().filter(|(path, _)| path.ends_with(".md"));
    let is_file = |path: &str| repository::root().join(path).exists();
    let found = documents.flat_map(|(path, text)| violations(path, text, &functions, is_file));
    assert_none(found.collect());
}
