//! Sums of a session with a history beside those of an oracle, which counts below the tracer.

pub(crate) mod oracle;
mod sites;

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use tracemalloc::{Config, Counting, GroupBy, Snapshot, View};

use crate::cases;
use oracle::{Oracle, Sum, Sums};

cases![
    sums_of_every_site_are_an_oracles,
    a_peak_of_several_threads_is_composed_within_its_bound,
];

pub(crate) static ORACLE: Oracle = Oracle::new();

/// Bytes and blocks of all stacks with the function `name` of `sites`.
fn of_site(snapshot: &Snapshot, name: &str) -> Sum {
    let all = snapshot
        .statistics_with(GroupBy::Function, Counting::Inclusive)
        .unwrap();
    let end = format!("totals::sites::{name}");
    let mut found = all.iter().filter(|group| {
        let function = group.traceback.most_recent().function().unwrap_or_default();
        function.ends_with(&end)
    });
    let sum = found.next().map_or(Sum::default(), |group| Sum {
        bytes: group.size,
        blocks: group.count,
    });
    assert!(found.next().is_none(), "{name} is one group");
    sum
}

fn sums_of_every_site_are_an_oracles() {
    // As many frames as the deepest site has, so that each is on its stacks.
    let config = Config::new().frames(200).history(true);
    config.start().unwrap();
    let mut taken = None;
    ORACLE.switch(true);
    sites::run(|| {
        ORACLE.switch(false);
        taken = Some(tracemalloc::take_snapshot().unwrap());
    });
    let live = taken.expect("a snapshot");
    let (oracle, peak) = ORACLE.answer();
    // Two more threads have allocated before the peak, which may not have told of 64 KiB each.
    assert!(live.recording().peak.abs_diff(peak) <= 3 * (64 << 10));
    let view = |view| live.view(view).unwrap();
    let [at_peak, allocated, temporary] =
        [View::AtPeak, View::Allocated, View::Temporary].map(view);
    for (site, expected) in sites::SITES.iter().zip(&oracle) {
        let found = Sums {
            allocated: of_site(&allocated, site.name),
            reallocations: reallocations(&live, site.name),
            live: of_site(&live, site.name),
            at_peak: of_site(&at_peak, site.name),
            temporary: of_site(&temporary, site.name),
        };
        assert_eq!(found, *expected, "{}", site.name);
        assert!(expected.allocated.blocks > 0, "{}", site.name);
    }
    // What is not of a site is there too.
    let sum = |of: fn(&Sums) -> Sum| oracle.iter().map(|row| of(row).bytes).sum::<u64>();
    assert_eq!(at_peak.total_size(), sum(|row| row.at_peak));
    assert_eq!(allocated.total_size(), sum(|row| row.allocated));
    assert_eq!(sum(|row| row.at_peak), peak);
}

fn reallocations(snapshot: &Snapshot, name: &str) -> u64 {
    let end = format!("totals::sites::{name}");
    let rows = snapshot.history().unwrap().filter(|(stack, ..)| {
        stack.iter().any(|frame| {
            frame
                .function()
                .is_some_and(|function| function.ends_with(&end))
        })
    });
    rows.map(|(.., totals)| totals.reallocations).sum()
}

/// Threads that hold the most at one time: each line's part of it is known, up to what a thread may not
/// have told of yet.
fn a_peak_of_several_threads_is_composed_within_its_bound() {
    const THREADS: u64 = 4;
    const BLOCKS: u64 = 300;
    const SIZE: u64 = 4096;
    const BOUND: u64 = THREADS * (64 << 10);
    Config::new().history(true).start().unwrap();
    let blocks = |count| {
        (0..count)
            .map(|_| black_box(vec![1_u8; SIZE as usize]))
            .collect::<Vec<_>>()
    };
    let all = Barrier::new(THREADS as usize);
    let work = || {
        let before = blocks(BLOCKS / 2);
        let before_line = line!() - 1;
        drop(black_box(before));
        all.wait();
        let held = blocks(BLOCKS);
        let held_line = line!() - 1;
        all.wait();
        // Nobody frees before everybody holds all, nor allocates before everybody has freed.
        drop(black_box(held));
        all.wait();
        let after = blocks(BLOCKS / 2);
        let after_line = line!() - 1;
        drop(black_box(after));
        [before_line, held_line, after_line]
    };
    let lines = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let lines = threads
            .into_iter()
            .map(|thread| thread.join().expect("the thread works"));
        lines.last().expect("threads")
    });
    let live = tracemalloc::take_snapshot().unwrap();
    let at_peak = live.view(View::AtPeak).unwrap();
    let held = THREADS * BLOCKS * SIZE;
    for (line, expected) in lines.into_iter().zip([0, held, 0]) {
        // The closure that makes a block is inlined into the line, or not: any frame counts.
        let sum = of_line(&at_peak, line);
        assert!(sum.bytes.abs_diff(expected) <= BOUND, "{line}: {sum:?}");
        // Beside the blocks, the table that holds them.
        let blocks = expected / SIZE;
        assert!(
            sum.blocks.abs_diff(blocks) <= BOUND / SIZE + THREADS,
            "{line}: {sum:?}"
        );
    }
    let peak = live.recording().peak;
    assert!(at_peak.total_size().abs_diff(peak) <= BOUND, "{peak}");
    assert!(peak.abs_diff(held) <= BOUND + (64 << 10), "{peak}");
}

/// Bytes and blocks of all stacks with a line of this file.
fn of_line(snapshot: &Snapshot, line: u32) -> Sum {
    let all = snapshot
        .statistics_with(GroupBy::Line, Counting::Inclusive)
        .unwrap();
    let group = all.iter().find(|group| {
        let frame = group.traceback.most_recent();
        (frame.filename(), frame.lineno()) == (file!(), line)
    });
    group.map_or(Sum::default(), |group| Sum {
        bytes: group.size,
        blocks: group.count,
    })
}
