use super::*;
use crate::snapshot::frame::Frame;
use crate::snapshot::trace::{Domain, Trace};

fn snapshot(blocks: &[(&str, u64)]) -> Snapshot {
    let trace = |&(file, size): &(&str, u64)| {
        Trace::new(Domain::HEAP, size, Traceback::of(Frame::new(file, 1)))
    };
    Snapshot::from_traces(blocks.iter().map(trace), 1)
}

#[track_caller]
fn check<T: fmt::Display>(found: &[T], texts: &[&str]) {
    let found: Vec<String> = found.iter().map(T::to_string).collect();
    assert_eq!(found, texts);
}

#[test]
fn equal_sizes_are_ordered_by_count_then_name_all_descending() {
    let snapshot = snapshot(&[("a", 4), ("b", 4), ("c", 2), ("c", 2), ("d", 0)]);
    check(
        &snapshot.statistics(GroupBy::Line),
        &[
            "c:1: size=4 B, count=2, average=2 B",
            "b:1: size=4 B, count=1, average=4 B",
            "a:1: size=4 B, count=1, average=4 B",
            "d:1: size=0 B, count=1, average=0 B",
        ],
    );
}

#[test]
fn changes_are_ordered_by_magnitude_and_keep_every_group() {
    let old = snapshot(&[("gone", 50), ("same", 7), ("less", 60)]);
    let new = snapshot(&[("same", 7), ("less", 10), ("more", 50)]);
    check(
        &new.compare_to(&old, GroupBy::Line).unwrap(),
        &[
            "more:1: size=50 B (+50 B), count=1 (+1), average=50 B",
            "less:1: size=10 B (-50 B), count=1 (+0), average=10 B",
            "gone:1: size=0 B (-50 B), count=0 (-1)",
            "same:1: size=7 B (+0 B), count=1 (+0), average=7 B",
        ],
    );
}

#[test]
fn sums_and_differences_stop_at_the_limits() {
    let huge = snapshot(&[("a", u64::MAX), ("a", u64::MAX)]);
    let none = snapshot(&[]);
    assert_eq!(huge.statistics(GroupBy::Line)[0].size, u64::MAX);
    let growth = huge.compare_to(&none, GroupBy::Line).unwrap();
    assert_eq!(growth[0].size_diff, i64::MAX);
    let fall = none.compare_to(&huge, GroupBy::Line).unwrap();
    assert_eq!(fall[0].size_diff, i64::MIN);
}

#[track_caller]
fn check_error<T: fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind);
    assert_eq!(error.to_string(), text);
}

#[test]
fn cumulative_by_traceback_is_an_error() {
    let snapshot = snapshot(&[]);
    let (kind, text) = (
        ErrorKind::CumulativeTraceback,
        "cumulative statistics cannot be grouped by traceback: \
         choose file, line, function or crate",
    );
    let key = GroupBy::Traceback;
    let counting = Counting::Cumulative;
    check_error(snapshot.statistics_with(key, counting), kind, text);
    let differences = snapshot.compare_with(&snapshot, key, counting);
    check_error(differences, kind, text);
    // A stack is one group, and each block of it counts there once.
    let inclusive = snapshot.statistics_with(key, Counting::Inclusive).unwrap();
    assert_eq!(inclusive, snapshot.statistics(key));
}

#[test]
fn snapshots_with_and_without_runtime_frames_do_not_compare() {
    let without = snapshot(&[]);
    let mut with = without.clone();
    with.recording.runtime_frames = true;
    let kind = ErrorKind::NotComparable;
    check_error(
        with.compare_to(&without, GroupBy::Line),
        kind,
        "cannot compare: the new snapshot was recorded with the frames of the standard \
         library, the old one without",
    );
    check_error(
        without.compare_with(&with, GroupBy::Line, Counting::Cumulative),
        kind,
        "cannot compare: the old snapshot was recorded with the frames of the standard \
         library, the new one without",
    );
    assert!(with.compare_to(&with, GroupBy::Line).is_ok());
}
