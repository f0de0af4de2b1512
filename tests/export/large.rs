//! A million blocks of many stacks: every byte arrives.

use serde_json::Value;
use tracemalloc::report::{Csv, Folded, Json, Weight};
use tracemalloc::{Frame, Snapshot};

use crate::golden::{dhat, folded, text};
use crate::profile::Profile;
use crate::sample::{block, of};

const BLOCKS: u64 = 1_000_000;
const STACKS: u64 = 5_000;

/// Each stack has 200 blocks of sizes of their own.
fn million() -> Snapshot {
    let frame = |depth: u64, which: u64| {
        let line = u32::try_from(which).unwrap();
        Frame::new(format!("src/level{depth}.rs"), line)
            .with_function(format!("level{depth}_{which}"))
    };
    let stacks: Vec<_> = (0..STACKS)
        .map(|stack| block(0, [frame(0, 0), frame(1, stack % 70), frame(2, stack)]).traceback)
        .collect();
    let traces = (0..BLOCKS).map(|number| {
        let stack = usize::try_from(number % STACKS).unwrap();
        let mut trace = block(16 + number / STACKS, [Frame::named("none")]);
        trace.traceback = stacks[stack].clone();
        trace
    });
    of(traces)
}

#[test]
fn every_block_of_a_million_is_in_every_export() {
    let million = million();
    assert_eq!(million.block_count(), BLOCKS);
    let (stacks, bytes) = (usize::try_from(STACKS).unwrap(), million.total_size());

    let profile = Profile::of(&million);
    assert_eq!(profile.sample.len(), stacks);
    assert_eq!(profile.function.len(), 1 + 70 + stacks);
    let sum = |value: usize| {
        profile
            .sample
            .iter()
            .map(|sample| sample.value[value])
            .sum::<i64>()
    };
    assert_eq!(
        [sum(0), sum(1)],
        [BLOCKS, bytes].map(|sum| i64::try_from(sum).unwrap())
    );

    for (weight, expected) in [(Weight::Bytes, bytes), (Weight::Blocks, BLOCKS)] {
        let found = folded(Folded::new().weight(weight), &million);
        let weights = found.lines().map(|line| line.rsplit(' ').next().unwrap());
        assert_eq!(
            weights
                .map(|weight| weight.parse::<u64>().unwrap())
                .sum::<u64>(),
            expected
        );
        assert_eq!(found.lines().count(), stacks);
    }

    let document: Value = serde_json::from_str(&dhat(&million)).unwrap();
    let points = document["pps"].as_array().unwrap().iter();
    assert_eq!(
        points
            .map(|point| point["tb"].as_u64().unwrap())
            .sum::<u64>(),
        bytes
    );

    let document = text(|out| Json::new().write(&million, out));
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (&document["snapshot"]["size"], &document["groups"]),
        (&bytes.into(), &stacks.into())
    );

    let document = text(|out| Csv::new().write(&million, out));
    let rows = csv::Reader::from_reader(document.as_bytes()).into_records();
    let sizes = rows.map(|row| row.unwrap()[4].parse::<u64>().unwrap());
    assert_eq!(sizes.sum::<u64>(), bytes);
}
