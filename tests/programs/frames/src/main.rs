//! Allocates in known places and prints what the tracer says of each of them.
//!
//! `// at NAME: DEPTH…` marks a line of this file that is in the tracebacks of the place NAME, and
//! at which depths, counted from `main` or the thread's function, the standard library left out.
//! The sizes of its blocks tell a place from the others; it is called after its function.

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::ops::Range;
use std::thread;

use tracemalloc::{Frame, GroupBy, Snapshot, Trace, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// The places and the sizes of their blocks in bytes. The collections choose how much they ask for.
const PLACES: [(&str, Range<u64>); 9] = [
    ("fill", 1_000..2_000),
    ("closure", 2_000..3_000),
    ("text", 3_000..9_000),
    ("insert", 10_000..20_000),
    ("recursion", 20_000..30_000),
    ("thread", 30_000..40_000),
    ("generic", 40_000..50_000),
    ("inlined", 50_000..60_000),
    ("thread_function", 60_000..70_000),
];

#[inline(never)]
fn fill(kept: &mut Vec<[u8; 1_100]>) {
    kept.push([1; 1_100]); // at fill: 1
    black_box(kept);
}

#[inline(never)]
fn closure() -> Vec<Box<[u8; 2_100]>> {
    let numbers = black_box(0_u8..2);
    let boxes = numbers.map(|n| {
        Box::new([n; 2_100]) // at closure: 2
    });
    black_box(boxes.collect()) // at closure: 1
}

#[inline(never)]
fn text(long: &str) -> String {
    black_box(format!("<{}>", black_box(long))) // at text: 1
}

#[inline(never)]
fn insert(map: &mut HashMap<u32, [u8; 2_600]>) {
    map.insert(7, [1; 2_600]); // at insert: 1
    black_box(map);
}

#[inline(never)]
fn recursion(depth: u32) -> Box<[u8; 20_100]> {
    if black_box(depth) == 0 {
        return black_box(Box::new([1; 20_100])); // at recursion: 4
    }
    black_box(recursion(depth - 1)) // at recursion: 1 2 3
}

/// A closure this small becomes a part of the standard library's function that calls it.
fn thread() -> thread::Result<Vec<u8>> {
    let thread = thread::spawn(|| {
        black_box(vec![1; 30_100]) // at thread: 0
    });
    thread.join()
}

#[inline(never)]
fn thread_function() -> Vec<u8> {
    black_box(vec![1; 60_100]) // at thread_function: 0
}

#[inline(never)]
fn generic<T: Clone>(value: T) -> Vec<T> {
    black_box(vec![value; 10_100]) // at generic: 1
}

#[inline(always)]
fn inlined() -> Box<[u8; 50_100]> {
    inlined_deeper() // at inlined: 1
}

#[inline(always)]
fn inlined_deeper() -> Box<[u8; 50_100]> {
    Box::new([1; 50_100]) // at inlined: 2
}

fn main() -> Result<(), Box<dyn Error>> {
    let long = "x".repeat(4_000);
    let mut kept = Vec::new();
    let mut map = HashMap::new();
    tracemalloc::start(25)?;
    fill(&mut kept); // at fill: 0
    let boxes = closure(); // at closure: 0
    let text = text(&long); // at text: 0
    insert(&mut map); // at insert: 0
    let recursive = recursion(3); // at recursion: 0
    let threads = [thread(), thread::spawn(thread_function).join()];
    let words = generic(7_u32); // at generic: 0
    let inlined = black_box(inlined()); // at inlined: 0
    let snapshot = tracemalloc::take_snapshot()?;
    tracemalloc::stop();
    black_box((
        &kept, &boxes, &text, &map, &recursive, &threads, &words, &inlined,
    ));
    print(&snapshot)?;
    Ok(())
}

/// Prints `block PLACE`, one `frame` for each frame of its traceback, oldest first, then how
/// the groups of two kinds are called, then the report. Fields are separated by tabs.
fn print(snapshot: &Snapshot) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for block in snapshot.traces().unwrap() {
        if let Some(place) = place(&block) {
            writeln!(out, "block\t{place}")?;
            for frame in &block.traceback {
                write_frame(frame, &mut out)?;
            }
        }
    }
    for group_by in [GroupBy::Line, GroupBy::Function] {
        for group in snapshot.statistics(group_by) {
            let name = group.traceback.most_recent();
            writeln!(out, "group\t{group_by}\t{name}\t{}", group.size)?;
        }
    }
    writeln!(out, "report")?;
    tracemalloc::report::Text::new().write(snapshot, &mut out)
}

fn write_frame(frame: &Frame, out: &mut impl Write) -> io::Result<()> {
    let function = frame.function().unwrap_or_default();
    let crate_name = frame.crate_name().unwrap_or_default();
    write!(out, "frame\t{frame}\t{function}\t{crate_name}\t")?;
    match frame.code() {
        Some((module, offset)) => writeln!(out, "{}\t{offset}", module.path),
        None => writeln!(out, "\t"),
    }
}

fn place(block: &Trace) -> Option<&'static str> {
    let found = PLACES.iter().find(|(_, sizes)| sizes.contains(&block.size));
    found.map(|(name, _)| *name)
}
