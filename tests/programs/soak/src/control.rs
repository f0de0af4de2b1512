//! Control calls in no order, and what holds in a quiet moment.

use std::hint::black_box;
use std::ptr;

use tracemalloc::{Config, ErrorKind, GroupBy, Snapshot};

use crate::random::Random;

pub(crate) fn current() -> u64 {
    tracemalloc::get_traced_memory().current
}

/// One call of the many.
pub(crate) fn call(random: &mut Random) {
    match random.below(40) {
        0..4 => start(random),
        4 => tracemalloc::stop(),
        5..8 => tracemalloc::clear_traces(),
        8..12 => tracemalloc::reset_peak(),
        12..18 => {
            let memory = tracemalloc::get_traced_memory();
            assert!(memory.current <= memory.peak && memory.peak < 1 << 40);
        }
        18..28 => {
            let block = black_box(Box::new([0_u8; 40]));
            let address = ptr::from_ref(&*block).addr() + 64 * random.below(100);
            let nobodys = ptr::without_provenance::<u8>(address);
            drop(tracemalloc::get_object_traceback(&nobodys));
            drop(tracemalloc::get_object_traceback(&block));
        }
        28 => snapshot(random),
        29..34 => assert!(tracemalloc::get_tracemalloc_memory() < 1 << 34),
        _ => drop(black_box(tracemalloc::get_traceback_limit())),
    }
}

fn start(random: &mut Random) {
    let frames = random.below(30) + 1;
    let config = Config::new().frames(frames);
    match random.below(8) {
        0 => config.sample_every(4096).start().expect("installed"),
        1 => config.keep_runtime_frames(true).start().expect("installed"),
        _ => config.start().expect("installed"),
    }
}

/// Takes a snapshot and asks it something. Another thread may have turned tracing off.
fn snapshot(random: &mut Random) {
    let snapshot = match tracemalloc::take_snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::NotTracing),
    };
    let group_by = [GroupBy::Line, GroupBy::Function, GroupBy::Traceback][random.below(3)];
    let groups = snapshot.statistics(group_by);
    if snapshot.sample_every().is_none() {
        let sum: u64 = groups.iter().map(|group| group.size).sum();
        assert_eq!(sum, snapshot.total_size());
    }
    if random.below(4) == 0 {
        let mut file = Vec::new();
        snapshot.write_to(&mut file).expect("memory does not fail");
        let read = Snapshot::read_from(&file[..]).expect("it was just written");
        assert_eq!(read.statistics(group_by), groups);
    }
}

/// In a quiet moment the counter is the sum of the records, and nothing was lost.
pub(crate) fn audit() {
    if !tracemalloc::is_tracing() {
        return;
    }
    let before = current();
    let snapshot = tracemalloc::take_snapshot().expect("tracing");
    assert_eq!(current(), before, "a snapshot is not traced itself");
    let losses = &snapshot.recording().losses;
    assert_eq!((losses.blocks, losses.replaced), (0, 0));
    if snapshot.sample_every().is_none() {
        assert_eq!(snapshot.total_size(), before);
    } else {
        // Each block is rounded on the one side, their sum on the other.
        let told = snapshot.total_size();
        assert!(
            told.abs_diff(before) <= snapshot.block_count(),
            "{told} {before}"
        );
    }
    assert!(tracemalloc::get_traced_memory().peak >= before);
}
