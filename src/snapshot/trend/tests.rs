use super::*;
use crate::snapshot::{Domain, Frame, StackHistory, Trace};

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn line(number: u32) -> Traceback {
    Traceback::of(Frame::new("src/main.rs", number))
}

/// What each line holds: its number, bytes of a block, blocks.
fn snapshot(lines: &[(u32, u64, u64)], taken_at: Option<u64>) -> Snapshot {
    let traces = lines.iter().flat_map(|&(number, size, count)| {
        let count = usize::try_from(count).unwrap();
        std::iter::repeat_n(Trace::new(Domain::HEAP, size, line(number)), count)
    });
    let mut snapshot = Snapshot::from_traces(traces, 1);
    snapshot.recording.taken_at = taken_at;
    snapshot
}

/// Blocks at a moment.
type Blocks = dyn Fn(u64, &mut Random) -> u64;

/// The suspects among curves. Each curve is the number of its blocks of 64 bytes at each of 24 snapshots.
fn suspects(curves: &[&Blocks]) -> Vec<u32> {
    let mut random = Random(7);
    let mut series = Series::new(GroupBy::Line);
    for moment in 0..24 {
        let lines = (1..)
            .zip(curves)
            .map(|(number, curve)| (number, 64, curve(moment, &mut random)));
        let lines: Vec<_> = lines.collect();
        series
            .push(&snapshot(&lines, Some(1_000 + 60 * moment)))
            .unwrap();
    }
    let suspects = series.suspects().into_iter();
    suspects
        .map(|suspect| suspect.site.traceback.most_recent().lineno())
        .collect()
}

#[test]
fn leaks_are_found_most_kept_first() {
    let fast = |moment, _: &mut Random| 10 + 100 * moment;
    let slow = |moment, random: &mut Random| 20 * moment + random.below(60);
    let rare = |moment, _: &mut Random| moment / 2 * 3;
    assert_eq!(suspects(&[&slow, &fast, &rare]), [2, 1, 3]);
}

#[test]
fn what_fills_swings_or_stays_is_no_suspect() {
    let cache = |moment: u64, _: &mut Random| 1_000_u64.min(100 * moment);
    // Keys come at random: ever fewer of them are new.
    let random_cache = |moment: u64, _: &mut Random| {
        1_000 - 1_000 * 9_u64.pow(moment.min(16) as u32) / 10_u64.pow(moment.min(16) as u32)
    };
    let pool = |moment: u64, _: &mut Random| if moment < 3 { 10 } else { 64 };
    let sawtooth = |moment: u64, _: &mut Random| 100 * (moment % 9);
    let wave = |moment: u64, _: &mut Random| 500 + [0, 300, 420, 300, 0, 200][moment as usize % 6];
    let noise = |_: u64, random: &mut Random| random.below(1_000);
    let constant = |_: u64, _: &mut Random| 5_000;
    let shrinking = |moment: u64, _: &mut Random| 5_000 - 100 * moment;
    assert_eq!(
        suspects(&[
            &cache,
            &random_cache,
            &pool,
            &sawtooth,
            &wave,
            &noise,
            &constant,
            &shrinking
        ]),
        [0; 0]
    );
}

/// Three hundred series without a trend.
#[test]
fn chance_is_no_suspect() {
    let mut random = Random(1);
    let mut found = 0;
    for _ in 0..300 {
        let mut series = Series::new(GroupBy::Line);
        for _ in 0..16 {
            series
                .push(&snapshot(&[(1, 64, 10 + random.below(90))], None))
                .unwrap();
        }
        found += series.suspects().len();
    }
    assert!(found <= 1, "{found}");
}

#[test]
fn few_snapshots_and_few_bytes_tell_nothing() {
    let growing = |snapshots: u64, size| {
        let mut series = Series::new(GroupBy::Line);
        for moment in 0..snapshots {
            series
                .push(&snapshot(&[(1, size, 1 + moment)], None))
                .unwrap();
        }
        series.suspects().len()
    };
    assert_eq!(growing(7, 1_000), 0);
    assert_eq!(growing(8, 1_000), 1);
    assert_eq!(growing(8, 100), 0);
}

#[test]
fn a_site_says_how_it_grew() {
    let mut series = Series::new(GroupBy::Line);
    for (moment, blocks) in [5, 2, 4, 3, 6, 6].into_iter().enumerate() {
        let moment = moment as u64;
        let history = StackHistory {
            allocated: BlockSum::new(1_000 * (moment + 1), 10 * (moment + 1)),
            ..StackHistory::default()
        };
        let taken = snapshot(&[(1, 100, blocks)], Some(5_000 + 600 * moment));
        let taken = taken.with_history([(line(1), Domain::HEAP, history)]);
        series.push(&taken).unwrap();
    }
    let site = &series.sites()[0];
    let blocks: Vec<u64> = site.live.iter().map(|sum| sum.count).collect();
    assert_eq!(blocks, [5, 2, 4, 3, 6, 6]);
    // The floor is 2 2 3 3 6 6.
    let kept: Vec<u64> = site
        .generations
        .iter()
        .map(|generation| generation.kept.count)
        .collect();
    assert_eq!(kept, [0, 1, 0, 3, 0]);
    assert_eq!(site.generations[3].share(), Some(0.3));
    assert_eq!((site.grown, site.grown_for), (Some((1, 4)), Some(1_800)));
    // From a median of 350 bytes to one of 600, over five snapshots of ten minutes.
    assert_eq!(
        (site.bytes_per_snapshot, site.bytes_per_hour),
        (50.0, Some(300.0))
    );
    // Ten blocks were allocated since the last but one snapshot, and six are live.
    assert_eq!(site.oldest, None);
}

/// Sixty blocks are live and ten are allocated from snapshot to snapshot.
#[test]
fn more_live_blocks_than_new_ones_are_old() {
    let mut series = Series::new(GroupBy::Line);
    for moment in 0..9 {
        let history = StackHistory {
            allocated: BlockSum::new(1_000, 100 + 10 * moment),
            ..StackHistory::default()
        };
        let taken = snapshot(&[(1, 100, 60)], Some(100 * moment));
        series
            .push(&taken.with_history([(line(1), Domain::HEAP, history)]))
            .unwrap();
    }
    // Fifty since the fourth snapshot, sixty since the third.
    assert_eq!(series.sites()[0].oldest, Some(500));
}

#[test]
fn evidence_is_said_in_words() {
    let mut series = Series::new(GroupBy::Line);
    for moment in 0..20 {
        let history = StackHistory {
            allocated: BlockSum::new(1 << 20, 20_000 * (moment + 1)),
            ..StackHistory::default()
        };
        let taken = snapshot(&[(1, 640, 2 * moment)], Some(60 * moment));
        series
            .push(&taken.with_history([(line(1), Domain::HEAP, history)]))
            .unwrap();
    }
    let suspects = series.suspects();
    assert_eq!(
        suspects[0].to_string(),
        "kept 23.8 KiB in 38 blocks, 75.0 KiB an hour; the floor rose in 19 of 19 intervals, \
         for 19 min; 1 in 10000 of the 380000 blocks allocated since is still live"
    );
    assert!(suspects[0].deviations > 6.0);
}

#[test]
fn groups_come_and_go() {
    let mut series = Series::new(GroupBy::Line);
    for lines in [&[(1, 8, 1)][..], &[(2, 8, 2)], &[(1, 8, 3), (3, 8, 1)]] {
        series.push(&snapshot(lines, None)).unwrap();
    }
    let sites = series.sites();
    let shown: Vec<(u32, Vec<u64>)> = sites
        .iter()
        .map(|site| {
            let counts = site.live.iter().map(|sum| sum.count);
            (site.traceback.most_recent().lineno(), counts.collect())
        })
        .collect();
    assert_eq!(
        shown,
        [(1, vec![1, 0, 3]), (3, vec![0, 0, 1]), (2, vec![0, 2, 0])]
    );
    assert_eq!(sites[0].grown_for, None);
}

#[test]
fn snapshots_that_do_not_follow_each_other_are_refused() {
    let mut series = Series::new(GroupBy::Line);
    series.push(&snapshot(&[], Some(50))).unwrap();
    let error = series.push(&snapshot(&[], Some(49))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotComparable);
    let mut other = snapshot(&[], Some(50));
    other.recording.runtime_frames = true;
    assert_eq!(
        series.push(&other).unwrap_err().kind(),
        ErrorKind::NotComparable
    );
    assert_eq!(series.len(), 1);
}
