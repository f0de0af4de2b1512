use std::num::NonZeroU64;

use super::*;
use crate::snapshot::{CallOrder, Counting, Filter, Frame, GroupBy, Statistic, Trace, Traceback};

fn stack(names: &[&str]) -> Traceback {
    let frames = names.iter().zip(1..).map(|(name, line)| {
        Frame::new(format!("{name}.rs"), line).with_function(format!("app::{name}"))
    });
    Traceback::from_oldest_first(frames).unwrap()
}

fn history(at_peak: (u64, u64), allocated: (u64, u64), temporary: (u64, u64)) -> StackHistory {
    let sum = |(size, count)| BlockSum::new(size, count);
    StackHistory {
        at_peak: sum(at_peak),
        allocated: sum(allocated),
        temporary: sum(temporary),
        ..StackHistory::default()
    }
}

/// 24 bytes are live, 7 of them of another domain.
fn snapshot() -> Snapshot {
    let (read, log) = (stack(&["main", "read"]), stack(&["main", "log"]));
    let live = [
        Trace::new(Domain::HEAP, 17, read.clone()),
        Trace::new(Domain(3), 7, stack(&["main", "map"])),
    ];
    Snapshot::from_traces(live, 25).with_history([
        (read, Domain::HEAP, history((103, 10), (1_000, 40), (3, 2))),
        (
            log.clone(),
            Domain::HEAP,
            history((50, 1), (500, 10), (500, 10)),
        ),
        (log, Domain(3), history((0, 0), (5, 1), (0, 0))),
    ])
}

fn shown(statistics: Vec<Statistic>) -> Vec<(String, u64, u64)> {
    let name = |group: &Statistic| group.traceback.most_recent().filename().to_owned();
    statistics
        .iter()
        .map(|group| (name(group), group.size, group.count))
        .collect()
}

#[track_caller]
fn check(view: View, groups: &[(&str, u64, u64)]) {
    let view = snapshot().view(view).unwrap();
    let groups: Vec<_> = groups
        .iter()
        .map(|&(name, size, count)| (name.to_owned(), size, count))
        .collect();
    assert_eq!(shown(view.statistics(GroupBy::File)), groups);
    let sums = groups
        .iter()
        .fold((0, 0), |sum, group| (sum.0 + group.1, sum.1 + group.2));
    assert_eq!((view.total_size(), view.block_count()), sums);
    assert_eq!(view.traceback_limit(), 25);
}

#[test]
fn each_view_has_the_sums_of_its_own() {
    check(View::Live, &[("read.rs", 17, 1), ("map.rs", 7, 1)]);
    check(View::AtPeak, &[("read.rs", 103, 10), ("log.rs", 50, 1)]);
    check(
        View::Allocated,
        &[("read.rs", 1_000, 40), ("log.rs", 505, 11)],
    );
    check(View::Temporary, &[("log.rs", 500, 10), ("read.rs", 3, 2)]);
}

#[test]
fn a_view_answers_every_question_about_groups() {
    let whole = snapshot();
    let peak = whole.view(View::AtPeak).unwrap();
    let inclusive = peak
        .statistics_with(GroupBy::Function, Counting::Inclusive)
        .unwrap();
    assert_eq!((inclusive[0].size, inclusive[0].count), (153, 11));
    let all = whole.view(View::Allocated).unwrap();
    let log = all.filter_traces([Filter::include("log.rs"), Filter::exclude_domain(Domain(3))]);
    assert_eq!(
        (log.total_size(), log.block_count(), log.viewed()),
        (500, 10, View::Allocated)
    );
    let hidden = all.hide_frames(["log.rs"]);
    assert_eq!(
        shown(hidden.statistics(GroupBy::File))[1],
        ("main.rs".to_owned(), 505, 11)
    );
    assert_eq!(hidden.viewed(), View::Allocated);
    let grown = peak.compare_to(&whole, GroupBy::File).unwrap();
    assert_eq!((grown[0].size_diff, grown[0].count_diff), (86, 9));
    let domains: Vec<_> = all
        .domains()
        .iter()
        .map(|d| (d.domain.0, d.size, d.count))
        .collect();
    assert_eq!(domains, [(0, 1_500, 50), (3, 5, 1)]);
    let tree = all.call_tree(GroupBy::Function, CallOrder::TopDown);
    assert_eq!(
        tree.roots().next().map(|root| (root.size(), root.count())),
        Some((1_505, 51))
    );
    assert_eq!(all.stack_count(), 2);
    let sites: Vec<_> = all
        .sites()
        .iter()
        .map(|site| (site.size, site.count))
        .collect();
    assert_eq!(sites, [(1_000, 40), (500, 10), (5, 1)]);
}

/// A part of a snapshot has the history of that part: it makes no difference which is asked first.
#[test]
fn filters_and_views_may_be_asked_in_any_order() {
    let whole = snapshot();
    for view in [View::Live, View::AtPeak, View::Allocated, View::Temporary] {
        let filters = || {
            [
                Filter::include("*/log.rs"),
                Filter::exclude_domain(Domain(3)),
            ]
        };
        let filtered = |snapshot: &Snapshot| snapshot.filter_traces(filters());
        let hidden = |snapshot: &Snapshot| snapshot.hide_frames(["log.rs"]);
        for change in [&filtered as &dyn Fn(&Snapshot) -> Snapshot, &hidden] {
            let one = change(&whole.view(view).unwrap());
            let other = change(&whole).view(view).unwrap();
            let groups = |snapshot: &Snapshot| shown(snapshot.statistics(GroupBy::Traceback));
            assert_eq!(groups(&one), groups(&other), "{view}");
        }
    }
}

#[test]
fn what_is_not_known_is_an_error() {
    let kind = |result: Result<Snapshot, Error>| result.map(|_| ()).unwrap_err().kind();
    let plain = Snapshot::from_traces([], 25);
    assert!(plain.view(View::Live).is_ok());
    assert_eq!(kind(plain.view(View::AtPeak)), ErrorKind::ViewNotRecorded);
    let peak = snapshot().view(View::AtPeak).unwrap();
    assert!(peak.view(View::AtPeak).is_ok());
    for other in [View::Live, View::Allocated] {
        assert_eq!(kind(peak.view(other)), ErrorKind::ViewNotRecorded);
    }
    assert!(
        peak.view(View::Live)
            .unwrap_err()
            .to_string()
            .contains("memory at the peak")
    );
}

#[test]
fn sums_are_exact_whatever_the_average() {
    for (size, count, expected) in [
        (0, 0, (0, 0)),
        (0, 5, (0, 5)),
        (7, 0, (7, 1)),
        (u64::MAX, 3, (u64::MAX, 3)),
        (u64::MAX, 2, (u64::MAX, 2)),
        (1, i64::MAX as u64, (1, i64::MAX as u64)),
    ] {
        let rows = [(
            Traceback::unknown(),
            Domain::HEAP,
            history((size, count), (0, 0), (0, 0)),
        )];
        let view = Snapshot::from_traces([], 1)
            .with_history(rows)
            .view(View::AtPeak)
            .unwrap();
        assert_eq!((view.total_size(), view.block_count()), expected);
    }
}

/// The engine has weighed the sums of a sample.
#[test]
fn sums_of_a_sample_are_not_weighed_again() {
    let sampled = snapshot().with_sample_every(NonZeroU64::new(1_000).unwrap());
    assert!(sampled.total_size() > 24);
    let error = sampled.view(View::Temporary).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ViewNotRecorded);
    let text =
        "no temporary memory: a sample does not tell which blocks lived for a few allocations";
    assert_eq!(error.to_string(), text);
    let peak = sampled.view(View::AtPeak).unwrap();
    assert_eq!((peak.total_size(), peak.block_count()), (153, 11));
    assert_eq!(peak.statistics(GroupBy::File)[0].size, 103);
    assert_eq!(peak.domains()[0].size, 153);
    assert_eq!(peak.sites()[0].size, 103);
    assert_eq!(peak.sample_every(), sampled.sample_every());
}

#[test]
fn equal_stacks_of_history_and_blocks_are_one() {
    let whole = snapshot();
    assert_eq!(whole.stacks().len(), 3);
    let twice = whole.clone().with_history([
        (
            stack(&["main", "log"]),
            Domain::HEAP,
            history((1, 1), (2, 2), (0, 0)),
        ),
        (
            stack(&["main", "log"]),
            Domain::HEAP,
            history((3, 1), (2, 2), (0, 0)),
        ),
    ]);
    let peak = twice.view(View::AtPeak).unwrap();
    assert_eq!(peak.sites().len(), 1);
    assert_eq!((peak.total_size(), peak.block_count()), (4, 2));
}

#[test]
fn single_blocks_of_a_view_are_an_error() {
    let whole = snapshot();
    assert_eq!(whole.size_classes().unwrap().len(), 2);
    let peak = whole.view(View::AtPeak).unwrap();
    assert_eq!(whole.traces().unwrap().len(), 2);
    for error in [peak.size_classes().unwrap_err(), peak.traces().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NoSingleBlocks);
        assert!(error.to_string().contains("memory at the peak"), "{error}");
    }
}
