//! Files for other programs.

use std::fs;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;
use tracemalloc::report::{Csv, Dhat, Folded, Html, Json, Pprof, Weight};
use tracemalloc::{Filter, FrameFilter, GroupBy, Snapshot};

use crate::folder::{folder, line, shop};
use crate::tool::{run, succeed};

fn exported(text: &str) -> Vec<u8> {
    let folder = folder();
    succeed(folder.path(), &line(text)).out
}

fn written<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}

#[test]
fn exports_are_the_librarys() {
    let new = shop(52);
    let stacks = GroupBy::Traceback;
    for (flags, expected) in [
        ("pprof", written(|out| Pprof::new().write(&new, out))),
        ("folded", written(|out| Folded::new().write(&new, out))),
        (
            "folded --weight blocks",
            written(|out| Folded::new().weight(Weight::Blocks).write(&new, out)),
        ),
        ("dhat", written(|out| Dhat::new().write(&new, out))),
        (
            "json",
            written(|out| Json::new().group_by(stacks).write(&new, out)),
        ),
        (
            "csv",
            written(|out| Csv::new().group_by(stacks).write(&new, out)),
        ),
    ] {
        let found = exported(&format!("export @new --format {flags} -o -"));
        assert_eq!(found, expected, "{flags}");
    }
    let kept = new.filter_traces([Filter::include(FrameFilter::crate_name("shop"))]);
    assert_eq!(
        exported("export @new --crate shop --format folded"),
        written(|out| Folded::new().write(&kept, out))
    );
    let mut profile = Vec::new();
    let pprof = exported("export @new --format pprof");
    GzDecoder::new(&pprof[..])
        .read_to_end(&mut profile)
        .unwrap();
    assert!(profile.windows(11).any(|window| window == b"src/main.rs"));
    let dhat: Value = serde_json::from_slice(&exported("export @new --format dhat")).unwrap();
    assert_eq!(dhat["dhatFileVersion"], 2);
}

#[test]
fn the_page_is_the_librarys() {
    let (old, new) = (shop(40), shop(52));
    assert_eq!(
        exported("report @new --title Orders --no-source"),
        written(|out| Html::new()
            .title("Orders")
            .source_lines(false)
            .write(&new, out))
    );
    assert_eq!(
        exported("report @new --diff @old --no-source"),
        written(|out| Html::new().source_lines(false).write_diff(&new, &old, out))
    );
}

/// Sources are read from the folder that the tool runs in.
#[test]
fn the_page_has_source_lines_unless_they_are_unwanted() {
    let folder = folder();
    fs::create_dir(folder.path().join("src")).unwrap();
    let text = "    // The line that allocates.\n".repeat(100);
    fs::write(folder.path().join("src/main.rs"), text).unwrap();
    for (flag, expected) in [("", true), ("--no-source", false)] {
        let page = succeed(folder.path(), &line(&format!("report @new {flag}"))).text();
        assert_eq!(
            page.contains("The line that allocates."),
            expected,
            "{flag}"
        );
    }
}

/// Boxes of the picture, by what stands in their titles.
fn titles(text: &str) -> Vec<String> {
    let picture = String::from_utf8(exported(text)).unwrap();
    assert!(picture.starts_with("<?xml"), "{text}");
    assert!(picture.ends_with("</svg>"), "{text}");
    let titles = picture.split("<title>").skip(1);
    titles
        .map(|title| title.split("</title>").next().unwrap().to_owned())
        .collect()
}

#[test]
fn flame_graphs_have_the_stacks() {
    let new = shop(52);
    let all = |unit: &str, amount: u64| {
        let mut digits = amount.to_string();
        let mut at = digits.len();
        while at > 3 {
            at -= 3;
            digits.insert(at, ',');
        }
        format!("all ({digits} {unit}, 100%)")
    };
    let bytes = titles("flamegraph @new");
    assert!(bytes.contains(&all("bytes", new.total_size())), "{bytes:?}");
    assert!(
        bytes
            .iter()
            .any(|title| title.starts_with("shop_server::serve ("))
    );
    let blocks = titles("flamegraph @new --weight blocks --inverted");
    assert!(
        blocks.contains(&all("blocks", new.block_count())),
        "{blocks:?}"
    );
    let difference = titles("flamegraph @new --diff @old");
    let grown = |title: &&String| title.starts_with("shop::orders::read_orders (");
    assert!(
        difference.iter().find(grown).unwrap().contains("; +"),
        "{difference:?}"
    );
    // Equal snapshots give equal pictures.
    assert_eq!(exported("flamegraph @new"), exported("flamegraph @new"));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let folder = folder();
    let huge = |name: &str, size| {
        let block = tracemalloc::Trace::new(
            tracemalloc::Domain::HEAP,
            size,
            tracemalloc::Traceback::unknown(),
        );
        let path = folder.path().join(format!("{name}.tmsnap.json.gz"));
        Snapshot::from_traces([block], 1).dump(path).unwrap();
    };
    huge("zero", 0);
    huge("huge", u64::MAX);
    for (text, message) in [
        (
            "flamegraph @empty -o a.svg",
            "empty.tmsnap.json.gz: no memory to draw",
        ),
        (
            "flamegraph @new --crate none -o a.svg",
            "new.tmsnap.json.gz: no memory to draw",
        ),
        (
            "flamegraph @empty --diff @new -o a.svg",
            "empty.tmsnap.json.gz: no memory to draw",
        ),
        (
            "flamegraph @zero -o a.svg",
            "zero.tmsnap.json.gz: no memory to draw",
        ),
        (
            "flamegraph @huge -o a.svg",
            "huge.tmsnap.json.gz: too much memory to draw",
        ),
        (
            "flamegraph @new --diff @huge -o a.svg",
            "new.tmsnap.json.gz: too much memory to draw",
        ),
    ] {
        let ran = run(folder.path(), &line(text));
        assert_eq!(ran.code, Some(2), "{text}");
        assert!(
            ran.err.contains(&format!("error: {message}")),
            "{text}: {}",
            ran.err
        );
    }
    assert!(fs::metadata(folder.path().join("a.svg")).is_err());
}
