//! The work, traced with its history, above an oracle. Writes what both say of each site, as JSON.
//!
//!     traced FILE

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;

use serde_json::{Value, json};
use totals::oracle::{Oracle, Sum, Sums};
use totals::sites;
use tracemalloc::{Config, Counting, GroupBy, Snapshot, TraceAlloc, View};

#[global_allocator]
static ALLOC: TraceAlloc<Counted> = TraceAlloc::new(Counted);

static ORACLE: Oracle = Oracle::new();

/// The system's allocator, with an oracle that counts each block.
struct Counted;

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let block = unsafe { System.alloc(layout) };
        ORACLE.allocated(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let block = unsafe { System.alloc_zeroed(layout) };
        ORACLE.allocated(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ORACLE.freed(block);
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let new = unsafe { System.realloc(block, layout, new_size) };
        ORACLE.resized(block, new, new_size);
        new
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("traced FILE")?;
    // More frames than the deepest site has. The sites lie in the library's own package, whose frames are
    // trimmed with those of the runtime.
    let config = Config::new().frames(200).keep_runtime_frames(true);
    config.history(true).start()?;
    let mut taken = None;
    ORACLE.switch(true);
    sites::run(|| {
        ORACLE.switch(false);
        taken = Some(tracemalloc::take_snapshot());
    });
    tracemalloc::stop();
    let snapshot = taken.ok_or("the work ends")??;
    let (oracle, peak) = ORACLE.answer();
    let found = found(&snapshot)?;
    let rows = sites::SITES.iter().zip(&oracle).zip(&found);
    let rows = rows.map(|((site, oracle), found)| {
        json!({"site": site.name, "oracle": of(oracle), "traced": of(found)})
    });
    let document = json!({
        "peak": {"oracle": peak, "traced": snapshot.recording().peak},
        "sites": rows.collect::<Vec<_>>(),
    });
    std::fs::write(file, serde_json::to_string_pretty(&document)?)?;
    Ok(())
}

/// What the history says of each site.
fn found(snapshot: &Snapshot) -> Result<Vec<Sums>, tracemalloc::Error> {
    let mut all = Vec::new();
    let view = |view| snapshot.view(view);
    let views = [
        snapshot.clone(),
        view(View::AtPeak)?,
        view(View::Allocated)?,
        view(View::Temporary)?,
    ];
    for site in sites::SITES {
        let end = format!("totals::sites::{}", site.name);
        let sum = |view: &Snapshot| -> Result<Sum, tracemalloc::Error> {
            let groups = view.statistics_with(GroupBy::Function, Counting::Inclusive)?;
            let group = groups
                .iter()
                .find(|group| is_function(group.traceback.most_recent(), &end));
            Ok(group.map_or(Sum::default(), |group| Sum {
                bytes: group.size,
                blocks: group.count,
            }))
        };
        let rows = snapshot.history().into_iter().flatten();
        let rows = rows.filter(|(stack, ..)| stack.iter().any(|frame| is_function(frame, &end)));
        all.push(Sums {
            live: sum(&views[0])?,
            at_peak: sum(&views[1])?,
            allocated: sum(&views[2])?,
            temporary: sum(&views[3])?,
            reallocations: rows.map(|(.., totals)| totals.reallocations).sum(),
        });
    }
    Ok(all)
}

fn is_function(frame: &tracemalloc::Frame, end: &str) -> bool {
    frame
        .function()
        .is_some_and(|function| function.ends_with(end))
}

fn of(sums: &Sums) -> Value {
    let sum = |sum: Sum| json!([sum.bytes, sum.blocks]);
    json!({
        "allocated": sum(sums.allocated),
        "reallocations": sums.reallocations,
        "live": sum(sums.live),
        "at_peak": sum(sums.at_peak),
        "temporary": sum(sums.temporary),
    })
}
