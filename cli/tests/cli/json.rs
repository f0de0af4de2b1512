//! What programs read.

use serde_json::{Value, json};

use crate::folder::{folder, line, shop};
use crate::tool::{run, succeed};
use tracemalloc::{Counting, GroupBy, Snapshot};

fn parsed(text: &str) -> Value {
    let folder = folder();
    let text = line(&format!("{text} --format json"));
    serde_json::from_slice(&succeed(folder.path(), &text).out).unwrap()
}

fn total(rows: &Value, field: &str) -> u64 {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[field].as_u64().unwrap()).sum()
}

#[test]
fn groups_are_those_of_the_library() {
    let new = shop(52);
    for (flags, statistics) in [
        ("", new.statistics(GroupBy::Line)),
        ("--by crate", new.statistics(GroupBy::Crate)),
        (
            "--by crate --inclusive",
            new.statistics_with(GroupBy::Crate, Counting::Inclusive)
                .unwrap(),
        ),
    ] {
        let found = parsed(&format!("top @new --limit all {flags}"));
        let rows = found["statistics"].as_array().unwrap();
        let found: Vec<_> = rows
            .iter()
            .map(|row| (&row["filename"], &row["size"]))
            .collect();
        let expected: Vec<_> = statistics
            .iter()
            .map(|group| {
                let frame = group.traceback.most_recent();
                (json!(frame.filename()), json!(group.size))
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(name, size)| (name, size)).collect();
        assert_eq!(found, expected, "{flags}");
    }
    let blocks = parsed("top @new --sort blocks");
    assert_eq!(blocks["statistics"][0]["count"], 7 * 52);
}

#[test]
fn changes_are_those_of_the_library() {
    let found = parsed("diff @old @new -n 1");
    assert_eq!(found["differences"][0]["size_diff"], 12 * 1_480);
    assert_eq!(found["differences"].as_array().unwrap().len(), 1);
    let found = parsed("diff @new @old --limit all --sort growth");
    let rows = found["differences"].as_array().unwrap();
    assert_eq!(rows.last().unwrap()["size_diff"], -12 * 1_480);
}

#[test]
fn csv_has_a_row_for_each_group() {
    let folder = folder();
    for (text, column) in [("top @new", "size"), ("diff @old @new", "size_diff")] {
        let text = line(&format!("{text} --by crate --format csv"));
        let ran = succeed(folder.path(), &text);
        let mut table = csv::Reader::from_reader(&ran.out[..]);
        assert!(table.headers().unwrap().iter().any(|name| name == column));
        assert_eq!(table.records().map(Result::unwrap).count(), 4);
    }
}

#[test]
fn statistics_add_up() {
    let (found, new) = (parsed("stats @new"), shop(52));
    assert_eq!(found["size"], new.total_size());
    assert_eq!(found["count"], new.block_count());
    for part in ["size_classes", "domains", "crates"] {
        assert_eq!(total(&found[part], "size"), new.total_size(), "{part}");
        assert_eq!(total(&found[part], "count"), new.block_count(), "{part}");
    }
    assert_eq!(
        found["losses"],
        json!({"blocks": 0, "stacks": 0, "replaced": 0, "incomplete_stacks": 0, "history_events": 0, "labels": 0})
    );
    let all = parsed("stats @all -n 1");
    assert_eq!(all["crates"].as_array().unwrap().len(), 1);
    assert_eq!(
        all["losses"],
        json!({"blocks": 3, "stacks": 2, "replaced": 1, "incomplete_stacks": 0, "history_events": 0, "labels": 0})
    );
    assert_eq!(parsed("info @all")["losses"], all["losses"]);
    assert_eq!(parsed("top @all")["snapshot"]["losses"], all["losses"]);
    assert_eq!(parsed("stats @sampled")["sample_every"], 512 << 10);
}

/// Every call's bytes are those of its children and its own.
#[test]
fn a_tree_adds_up() {
    for flags in ["", "--inverted", "--by crate", "--inverted --by function"] {
        let tree = parsed(&format!("tree @new {flags}"));
        let calls = tree["calls"].as_array().unwrap();
        let size = |call: &Value| call["size"].as_u64().unwrap();
        let mut rest: Vec<u64> = calls.iter().map(size).collect();
        let mut roots = 0;
        for (index, call) in calls.iter().enumerate() {
            rest[index] -= call["own_size"].as_u64().unwrap();
            match call["parent"].as_u64() {
                Some(parent) => {
                    assert!((parent as usize) < index, "a parent comes first");
                    rest[parent as usize] -= size(call);
                }
                None => roots += size(call),
            }
        }
        assert!(rest.iter().all(|rest| *rest == 0), "{flags}");
        assert_eq!(roots, shop(52).total_size(), "{flags}");
        assert_eq!(tree["inverted"], flags.contains("inverted"));
    }
}

#[test]
fn info_has_what_the_file_says() {
    let found = parsed("info @all");
    for (field, expected) in [
        ("version", json!(1)),
        ("taken_at", json!(1_700_000_000_u64)),
        ("process_id", json!(4242)),
        ("traceback_limit", json!(25)),
        ("runtime_frames", json!(true)),
        ("records", json!(26)),
        ("peak", json!(9_600)),
    ] {
        assert_eq!(found[field], expected, "{field}");
    }
    assert_eq!(found["attributes"]["label"], "after warm-up");
    assert_eq!(found["modules"][1]["build_id"], "9f86d081884c7d65");
    let folder = folder();
    let path = folder.path().join("new.tmsnap.json.gz");
    let (_, header) = Snapshot::load_with_header(&path).unwrap();
    assert_eq!(parsed("info @new")["writer"], header.writer);
    assert_eq!(parsed("info @new")["bytes"], path.metadata().unwrap().len());
}

/// Each limit at its edge, and each form of a verdict.
#[test]
fn checks_are_exact() {
    let folder = folder();
    let (old, new) = (shop(40).total_size(), shop(52).total_size());
    let grown = new - old;
    #[track_caller]
    fn verdict(folder: &std::path::Path, text: &str) -> bool {
        let ran = run(folder, &line(&format!("check {text} --format json")));
        assert_eq!(ran.err, "", "{text}");
        let found: Value = serde_json::from_slice(&ran.out).unwrap();
        let passed = found["passed"].as_bool().unwrap();
        assert_eq!(ran.code, Some(i32::from(!passed)), "{text}");
        let limits = found["limits"].as_array().unwrap();
        assert_eq!(limits.iter().all(|limit| limit["passed"] == true), passed);
        assert_eq!(found["sites"].as_array().unwrap().is_empty(), passed);
        passed
    }
    let folder = folder.path();
    for (text, passed) in [
        (format!("@new --max-live {new}"), true),
        (format!("@new --max-live {}", new - 1), false),
        (format!("@new --base @old --max-growth {grown}"), true),
        (
            format!("@new --base @old --max-growth {}", grown - 1),
            false,
        ),
        ("@new --base @old --max-growth 100%".to_owned(), true),
        ("@new --base @old --max-growth 0.1%".to_owned(), false),
        ("@old --base @new --max-growth 0".to_owned(), true),
        ("@old --base @new --per-site 0%".to_owned(), true),
        (format!("@new --base @old --per-site {}", 12 * 1_480), true),
        (
            format!("@new --base @old --per-site {}", 12 * 1_480 - 1),
            false,
        ),
        ("@new --base @old --per-site 30%".to_owned(), true),
        ("@new --base @old --per-site 29.9%".to_owned(), false),
        ("@new --base @empty --per-site 1000%".to_owned(), false),
        (
            format!("@new --base @old --by crate --per-site {}", 12 * 1_544),
            true,
        ),
        (
            format!("@new --base @old --by crate --per-site {}", 12 * 1_544 - 1),
            false,
        ),
        (
            format!("@new --base @old --max-live {new} --per-site 1"),
            false,
        ),
        (
            "@new --base @old --crate shop_server --max-growth 0".to_owned(),
            true,
        ),
    ] {
        assert_eq!(verdict(folder, &text), passed, "{text}");
    }
}

#[test]
fn a_trend_has_its_evidence() {
    let found = parsed("trend @s1 @s2 @s3 @s4 @s5 @s6 @s7 @s8");
    assert_eq!(
        (&found["snapshots"], &found["seconds"]),
        (&json!(8), &Value::Null)
    );
    let suspects = found["suspects"].as_array().unwrap();
    assert_eq!(suspects.len(), 1);
    assert_eq!(suspects[0]["filename"], "src/cache.rs");
    assert_eq!(suspects[0]["lineno"], 91);
    assert_eq!(
        suspects[0]["kept"],
        json!({"size": 7 * 25 * 96, "count": 7 * 25})
    );
    assert_eq!(suspects[0]["live"].as_array().unwrap().len(), 8);
    assert_eq!(
        suspects[0]["generations"][3],
        json!({
            "kept": [2400, 25], "allocated": [96_000, 1_000], "share": 0.025,
        })
    );
    let evidence = suspects[0]["evidence"].as_str().unwrap();
    let share = "2.5% of the 7000 blocks allocated since is still live";
    assert!(evidence.contains(share), "{evidence}");
}

#[test]
fn a_trend_has_the_memory_of_the_process() {
    let found = parsed("trend @m1 @m2 @m3 @m4 @m5 @m6 @m7 @m8");
    let memory = &found["memory"];
    assert_eq!(memory["moments"].as_array().unwrap().len(), 8);
    assert_eq!(
        memory["moments"][7],
        json!({
            "taken_at": 1_700_000_480, "live": 12 << 20, "resident": 54 << 20,
            "allocator": 38 << 20, "tracer": 1 << 20,
        })
    );
    // From the second snapshot to the seventh.
    let growth = &memory["growth"];
    assert_eq!(growth["resident"], json!(15 << 20));
    assert_eq!(
        (&growth["live"], &growth["cause"]),
        (&json!(0), &json!("allocator"))
    );
    let unknown = parsed("trend @s1 @s2 @s3 @s4 @s5 @s6 @s7 @s8");
    assert_eq!(unknown["memory"]["growth"], Value::Null);
}
