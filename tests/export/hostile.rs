//! Names that could break a format: a third-party parser reads them back unchanged.

use std::collections::BTreeSet;

use serde_json::Value;
use tracemalloc::GroupBy;
use tracemalloc::report::{Csv, Folded, Json};

use crate::golden::{dhat, folded, text};
use crate::profile::Profile;
use crate::sample::{HOSTILE, hostile, server};

/// What may reach a terminal that prints the file.
#[track_caller]
fn check_visible(text: &str) {
    let steers = |c: char| c != '\n' && (c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c));
    assert!(!text.contains(steers), "{text:?}");
}

/// The name without what may not be seen, as every form but JSON shows it.
fn escaped(name: &str) -> String {
    let steers = |c: char| c.is_control() || ['\u{200b}', '\u{202e}'].contains(&c);
    let shown = name.chars().map(|c| match c {
        c if steers(c) => c.escape_default().to_string(),
        c => c.to_string(),
    });
    shown.collect()
}

/// As viewers are given it: there is always something to see.
fn visible(name: &str) -> String {
    match name.trim() {
        "" => "<unknown>".to_owned(),
        name => escaped(name),
    }
}

fn sizes() -> impl Iterator<Item = (&'static str, u64)> {
    HOSTILE.into_iter().zip(1..)
}

#[test]
fn folded_stacks_keep_their_frames_and_weights() {
    let found = folded(Folded::new(), &hostile());
    check_visible(&found);
    // Two names are blank, and their stacks one.
    assert_eq!(found.lines().count(), HOSTILE.len() - 1);
    let mut total = 0;
    for line in found.lines() {
        let (stack, weight) = line.rsplit_once(' ').unwrap();
        total += weight.parse::<u64>().unwrap();
        let frames: Vec<&str> = stack.split(';').collect();
        assert_eq!(frames.len(), 2, "{line:?}");
        assert_eq!((frames[0], line.trim()), ("app::main", line));
        // A second number would be the weight of an older snapshot.
        let last = stack.rsplit(' ').next().unwrap();
        assert!(last.parse::<f64>().is_err(), "{line:?}");
    }
    assert_eq!(total, hostile().total_size());
    for expected in [
        "app::main;ends with a number_640 11\n",
        "app::main;ends with two 3_4 12\n",
        "app::main;semi:colon <[u8: 4]>::read 3\n",
        "app::main;<unknown> 31\n",
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let diff = text(|out| Folded::new().write_diff(&hostile(), &server(1), out));
    for line in diff.lines() {
        let mut numbers = line.rsplitn(3, ' ');
        assert!(
            numbers
                .next()
                .is_some_and(|number| number.parse::<u64>().is_ok())
        );
        assert!(
            numbers
                .next()
                .is_some_and(|number| number.parse::<u64>().is_ok()),
            "{line:?}"
        );
    }
}

#[test]
fn dhat_profiles_keep_their_frames() {
    let found = dhat(&hostile());
    check_visible(&found);
    let document: Value = serde_json::from_str(&found).unwrap();
    let points = document["pps"].as_array().unwrap();
    let mut seen = BTreeSet::new();
    for point in points {
        let stack: Vec<u64> = point["fs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| frame.as_u64().unwrap())
            .collect();
        assert!(!stack.contains(&0), "the root is in no stack");
        assert!(seen.insert(stack), "a stack is there twice");
    }
    let frames = document["ftbl"].as_array().unwrap();
    for (name, _) in sizes() {
        let name = visible(name);
        let frame = format!("0x10: {name} ({name}:3)");
        assert!(
            frames.contains(&frame.as_str().into()),
            "{frame}: {frames:?}"
        );
    }
}

#[test]
fn pprof_profiles_keep_their_names() {
    let profile = Profile::of(&hostile());
    for text in &profile.string_table {
        assert!(!text.contains('\n'));
        check_visible(text);
    }
    assert_eq!(profile.sample.len(), HOSTILE.len());
    for (sample, (hostile, size)) in profile.sample.iter().zip(sizes()) {
        assert_eq!(sample.value, [1, i64::try_from(size).unwrap()]);
        let leaf = profile.location(sample.location_id[0]);
        let function = profile.function(leaf.line[0].function_id);
        let name = visible(hostile);
        assert_eq!(profile.text(function.name), name);
        assert_eq!(profile.text(function.filename), name);
        let mut mappings = profile.mapping.iter();
        let mapping = mappings
            .find(|mapping| mapping.id == leaf.mapping_id)
            .unwrap();
        assert_eq!(profile.text(mapping.filename), name);
        assert_eq!(profile.text(mapping.build_id), name);
        let comment = format!("{0}: {0}", escaped(hostile));
        assert!(
            profile
                .comment
                .iter()
                .any(|text| profile.text(*text) == comment)
        );
    }
}

#[test]
fn json_keeps_every_character() {
    let document = text(|out| {
        Json::new()
            .group_by(GroupBy::Traceback)
            .write(&hostile(), out)
    });
    // Also those that mean something on a terminal: JSON has escapes for control characters.
    assert!(!document.contains('\x1b') && !document.contains('\0'));
    let document: Value = serde_json::from_str(&document).unwrap();
    for (name, size) in sizes() {
        let mut groups = document["statistics"].as_array().unwrap().iter();
        let group = groups.find(|group| group["size"] == size).unwrap();
        assert_eq!(group["filename"], name);
        assert_eq!(group["function"], name);
        assert_eq!(group["crate"], name);
        assert_eq!(group["traceback"][0]["filename"], "app::main");
        assert_eq!(group["traceback"][1]["path"], name);
        assert_eq!(document["snapshot"]["attributes"][name], name);
    }
}

/// The rows by their size, read by the parser of another crate.
fn csv_rows(document: &str) -> Vec<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new().from_reader(document.as_bytes());
    reader.records().collect::<Result<_, _>>().unwrap()
}

#[test]
fn csv_cells_are_texts_and_no_formulas() {
    let document = text(|out| {
        Csv::new()
            .group_by(GroupBy::Traceback)
            .write(&hostile(), out)
    });
    check_visible(&document);
    let rows = csv_rows(&document);
    // A row is a line, for tools that know nothing of quotes.
    assert_eq!(rows.len(), document.lines().count() - 1);
    for (name, size) in sizes() {
        let mut rows = rows.iter();
        let row = rows.find(|row| row[4] == *size.to_string()).unwrap();
        let shown = escaped(name);
        let cell = match name.chars().next() {
            Some('=' | '+' | '-' | '@') => format!("'{shown}"),
            _ => shown.clone(),
        };
        assert_eq!([&row[0], &row[2], &row[3]], [&*cell; 3]);
        assert_eq!((&row[1], &row[5]), ("3", "1"));
        let stack = format!("app::main;{}:3", shown.replace(';', ":"));
        assert_eq!(row[6], stack);
        for cell in [&row[0], &row[2], &row[3], &row[6]] {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{cell:?}"
            );
        }
    }
}

/// A negative number is a number: a text it would be useless as.
#[test]
fn csv_differences_are_numbers() {
    let diff = text(|out| Csv::new().write_diff(&server(1), &server(3), out));
    let rows = csv_rows(&diff);
    let first = &rows[0];
    assert_eq!((&first[5], &first[7]), ("-1280", "-2"));
}
