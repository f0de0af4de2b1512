//! Runs the conformance cases of `tests/vectors/cases`, or of the folder that the variable
//! `TRACEMALLOC_VECTORS` names: the questions a snapshot answers, with the answers that CPython's
//! own `tracemalloc` gives. `tests/vectors/FORMAT.md` describes the files.

#[path = "vectors/case.rs"]
mod case;
#[path = "vectors/sections.rs"]
mod sections;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use case::{Case, Outcome};
use sections::SECTIONS;

/// Rows with these tags ask for what this crate leaves out on purpose: `.pyc` names are Python's.
const SKIPPED_TAGS: [&str; 1] = ["pyc"];
/// Sections whose answers were made on Unix. Windows spells a file name in many ways, and a filter
/// there takes them for one, as CPython's does; `src/snapshot/filter.rs` tests that.
const UNIX_SECTIONS: [&str; 2] = ["filters", "match"];
const KNOWN_TAGS: [&str; 5] = ["pyc", "class", "negative_limit", "sources", "random"];

#[derive(Debug, Default)]
struct Tally {
    files: usize,
    sections: usize,
    checked: BTreeMap<&'static str, usize>,
    skipped: BTreeMap<String, usize>,
    failures: Vec<String>,
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are the test's report")]
fn answers_are_those_of_cpython() {
    let folder = env::var_os("TRACEMALLOC_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cases"),
        PathBuf::from,
    );
    let files = case_files(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut tally = Tally::default();
    for file in &files {
        if let Err(error) = run_file(file, &mut tally) {
            tally.failures.push(format!("{}: {error}", file.display()));
        }
    }
    println!("{} files, {} sections", tally.files, tally.sections);
    println!("rows checked: {:?}", tally.checked);
    println!("rows skipped: {:?}", tally.skipped);

    let shown = tally.failures.iter().take(20).cloned();
    let shown = shown.collect::<Vec<_>>().join("\n");
    let failures = tally.failures.len();
    assert_eq!(
        failures, 0,
        "{failures} failures, the first of them:\n{shown}"
    );
    assert!(!files.is_empty(), "no case in {}", folder.display());
    assert_eq!(tally.files, files.len());
    assert_eq!(tally.sections, files.len() * SECTIONS.len());
    assert!(tally.checked.values().sum::<usize>() > 0);
}

fn case_files(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn run_file(path: &Path, tally: &mut Tally) -> Result<(), String> {
    let sections: BTreeSet<&str> = SECTIONS.iter().map(|section| section.name).collect();
    let case = Case::read(path, &sections)?;
    tally.files += 1;
    check_tags(&case::texts(case.section("tags")?)?)?;
    for section in &SECTIONS {
        let rows = case.section(section.name)?;
        let outcomes =
            (section.run)(&case, rows).map_err(|error| format!("{}: {error}", section.name))?;
        if outcomes.is_empty() && !rows.as_array().is_none_or(Vec::is_empty) {
            return Err(format!("{}: not run", section.name));
        }
        tally.sections += 1;
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let place = format!("{}: {}[{number}]", path.display(), section.name);
            judge(&place, section.name, &outcome, tally);
        }
    }
    Ok(())
}

fn judge(place: &str, section: &'static str, outcome: &Outcome, tally: &mut Tally) {
    if let Err(error) = check_tags(&outcome.tags) {
        tally.failures.push(format!("{place}: {error}"));
    }
    let skipped = |tag: &&String| SKIPPED_TAGS.contains(&tag.as_str());
    if let Some(tag) = outcome.tags.iter().find(skipped) {
        *tally.skipped.entry(tag.clone()).or_default() += 1;
        return;
    }
    if cfg!(windows) && UNIX_SECTIONS.contains(&section) {
        *tally.skipped.entry("on Windows".to_owned()).or_default() += 1;
        return;
    }
    *tally.checked.entry(section).or_default() += 1;
    if outcome.expected != outcome.found {
        tally.failures.push(format!(
            "{place}:\n  expected {}\n  found    {}",
            outcome.expected, outcome.found
        ));
    }
}

fn check_tags(tags: &[String]) -> Result<(), String> {
    match tags.iter().find(|tag| !KNOWN_TAGS.contains(&tag.as_str())) {
        Some(tag) => Err(format!("unknown tag {tag:?}")),
        None => Ok(()),
    }
}
