//! Memory that is not the allocator's.

use tracemalloc::{Domain, ErrorKind, Filter, GroupBy, Tracked};

use crate::cases;

cases![
    a_tracked_region_is_in_counts_and_snapshots,
    tracking_again_replaces,
    untrack_is_harmless_at_any_time,
    one_address_in_two_domains_is_two_regions,
    the_allocators_domain_is_refused,
    regions_end_with_their_session,
    tracked_memory_ends_with_its_value,
];

const FILES: Domain = Domain(1);
const GPU: Domain = Domain(7);

fn current() -> u64 {
    tracemalloc::get_traced_memory().current
}

#[inline(never)]
fn track_here(domain: Domain, address: usize, size: usize) -> u32 {
    tracemalloc::track(domain, address, size).unwrap();
    line!() - 1
}

fn a_tracked_region_is_in_counts_and_snapshots() {
    tracemalloc::start(25).unwrap();
    let before = current();
    let line = track_here(FILES, 0x1000, 1 << 40);
    track_here(FILES, usize::MAX, 5);
    assert_eq!(current(), before + (1 << 40) + 5);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let files = snapshot.filter_traces([Filter::include_domain(FILES)]);
    assert_eq!(files.block_count(), 2);
    assert_eq!(files.total_size(), (1 << 40) + 5);
    let top = &files.statistics(GroupBy::Line)[0];
    assert_eq!(
        top.traceback.most_recent().filename(),
        "tests/live/domains.rs"
    );
    assert_eq!(top.traceback.most_recent().lineno(), line);
    let heap = snapshot.filter_traces([Filter::include_domain(Domain::HEAP)]);
    assert_eq!(heap.block_count() + 2, snapshot.block_count());
    let traceback = tracemalloc::traceback_of(FILES, 0x1000).unwrap();
    assert_eq!(traceback.most_recent().lineno(), line);
    let with_analyses = current();
    tracemalloc::untrack(FILES, 0x1000).unwrap();
    assert_eq!(current(), with_analyses - (1 << 40));
    assert_eq!(tracemalloc::traceback_of(FILES, 0x1000), None);
}

fn tracking_again_replaces() {
    tracemalloc::start(25).unwrap();
    let before = current();
    track_here(GPU, 8, 100);
    tracemalloc::track(GPU, 8, 30).unwrap();
    let line = line!() - 1;
    assert_eq!(current(), before + 30);
    assert_eq!(
        tracemalloc::traceback_of(GPU, 8)
            .unwrap()
            .most_recent()
            .lineno(),
        line
    );
    tracemalloc::track(GPU, 9, 0).unwrap();
    let gpu = tracemalloc::take_snapshot()
        .unwrap()
        .filter_traces([Filter::include_domain(GPU)]);
    assert_eq!(
        (gpu.block_count(), gpu.total_size()),
        (2, 30),
        "a region of no bytes counts as one"
    );
}

fn untrack_is_harmless_at_any_time() {
    assert_eq!(
        tracemalloc::track(GPU, 8, 1).unwrap_err().kind(),
        ErrorKind::NotTracing
    );
    assert_eq!(
        tracemalloc::untrack(GPU, 8).unwrap_err().kind(),
        ErrorKind::NotTracing
    );
    tracemalloc::start(1).unwrap();
    let before = current();
    tracemalloc::untrack(GPU, 8).unwrap();
    track_here(GPU, 8, 100);
    tracemalloc::untrack(GPU, 8).unwrap();
    tracemalloc::untrack(GPU, 8).unwrap();
    assert_eq!(current(), before);
}

fn one_address_in_two_domains_is_two_regions() {
    tracemalloc::start(1).unwrap();
    let before = current();
    let block = Box::new(1_u64);
    let address = std::ptr::from_ref(&*block).addr();
    track_here(GPU, address, 100);
    track_here(FILES, address, 1000);
    assert_eq!(current(), before + 1108);
    tracemalloc::untrack(GPU, address).unwrap();
    drop(block);
    assert_eq!(current(), before + 1000);
    assert!(tracemalloc::traceback_of(FILES, address).is_some());
    assert_eq!(tracemalloc::traceback_of(Domain::HEAP, address), None);
}

fn the_allocators_domain_is_refused() {
    tracemalloc::start(1).unwrap();
    let error = tracemalloc::track(Domain::HEAP, 8, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedDomain);
    let error = tracemalloc::untrack(Domain::HEAP, 8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedDomain);
}

fn regions_end_with_their_session() {
    tracemalloc::start(1).unwrap();
    track_here(GPU, 8, 100);
    tracemalloc::clear_traces();
    assert_eq!(current(), 0);
    assert_eq!(tracemalloc::traceback_of(GPU, 8), None);
    track_here(GPU, 16, 7);
    tracemalloc::untrack(GPU, 8).unwrap();
    assert_eq!(current(), 7);
    tracemalloc::stop();
    tracemalloc::start(1).unwrap();
    assert_eq!(tracemalloc::take_snapshot().unwrap().block_count(), 0);
}

fn tracked_memory_ends_with_its_value() {
    // Before the start nothing is recorded, and nothing goes wrong later.
    let early = Tracked::new(GPU, 8, 100).unwrap();
    tracemalloc::start(25).unwrap();
    let before = current();
    let (line, tracked) = (line!(), Tracked::new(GPU, 16, 1000).unwrap());
    assert_eq!(current(), before + 1000);
    let traceback = tracemalloc::traceback_of(GPU, 16).unwrap();
    let made = traceback.most_recent();
    assert_eq!(
        (made.filename(), made.lineno()),
        ("tests/live/domains.rs", line)
    );
    drop(early);
    assert_eq!(current(), before + 1000);
    drop(tracked);
    assert_eq!(current(), before);
    let kept = Tracked::new(GPU, 16, 7).unwrap();
    tracemalloc::stop();
    drop(kept);
    let error = Tracked::new(Domain::HEAP, 8, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedDomain);
}
