//! What a session with a history says of blocks that are there no more.

use std::hint::black_box;

use tracemalloc::{Config, Domain, Filter, Snapshot, View};

use crate::cases;

cases![
    a_snapshot_without_history_has_no_other_views,
    what_the_peak_was_made_of_is_known_when_all_is_given_back,
    all_that_was_allocated_is_counted_to_the_block,
    what_is_freed_soon_is_temporary,
    growth_by_reallocation_is_counted,
    a_reset_makes_this_moment_the_peak,
    clear_traces_clears_the_history,
    tracked_regions_have_a_history,
    a_samples_history_is_an_estimate,
    a_memory_limit_is_said,
    a_restart_begins_another_history,
    tags_have_a_history_each,
    what_another_thread_frees_is_not_temporary,
    #[cfg(unix)]
    a_forked_child_continues_a_history_of_its_own,
    the_environment_asks_for_it with &[("TRACEMALLOC", "13"), ("TRACEMALLOC_HISTORY", "1")],
    a_bad_value_is_an_error
        with &[("TRACEMALLOC", "13"), ("TRACEMALLOC_HISTORY", "yes")],
];

fn start() {
    Config::new().history(true).start().unwrap();
}

fn view(view: View) -> Snapshot {
    tracemalloc::take_snapshot().unwrap().view(view).unwrap()
}

/// Bytes and blocks of a line of this file.
fn at_line(snapshot: &Snapshot, line: u32) -> (u64, u64) {
    let here = Filter::include(file!()).with_line(line);
    let here = snapshot.filter_traces([here]);
    (here.total_size(), here.block_count())
}

fn a_snapshot_without_history_has_no_other_views() {
    tracemalloc::start(5).unwrap();
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert!(!snapshot.has_history());
    for view in [View::AtPeak, View::Allocated, View::Temporary] {
        assert!(snapshot.view(view).is_err());
    }
}

fn what_the_peak_was_made_of_is_known_when_all_is_given_back() {
    start();
    let (small, large);
    {
        let kept = black_box(vec![1_u8; 100_000]);
        small = line!() - 1;
        let more: Vec<_> = (0..10).map(|_| black_box(Box::new([0_u8; 5000]))).collect();
        large = line!() - 1;
        black_box((&kept, &more));
    }
    drop(black_box(vec![1_u8; 60_000]));
    let after = line!() - 1;
    let peak = view(View::AtPeak);
    assert_eq!(at_line(&peak, small), (100_000, 1));
    // The boxes and the vector that holds them.
    assert_eq!(at_line(&peak, large), (50_080, 11));
    assert_eq!(at_line(&peak, after), (0, 0));
    assert_eq!(peak.total_size(), tracemalloc::get_traced_memory().peak);
    let live = tracemalloc::take_snapshot().unwrap();
    assert_eq!(live.total_size(), tracemalloc::get_traced_memory().current);
    assert!(live.total_size() < 1000);
}

fn all_that_was_allocated_is_counted_to_the_block() {
    start();
    for round in 0..1000 {
        drop(black_box(vec![1_u8; 100 + round]));
    }
    let line = line!() - 2;
    let bytes = (0..1000).map(|round| 100 + round).sum();
    assert_eq!(at_line(&view(View::Allocated), line), (bytes, 1000));
    assert_eq!(at_line(&view(View::Live), line), (0, 0));
}

fn what_is_freed_soon_is_temporary() {
    start();
    let mut kept = Vec::with_capacity(100);
    for _ in 0..100 {
        let temporary = black_box(Box::new([0_u8; 64]));
        kept.push(black_box(Box::new([0_u8; 32])));
        drop(temporary);
    }
    let line = line!() - 4;
    kept.clear();
    let temporary = view(View::Temporary);
    assert_eq!(at_line(&temporary, line), (6400, 100));
    // Two of the last four blocks were kept, and go now.
    assert_eq!(at_line(&temporary, line + 1), (64, 2));
}

fn growth_by_reallocation_is_counted() {
    start();
    let mut grown: Vec<u8> = Vec::with_capacity(8);
    for byte in 0..200_u8 {
        grown.push(byte);
    }
    let line = line!() - 2;
    black_box(&grown);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let of_line = snapshot.history().unwrap().filter(|(stack, ..)| {
        let frame = stack.most_recent();
        (frame.filename(), frame.lineno()) == (file!(), line)
    });
    let times: u64 = of_line
        .clone()
        .map(|(.., totals)| totals.reallocations)
        .sum();
    // To 16, 32, 64, 128 and 256 bytes.
    assert_eq!(times, 5);
    let copied: u64 = of_line.map(|(.., totals)| totals.bytes_copied).sum();
    assert!(copied <= 8 + 16 + 32 + 64 + 128, "{copied}");
    let allocated = snapshot.view(View::Allocated).unwrap();
    assert_eq!(at_line(&allocated, line), (16 + 32 + 64 + 128 + 256, 5));
}

fn a_reset_makes_this_moment_the_peak() {
    start();
    let kept = black_box(vec![1_u8; 1000]);
    let line = line!() - 1;
    drop(black_box(vec![1_u8; 50_000]));
    tracemalloc::reset_peak();
    let peak = view(View::AtPeak);
    assert_eq!(at_line(&peak, line), (1000, 1));
    assert_eq!(at_line(&peak, line + 1), (0, 0));
    let more = black_box(vec![1_u8; 50_000]);
    assert_eq!(at_line(&view(View::AtPeak), line!() - 1), (50_000, 1));
    drop((kept, more));
}

fn clear_traces_clears_the_history() {
    start();
    drop(black_box(vec![1_u8; 50_000]));
    let line = line!() - 1;
    assert_eq!(at_line(&view(View::Allocated), line), (50_000, 1));
    tracemalloc::clear_traces();
    for other in [View::Allocated, View::AtPeak, View::Temporary] {
        assert_eq!(at_line(&view(other), line), (0, 0), "{other}");
    }
    tracemalloc::stop();
    tracemalloc::start(5).unwrap();
    assert!(!tracemalloc::take_snapshot().unwrap().has_history());
}

fn tracked_regions_have_a_history() {
    const GPU: Domain = Domain(7);
    start();
    for address in [0x1000, 0x2000, 0x1000] {
        tracemalloc::track(GPU, address, 1 << 30).unwrap();
    }
    let line = line!() - 2;
    tracemalloc::untrack(GPU, 0x1000).unwrap();
    tracemalloc::untrack(GPU, 0x2000).unwrap();
    let of = |other| view(other).filter_traces([Filter::include_domain(GPU)]);
    assert_eq!(at_line(&of(View::AtPeak), line), (2 << 30, 2));
    assert_eq!(at_line(&of(View::Allocated), line), (3 << 30, 3));
    assert_eq!(of(View::Live).total_size(), 0);
}

fn a_samples_history_is_an_estimate() {
    let config = Config::new().history(true).sample_every(10_000);
    config.start().unwrap();
    const COUNT: u64 = 40_000;
    for _ in 0..COUNT {
        drop(black_box(Box::new([0_u8; 1000])));
    }
    let line = line!() - 2;
    let (bytes, blocks) = at_line(&view(View::Allocated), line);
    // Right on average; the deviation of the number of blocks is about 620.
    assert!(blocks.abs_diff(COUNT) < 5000, "{blocks}");
    assert!(bytes.abs_diff(1000 * COUNT) < 5_000_000, "{bytes}");
}

fn a_memory_limit_is_said() {
    let config = Config::new().history(true).memory_limit(300 << 10);
    // The tables that every session needs do not fit on every system.
    if config.start().is_err() {
        return;
    }
    let kept: Vec<_> = (0..1000)
        .map(|_| black_box(Box::new([0_u8; 100])))
        .collect();
    let losses = tracemalloc::take_snapshot().unwrap().recording().losses;
    assert!(losses.history_events + losses.blocks > 0, "{losses:?}");
    drop(kept);
}

fn a_restart_begins_another_history() {
    start();
    let kept = black_box(vec![1_u8; 50_000]);
    let line = line!() - 1;
    tracemalloc::stop();
    start();
    drop(kept);
    let more = black_box(vec![1_u8; 700]);
    for other in [View::Live, View::Allocated, View::AtPeak, View::Temporary] {
        assert_eq!(at_line(&view(other), line), (0, 0), "{other}");
    }
    assert_eq!(at_line(&view(View::AtPeak), line + 5), (700, 1));
    drop(more);
}

fn tags_have_a_history_each() {
    start();
    for (name, times) in [("images", 30), ("items", 20)] {
        let _tag = tracemalloc::tag(name);
        for _ in 0..times {
            drop(black_box(vec![1_u8; 1000]));
        }
    }
    let allocated = view(View::Allocated);
    let of = |name: &str| {
        let tagged = allocated.filter_traces([Filter::include_tag(name)]);
        (tagged.total_size(), tagged.block_count())
    };
    assert_eq!((of("images"), of("items")), ((30_000, 30), (20_000, 20)));
}

fn what_another_thread_frees_is_not_temporary() {
    start();
    let line = line!() + 3;
    for _ in 0..100 {
        // Freed at once, though not by the thread that has allocated it.
        let block = black_box(Box::new([0_u8; 640]));
        std::thread::spawn(move || drop(block)).join().unwrap();
    }
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let of = |other| at_line(&snapshot.view(other).unwrap(), line);
    assert_eq!(of(View::Allocated), (64_000, 100));
    assert_eq!((of(View::Live), of(View::Temporary)), ((0, 0), (0, 0)));
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "fork")]
fn a_forked_child_continues_a_history_of_its_own() {
    fn allocate(times: usize) {
        for _ in 0..times {
            drop(black_box(vec![1_u8; 1000]));
        }
    }
    let line = line!() - 3;
    start();
    allocate(30);
    // SAFETY: the child runs code of this test alone.
    let child = unsafe { libc::fork() };
    allocate(20);
    let allocated = at_line(&view(View::Allocated), line);
    if child == 0 {
        // SAFETY: ends the child without what its parent has registered.
        unsafe { libc::_exit(i32::from(allocated != (50_000, 50))) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((status, allocated), (0, (50_000, 50)));
}

fn the_environment_asks_for_it() {
    tracemalloc::start_from_env().unwrap();
    assert!(tracemalloc::take_snapshot().unwrap().has_history());
}

fn a_bad_value_is_an_error() {
    let error = tracemalloc::start_from_env().unwrap_err();
    assert_eq!(error.kind(), tracemalloc::ErrorKind::InvalidVariable);
    let text = "TRACEMALLOC_HISTORY=yes: expected 1, or 0 for no history";
    assert_eq!(error.to_string(), text);
    assert!(!tracemalloc::is_tracing());
}
