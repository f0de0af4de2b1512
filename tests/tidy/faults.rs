//! Defects that slow checks put into copies of the sources: each replaces a text, which has to be there
//! still. Otherwise a change of the sources takes the check away, and it is noticed days later.

use std::fs;

use crate::assert_none;
use crate::repository::{root, texts};

#[path = "../programs/models/src/faults.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "the list is for another program too"
)]
mod models;

/// A file, or the end of its path, and the text in it that a defect replaces.
type Place = (String, String);

/// What does not occur exactly once in exactly one of `files`, which are paths and texts.
fn violations(places: &[Place], files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (end, old) in places {
        let files = files
            .iter()
            .filter(|(path, _)| path.ends_with(end.as_str()));
        let counts: Vec<usize> = files
            .map(|(_, text)| text.matches(old.as_str()).count())
            .collect();
        if counts != [1] {
            found.push(format!(
                "{end}: found {counts:?} times, a defect replaces it: {old}"
            ));
        }
    }
    found
}

/// The places in a script whose lines `inject FILE 'OLD' 'NEW'` put defects into a copy.
fn injected(script: &str) -> Vec<Place> {
    let calls = script.split("\n    inject ").skip(1);
    calls
        .map(|call| {
            let (file, rest) = call.split_once(" '").expect("a file and a text");
            let (old, _) = rest.split_once('\'').expect("the end of the text");
            (file.to_owned(), old.to_owned())
        })
        .collect()
}

#[test]
fn a_text_that_is_gone_or_there_twice_is_found() {
    let files = [
        ("src/a.rs".to_owned(), "one two two".to_owned()),
        ("src/b.rs".to_owned(), "one".to_owned()),
    ];
    let place = |end: &str, old: &str| (end.to_owned(), old.to_owned());
    assert_none(violations(
        &[place("a.rs", "one"), place("src/b.rs", "one")],
        &files,
    ));
    for wrong in [
        place("a.rs", "two"),
        place("a.rs", "three"),
        place("c.rs", "one"),
        place(".rs", "one"),
    ] {
        assert_eq!(violations(&[wrong], &files).len(), 1);
    }
    let script =
        "inject() {\n}\n    inject src/a.rs 'one\n  two' 'new'\n    inject src/b.rs 'x' \\\n 'y'\n";
    assert_eq!(
        injected(script),
        [place("src/a.rs", "one\n  two"), place("src/b.rs", "x")]
    );
}

#[test]
fn every_defect_of_a_slow_check_fits_the_sources() {
    let files = texts(&root().join("src"));
    let of_models = models::FAULTS
        .iter()
        .map(|fault| (fault.file.to_owned(), fault.old.to_owned()));
    let script = fs::read_to_string(root().join(".ci/fuzz")).expect("the script is there");
    let of_fuzzing = injected(&script);
    assert!(of_fuzzing.len() > 4, "the script's defects were not found");
    let places: Vec<Place> = of_models.chain(of_fuzzing).collect();
    assert_none(violations(&places, &files));
}
