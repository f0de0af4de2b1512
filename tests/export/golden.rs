//! Whole outputs, and what they promise in general.

use std::num::NonZeroU64;

use tracemalloc::report::{Csv, Dhat, Folded, Json, Pprof, Weight};
use tracemalloc::{Counting, Error, GroupBy, Snapshot, View};

use crate::profile::{Profile, Sample};
use crate::sample::{data, hostile, of, server, server_with_history};

pub(crate) fn text(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub(crate) fn folded(folded: Folded, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    folded.write(snapshot, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub(crate) fn dhat(snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    Dhat::new().write(snapshot, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn is_blessed() -> bool {
    std::env::var_os("TRACEMALLOC_BLESS").is_some()
}

#[track_caller]
fn check_golden(name: &str, found: &str) {
    let path = data("export").join(name);
    if is_blessed() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, expected.replace("\r\n", "\n"), "{name}");
}

/// The whole file, for the viewers of `.ci/consumers`.
#[track_caller]
fn check_snapshot(name: &str, snapshot: &Snapshot) {
    let path = data("export").join(name);
    if is_blessed() {
        snapshot.dump(&path).unwrap();
    }
    let kept = Snapshot::load(&path).unwrap();
    assert_eq!(kept.traces().unwrap(), snapshot.traces().unwrap());
    assert_eq!(
        Profile::of(&kept),
        Profile::of(snapshot),
        "exports are those of the original"
    );
}

fn loaded(name: &str) -> Snapshot {
    Snapshot::load(data(name)).unwrap()
}

#[test]
fn what_the_viewers_of_other_people_are_given() {
    check_snapshot("server.tmsnap.json.gz", &server(3));
    check_snapshot("server-old.tmsnap.json.gz", &server(1));
    check_snapshot("hostile.tmsnap.json.gz", &hostile());
}

#[test]
fn folded_stacks() {
    let (new, old) = (server(3), server(1));
    check_golden("bytes.folded", &folded(Folded::new(), &new));
    let blocks = Folded::new().weight(Weight::Blocks);
    check_golden("blocks.folded", &folded(blocks, &new));
    let diff = text(|out| Folded::new().write_diff(&new, &old, out));
    check_golden("diff.folded", &diff);
    let sampled = loaded("v1-sampled.tmsnap.json.gz");
    check_golden("sampled.folded", &folded(Folded::new(), &sampled));
    let diff = text(|out| Folded::new().write_diff(&sampled, &old, out));
    assert!(
        diff.lines()
            .all(|line| line.starts_with("[estimated from a sample];"))
    );
}

#[test]
fn dhat_profiles() {
    check_golden("dhat.json", &dhat(&server(3)));
    check_golden(
        "dhat-sampled.json",
        &dhat(&loaded("v1-sampled.tmsnap.json.gz")),
    );
}

#[test]
fn pprof_profiles() {
    check_golden("pprof.txt", &Profile::of(&server(3)).shown());
    let all_fields = loaded("v1-all-fields.tmsnap.json.gz");
    check_golden("pprof-all-fields.txt", &Profile::of(&all_fields).shown());
    let sampled = loaded("v1-sampled.tmsnap.json.gz");
    check_golden("pprof-sampled.txt", &Profile::of(&sampled).shown());
}

#[test]
fn pprof_profiles_with_full_paths() {
    let profile = Profile::written_by(Pprof::new().full_paths(true), &server(1));
    let shown = profile.shown();
    assert!(
        shown.contains("server::main \"/home/me/server/src/main.rs\":12:5"),
        "{shown}"
    );
    assert!(
        shown.contains("server::body::Buffer::push \"src/body.rs\":21:0"),
        "{shown}"
    );
}

/// Every frame is the one function of a location, and nothing else has changed.
#[test]
fn pprof_profiles_with_inlined_functions_apart() {
    let server = server(3);
    let (together, apart) = (
        Profile::of(&server),
        Profile::written_by(Pprof::new().separate_inlined(true), &server),
    );
    let functions = |profile: &Profile, sample: &Sample| -> Vec<String> {
        let locations = sample.location_id.iter().map(|id| profile.location(*id));
        let lines = locations.flat_map(|location| &location.line);
        let function = lines.map(|line| profile.function(line.function_id));
        function
            .map(|function| profile.text(function.name).to_owned())
            .collect()
    };
    assert!(
        together
            .location
            .iter()
            .any(|location| location.line.len() == 3)
    );
    assert!(
        apart
            .location
            .iter()
            .all(|location| location.line.len() == 1)
    );
    assert_eq!(together.sample.len(), apart.sample.len());
    for (one, other) in together.sample.iter().zip(&apart.sample) {
        assert_eq!(one.value, other.value);
        assert_eq!(functions(&together, one), functions(&apart, other));
    }
}

#[test]
fn statistics() {
    let (new, old) = (server(3), server(1));
    check_golden("lines.json", &text(|out| Json::new().write(&new, out)));
    check_golden("lines.csv", &text(|out| Csv::new().write(&new, out)));
    let stacks = GroupBy::Traceback;
    let found = text(|out| Json::new().group_by(stacks).limit(2).write(&new, out));
    check_golden("stacks-top-2.json", &found);
    check_golden(
        "stacks.csv",
        &text(|out| Csv::new().group_by(stacks).write(&new, out)),
    );
    check_golden(
        "diff.json",
        &text(|out| Json::new().limit(2).write_diff(&new, &old, out)),
    );
    check_golden(
        "diff.csv",
        &text(|out| Csv::new().limit(2).write_diff(&new, &old, out)),
    );
    let functions = GroupBy::Function;
    let found = text(|out| {
        Csv::new()
            .group_by(functions)
            .counting(Counting::Cumulative)
            .write(&new, out)
    });
    check_golden("functions-cumulative.csv", &found);
    let sampled = loaded("v1-sampled.tmsnap.json.gz");
    check_golden(
        "sampled.json",
        &text(|out| Json::new().write(&sampled, out)),
    );
    check_golden(
        "sampled-diff.csv",
        &text(|out| Csv::new().write_diff(&sampled, &new, out)),
    );
}

#[test]
fn cumulative_differences_are_those_of_the_snapshot() {
    let (new, old) = (server(3), server(1));
    let csv = Csv::new().counting(Counting::Cumulative);
    let rows = text(|out| csv.write_diff(&new, &old, out)).lines().count() - 1;
    let expected = new
        .compare_with(&old, GroupBy::Line, Counting::Cumulative)
        .unwrap();
    assert_eq!(rows, expected.len());
    let json = text(|out| {
        Json::new()
            .counting(Counting::Cumulative)
            .write_diff(&new, &old, out)
    });
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        document["differences"][0]["size_diff"],
        expected[0].size_diff
    );
    assert_eq!(document["counting"], "cumulative");
}

#[test]
fn free_functions_write_what_the_builders_write() {
    #[track_caller]
    fn check(
        function: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
        builder: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
    ) {
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        function(&mut found).unwrap();
        builder(&mut expected).unwrap();
        assert!(!found.is_empty() && found == expected);
    }
    let server = server(2);
    check(
        |out| Folded::new().write(&server, out),
        |out| Folded::new().write(&server, out),
    );
    check(
        |out| Pprof::new().write(&server, out),
        |out| Pprof::new().write(&server, out),
    );
    check(
        |out| Dhat::new().write(&server, out),
        |out| Dhat::new().write(&server, out),
    );
}

/// Hash maps inside must not show.
#[test]
fn equal_snapshots_make_equal_files() {
    let all = || {
        let mut out = Vec::new();
        let (new, old) = (server(3), hostile());
        Folded::new().write_diff(&new, &old, &mut out).unwrap();
        Pprof::new().write(&old, &mut out).unwrap();
        Dhat::new().write(&old, &mut out).unwrap();
        Json::new().write_diff(&new, &old, &mut out).unwrap();
        Csv::new().write_diff(&new, &old, &mut out).unwrap();
        out
    };
    let first = all();
    for _ in 0..5 {
        assert!(all() == first);
    }
}

#[test]
fn nothing_is_a_whole_file_too() {
    let none = of([]);
    assert_eq!(folded(Folded::new(), &none), "");
    assert_eq!(text(|out| Folded::new().write_diff(&none, &none, out)), "");
    check_golden("empty-dhat.json", &dhat(&none));
    check_golden("empty-pprof.txt", &Profile::of(&none).shown());
    check_golden("empty.json", &text(|out| Json::new().write(&none, out)));
    check_golden("empty.csv", &text(|out| Csv::new().write(&none, out)));
    check_golden(
        "empty-diff.csv",
        &text(|out| Csv::new().write_diff(&none, &none, out)),
    );
}

#[test]
fn a_limit_leaves_out_the_rest() {
    let server = server(3);
    let csv = text(|out| Csv::new().limit(0).write(&server, out));
    assert_eq!(csv.lines().count(), 1);
    let json = text(|out| Json::new().limit(0).write(&server, out));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["statistics"], serde_json::json!([]));
    assert_eq!(document["groups"], server.statistics(GroupBy::Line).len());
}

/// Estimates, not the records: 1024 bytes of a sample of 512 KiB stand for more than that.
#[test]
fn values_of_a_sample_are_estimates() {
    let sample = server(3).with_sample_every(NonZeroU64::new(512 << 10).unwrap());
    let profile = Profile::of(&sample);
    assert_eq!(profile.period, 512 << 10);
    let space: i64 = profile.sample.iter().map(|sample| sample.value[1]).sum();
    let estimate = i64::try_from(sample.total_size()).unwrap();
    // Each stack is rounded by itself.
    assert!((space - estimate).abs() <= 5, "{space} {estimate}");
    assert!(space > 2_000_000);
    let stacks = folded(Folded::new(), &sample);
    let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap();
    assert_eq!(stacks.lines().map(weight).sum::<i64>(), space);
}

/// Each kind of sum is there, and adds up to that of its view.
#[test]
fn profiles_with_history_hold_every_view() {
    let snapshot = server_with_history();
    check_golden("dhat-history.json", &dhat(&snapshot));
    let profile = Profile::of(&snapshot);
    check_golden("pprof-history.txt", &profile.shown());

    let view = |view| {
        let view = snapshot.view(view).unwrap();
        (view.total_size(), view.block_count())
    };
    let (live, peak, all) = (view(View::Live), view(View::AtPeak), view(View::Allocated));
    let sum = |value: usize| -> u64 {
        let values = profile.sample.iter().map(|sample| sample.value[value]);
        values.sum::<i64>().try_into().unwrap()
    };
    assert_eq!(((sum(1), sum(0)), (sum(3), sum(2))), (all, live));

    let dhat: serde_json::Value = serde_json::from_str(&dhat(&snapshot)).unwrap();
    let points = dhat["pps"].as_array().unwrap();
    let sum = |name: &str| -> u64 {
        points
            .iter()
            .map(|point| point[name].as_u64().unwrap())
            .sum()
    };
    assert_eq!((sum("tb"), sum("tbk")), all);
    assert_eq!((sum("gb"), sum("gbk")), peak);
    assert_eq!((sum("eb"), sum("ebk")), live);
    let rows = || snapshot.history().unwrap().map(|row| *row.2);
    assert_eq!(sum("tl"), rows().map(|row| row.lifetime).sum::<u64>());
    assert_eq!(sum("mb"), rows().map(|row| row.highest.size).sum::<u64>());
}

#[test]
fn exports_of_a_view_say_which() {
    let snapshot = server_with_history();
    for (view, values) in [
        (View::AtPeak, ["inuse_objects", "inuse_space"]),
        (View::Allocated, ["alloc_objects", "alloc_space"]),
        (View::Temporary, ["alloc_objects", "alloc_space"]),
    ] {
        let part = snapshot.view(view).unwrap();
        let profile = Profile::of(&part);
        let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].as_str();
        let names: Vec<&str> = profile
            .sample_type
            .iter()
            .map(|kind| text(kind.r#type))
            .collect();
        assert_eq!(names, values);
        assert_eq!(text(profile.default_sample_type), values[1]);
        let name = view.to_string();
        let comments: Vec<&str> = profile
            .comment
            .iter()
            .map(|&comment| text(comment))
            .collect();
        assert!(
            comments.iter().any(|text| text.to_lowercase() == name),
            "{comments:?}"
        );
        let space: i64 = profile.sample.iter().map(|sample| sample.value[1]).sum();
        assert_eq!(u64::try_from(space).unwrap(), part.total_size());

        let dhat: serde_json::Value = serde_json::from_str(&dhat(&part)).unwrap();
        assert_eq!(
            (&dhat["mode"], &dhat["bklt"]),
            (&name.into(), &false.into())
        );
        let json = text_of_json(&part);
        assert_eq!(json["snapshot"]["view"], view.name());
        assert_eq!(json["snapshot"]["size"], part.total_size());
        let stacks = folded(Folded::new(), &part);
        let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(stacks.lines().map(weight).sum::<u64>(), part.total_size());
    }
}

fn text_of_json(snapshot: &Snapshot) -> serde_json::Value {
    serde_json::from_str(&text(|out| Json::new().write(snapshot, out))).unwrap()
}
