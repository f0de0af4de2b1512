//! No file is too long to read in one sitting.

use crate::source::Source;
use crate::{assert_none, repository};

/// Lines without tests.
const LIMIT: usize = 500;

fn violation(source: &Source) -> Option<String> {
    let lines = source.lines.len() - source.test_lines;
    (lines > LIMIT).then(|| format!("{}: {lines} lines, at most {LIMIT}", source.path))
}

#[test]
fn a_long_file_is_found() {
    let check = |text: &str| violation(&Source::new("src/a.rs", text));
    let code = "let a = 1;\n".repeat(LIMIT);
    assert_eq!(check(&code), None);
    let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert_eq!(check(&tests), None);
    assert_eq!(
        check(&format!("{code}\n")),
        Some(format!("src/a.rs: {} lines, at most {LIMIT}", LIMIT + 1))
    );
}

#[test]
fn files_are_short() {
    assert_none(repository::sources().iter().filter_map(violation).collect());
}
