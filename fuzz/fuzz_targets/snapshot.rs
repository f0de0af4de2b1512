//! The snapshot file, and every question that is put to what loads.
//!
//! The first byte chooses: a file as it is, or, so that the fuzzer need not find out checksums, the
//! JSON that is in it.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use tracemalloc::report::Text;
use tracemalloc::{Counting, Domain, Filter, FrameFilter, GroupBy, Snapshot};

const KEYS: [GroupBy; 5] = [
    GroupBy::File,
    GroupBy::Line,
    GroupBy::Function,
    GroupBy::Crate,
    GroupBy::Traceback,
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let loaded = if choice & 1 == 0 {
        Snapshot::read_from(data)
    } else {
        Snapshot::read_from(&gzip(data)[..])
    };
    match loaded {
        Ok(snapshot) => ask(&snapshot),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(content).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot
        .write_to(&mut bytes)
        .expect("what was loaded can be saved");
    bytes
}

fn ask(snapshot: &Snapshot) {
    let bytes = written(snapshot);
    let again = Snapshot::read_from(&bytes[..]).expect("what was saved can be loaded");
    assert_eq!(written(&again), bytes);

    let halves = filters().map(|filter| snapshot.filter_traces([filter]));
    for key in KEYS {
        let groups = snapshot.statistics(key);
        let size: u64 = groups
            .iter()
            .fold(0, |sum, group| sum.saturating_add(group.size));
        if snapshot.sample_every().is_none() {
            assert_eq!(size, snapshot.total_size());
        }
        assert_eq!(again.statistics(key), groups);
        let _ = snapshot.statistics_with(key, Counting::Cumulative);
        for other in halves.iter().chain([&again]) {
            let changes = other.compare_to(snapshot, key).expect("of one recording");
            let _ = other.compare_with(snapshot, key, Counting::Inclusive);
            let texts: usize = changes.iter().map(|change| change.to_string().len()).sum();
            assert!(texts > 0 || changes.is_empty());
        }
        report(snapshot, &halves[0], key);
    }
}

fn filters() -> [Filter; 5] {
    [
        Filter::include("*src/*").all_frames(),
        Filter::exclude(FrameFilter::function("app::*")),
        Filter::include(FrameFilter::crate_name("?pp")),
        Filter::exclude_domain(Domain::HEAP),
        Filter::include("*").with_line(3),
    ]
}

/// No text may hold what steers a terminal. Source lines are left out: they are read from files.
fn report(snapshot: &Snapshot, other: &Snapshot, key: GroupBy) {
    let mut out = Vec::new();
    let text = Text::new().group_by(key).limit(5).source_lines(false);
    text.write(snapshot, &mut out)
        .expect("memory does not fail");
    text.write_diff(snapshot, other, &mut out)
        .expect("of one recording");
    let text = String::from_utf8(out).expect("a report is text");
    let steers = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(steers), "{text:?}");
}
