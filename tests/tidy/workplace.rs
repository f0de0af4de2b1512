//! The product names no folder of the machine that it is written on.

use crate::{assert_none, repository};

/// Put together here, so that this file does not hold them.
fn forbidden() -> [String; 4] {
    ["/work", "/root", "/tmp", "../shared"].map(|folder| format!("{folder}/"))
}

fn violations(path: &str, text: &str) -> Vec<String> {
    let forbidden = forbidden();
    let found = (1..)
        .zip(text.lines())
        .flat_map(|(number, line): (usize, _)| {
            let folders = forbidden.iter().filter(|folder| line.contains(*folder));
            let shown = folders.map(move |folder| format!("{path}:{number}: {folder}"));
            shown.collect::<Vec<_>>()
        });
    found.collect()
}

#[test]
fn a_folder_of_the_machine_is_found() {
    for folder in forbidden() {
        assert_eq!(
            violations("docs/a.md", &format!("\nsee {folder}b")),
            [format!("docs/a.md:2: {folder}")]
        );
    }
    assert_none(violations("docs/a.md", "work/root tmp shared"));
}

#[test]
fn no_folder_of_the_machine_is_named() {
    let texts = repository::texts(repository::root());
    assert!(texts.iter().any(|(path, _)| path == "Cargo.toml"));
    assert!(texts.iter().any(|(path, _)| path.starts_with("tests/")));
    let violations = texts.iter().flat_map(|(path, text)| violations(path, text));
    assert_none(violations.collect());
}
