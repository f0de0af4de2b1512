//! More stacks than the tracer may keep, and blocks without end.

use std::collections::HashSet;
use std::hint::black_box;

use tracemalloc::report::Text;
use tracemalloc::{Config, Frame, Snapshot, Traceback};

use crate::allocator;
use crate::audit::{Block, audit, audit_but_for_losses, current, hold};
use crate::cases;
use crate::suite::number;

cases![
    names_are_read_and_nothing_of_the_files_stays,
    more_stacks_than_there_is_memory_for fails with LosesRecords | KeepsRecords,
    blocks_that_come_and_go_take_no_more_memory fails with LosesRecords | KeepsRecords,
];

const MIB: usize = 1 << 20;
/// What the directories take, which do not count for the limit, and pages in between.
const DIRECTORIES: usize = MIB;
const SIZE: usize = 77;
/// log2 of the number of different stacks that there can be.
const BITS: u32 = 24;
/// More than there are in any: two functions to a call where nothing is inlined.
const FRAMES: usize = 100;

/// Runs `work` below a path of [`BITS`] calls, each of which branches one of two ways: one stack for each
/// value of `path`.
fn below(path: usize, work: &mut dyn FnMut()) {
    go(path, BITS, work);
}

fn go(path: usize, left: u32, work: &mut dyn FnMut()) {
    match (left, path & 1) {
        (0, _) => work(),
        (_, 0) => this_way(path >> 1, left - 1, work),
        _ => that_way(path >> 1, left - 1, work),
    }
}

#[inline(never)]
fn this_way(path: usize, left: u32, work: &mut dyn FnMut()) {
    go(path, left, work);
    black_box(0);
}

#[inline(never)]
fn that_way(path: usize, left: u32, work: &mut dyn FnMut()) {
    go(path, left, work);
    black_box(1);
}

/// Bytes of physical memory that the process has.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// What is allocated at the first line of output is not to be counted.
fn let_output_have_its_buffer() {
    println!();
}

fn is_overflow(traceback: &Traceback) -> bool {
    traceback.most_recent().filename() == "<stack not recorded>"
}

fn traceback(block: &Block) -> Traceback {
    tracemalloc::get_object_traceback(&block.address).expect("a traced block")
}

/// `TRACEMALLOC_STACKS` different stacks, far more than fit: known ones stay good, new ones are
/// those of the overflow, every block is counted, and every report says what there is not.
fn more_stacks_than_there_is_memory_for() {
    const LIMIT: usize = 16 * MIB;
    const KEPT: usize = 64;
    let_output_have_its_buffer();
    let stacks = number("TRACEMALLOC_STACKS", 20_000);
    let mut held = Vec::with_capacity(201 + 2 * KEPT);
    Config::new()
        .frames(FRAMES)
        .memory_limit(LIMIT)
        .start()
        .unwrap();
    let at_first = current();
    hold(&mut held);
    // Addresses of what is kept later have their tables while there is memory.
    let room: Vec<Block> = (0..=2 * KEPT).map(|_| Block::new(SIZE)).collect();
    room.into_iter().for_each(Block::discard);
    let before = (resident(), current());
    // The first one once more, when there is no room for new ones.
    for (turn, path) in (0..stacks).chain([0]).enumerate() {
        let kept = turn < KEPT || turn >= stacks - KEPT;
        below(path, &mut || {
            let block = Block::new(SIZE);
            if kept {
                held.push(block);
            } else {
                block.free();
            }
        });
    }
    let grown = resident().saturating_sub(before.0);
    let own = tracemalloc::get_tracemalloc_memory() as usize;
    assert_eq!(current(), before.1 + ((2 * KEPT + 1) * SIZE) as u64);

    let snapshot = audit_but_for_losses(&held);
    let losses = snapshot.recording().losses;
    println!("{grown} bytes more resident, {own} of the tracer's own, {losses:?}");
    assert!(own <= LIMIT + DIRECTORIES, "{own}");
    assert!(grown <= LIMIT + DIRECTORIES, "{grown}");
    assert!(losses.stacks >= KEPT as u64 && losses.stacks <= stacks as u64);
    assert_eq!((losses.blocks, losses.replaced), (0, 0));
    let of_overflow = snapshot
        .traces()
        .unwrap()
        .filter(|trace| is_overflow(&trace.traceback));
    assert!(of_overflow.count() >= KEPT);
    let (first, last) = held[200..].split_at(KEPT);
    let (again, last) = last.split_last().unwrap();
    let known: HashSet<Vec<Frame>> = first
        .iter()
        .map(|block| traceback(block).iter().cloned().collect())
        .collect();
    assert_eq!(known.len(), KEPT, "as many stacks as paths");
    drop(known);
    assert!(last.iter().all(|block| is_overflow(&traceback(block))));
    assert!(traceback(again).iter().eq(traceback(&first[0]).iter()));
    said_in_every_report(&snapshot);

    held.into_iter().for_each(Block::discard);
    assert_eq!(current(), at_first);
}

fn said_in_every_report(snapshot: &Snapshot) {
    let losses = snapshot.recording().losses;
    let mut text = Vec::new();
    Text::new().write(snapshot, &mut text).unwrap();
    let said = format!("Recorded without a stack: {}", losses.stacks);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(&said), "{said}: {text}");
    assert!(text.contains("<stack not recorded>"), "{text}");
    #[cfg(feature = "json")]
    {
        let mut json = Vec::new();
        let report = tracemalloc::report::Json::new();
        report.write(snapshot, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["snapshot"]["losses"]["stacks"], losses.stacks);
    }
    #[cfg(feature = "html")]
    {
        let mut page = Vec::new();
        let report = tracemalloc::report::Html::new();
        report.write(snapshot, &mut page).unwrap();
        assert!(String::from_utf8(page).unwrap().contains(&said));
    }
    #[cfg(feature = "file")]
    {
        let mut file = Vec::new();
        snapshot.write_to(&mut file).unwrap();
        let read = Snapshot::read_from(&file[..]).unwrap();
        assert_eq!(read.recording().losses, losses);
    }
}

/// `TRACEMALLOC_BLOCKS` allocations, one in fifty of them live at a time: what held the first
/// ones holds the last ones too.
fn blocks_that_come_and_go_take_no_more_memory() {
    const LIMIT: usize = 1024 * MIB;
    let_output_have_its_buffer();
    let blocks = number("TRACEMALLOC_BLOCKS", 200_000);
    let live = blocks / 50;
    let mut held: Vec<Block> = Vec::with_capacity(live);
    Config::new().memory_limit(LIMIT).start().unwrap();
    let before = current();
    held.extend((0..live).map(|turn| Block::new(size(turn))));
    let filled = (tracemalloc::get_tracemalloc_memory(), resident());
    for turn in live..blocks {
        let at = turn * 17 % live;
        std::mem::replace(&mut held[at], Block::new(size(turn))).free();
    }
    let own = tracemalloc::get_tracemalloc_memory();
    println!(
        "{live} live: {} bytes of the tracer's own at first, {own} in the end, {} and {} resident",
        filled.0,
        filled.1,
        resident()
    );
    // Sizes change places, so not every address was in use at first.
    assert!(own <= filled.0 * 2 + MIB as u64, "{own} {filled:?}");
    let sizes: u64 = held.iter().map(|block| block.size as u64).sum();
    assert_eq!(current(), before + sizes);
    audit(&held);
    held.into_iter().for_each(Block::discard);
    assert_eq!(current(), before);
}

/// The debug information of this program is many times as large as what may stay.
fn names_are_read_and_nothing_of_the_files_stays() {
    allocator::use_system();
    let_output_have_its_buffer();
    tracemalloc::start(25).unwrap();
    let block = Block::new(SIZE);
    let before = resident();
    let lines = traceback(&block)
        .iter()
        .filter(|frame| frame.lineno() > 0)
        .count();
    // Whether the allocator gives back to the system what was given back to it is its own affair.
    // SAFETY: takes a number.
    unsafe { libc::malloc_trim(0) };
    let after = resident();
    println!("{before} bytes resident before, {after} after {lines} lines");
    assert!(lines > 0, "names were read");
    assert!(after < before + 4 * MIB, "{before} {after}");
    audit(&[block]);
}

/// Of three classes of the allocator.
fn size(turn: usize) -> usize {
    SIZE + turn % 3 * 64
}
