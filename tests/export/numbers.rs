//! The greatest numbers stop where a form ends, and do not wrap.

use std::num::NonZeroU64;

use serde_json::Value;
use tracemalloc::report::{Csv, Folded, Json};
use tracemalloc::{Domain, Frame, Snapshot};

use crate::golden::{dhat, folded, text};
use crate::profile::Profile;
use crate::sample::{block, of, server};

fn huge() -> Snapshot {
    let stack = || {
        [Frame::new("src/main.rs", u32::MAX)
            .with_function("app::main")
            .with_column(u32::MAX)]
    };
    let mut region = block(u64::MAX, stack());
    region.domain = Domain(u32::MAX);
    of([block(u64::MAX, stack()), block(u64::MAX, stack()), region])
}

#[test]
fn pprof_values_stop_at_the_greatest_i64() {
    let profile = Profile::of(&huge());
    let values: Vec<_> = profile
        .sample
        .iter()
        .map(|sample| &sample.value[..])
        .collect();
    assert_eq!(values, [[2, i64::MAX], [1, i64::MAX]]);
    assert!(profile.shown().contains(" domain=4294967295\n"));
    assert!(profile.shown().contains(":4294967295:4294967295\n"));
    let rare = of([block(1, [Frame::named("app::main")])]).with_sample_every(NonZeroU64::MAX);
    let profile = Profile::of(&rare);
    assert_eq!(profile.sample[0].value, [i64::MAX, i64::MAX]);
    assert_eq!(profile.period, i64::MAX);
}

/// Times after the year 2262 do not fit into nanoseconds.
#[test]
fn pprof_times_stop_too() {
    let document = r#"{"format":"tracemalloc-snapshot","version":1,
        "meta":{"traceback_limit":1,"taken_at":18446744073709551615},
        "modules":[],"strings":[],"frames":[],"nodes":[],"stacks":[],"runs":[]}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, document.as_bytes()).unwrap();
    let snapshot = Snapshot::read_from(&gzip.finish().unwrap()[..]).unwrap();
    assert_eq!(Profile::of(&snapshot).time_nanos, i64::MAX);
}

#[test]
fn other_forms_stop_at_the_greatest_u64() {
    let all = folded(Folded::new(), &huge());
    let expected = format!(
        "[domain 4294967295];app::main {0}\napp::main {0}\n",
        u64::MAX
    );
    assert_eq!(all, expected);
    let document: Value = serde_json::from_str(&dhat(&huge())).unwrap();
    assert_eq!(document["pps"][0]["tb"], u64::MAX);
    let json = text(|out| Json::new().write_diff(&server(1), &huge(), out));
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["old"]["size"], u64::MAX);
    assert_eq!(document["differences"][0]["size_diff"], i64::MIN);
    let csv = text(|out| Csv::new().write(&huge(), out));
    assert!(csv.contains(&format!(",{},3,", u64::MAX)), "{csv}");
}
