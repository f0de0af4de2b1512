//! A service whose memory goes up and down, and a leak of one request in a hundred below that: which
//! lines go on growing over a series of snapshots.
//!
//! With the name of a folder it saves the snapshots there, for `tracemalloc trend`.
//!
//!     cargo run --release --example trend

use std::collections::VecDeque;
use std::hint::black_box;
use std::path::Path;

use tracemalloc::{Config, Error, GroupBy, Series, TraceAlloc, Trend};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const PAGES_KEPT: usize = 500;

#[derive(Default)]
struct Service {
    /// Rendered pages; the oldest goes when there are too many.
    pages: VecDeque<String>,
    /// Requests that wait: more at noon than at night.
    waiting: Vec<Vec<u8>>,
    /// Requests that failed, for somebody to look at.
    failed: VecDeque<String>,
    failed_kept: usize,
}

impl Service {
    fn hour(&mut self, hour: usize) {
        self.waiting.clear();
        for _ in 0..[20, 160, 300, 240, 90, 40][hour % 6] {
            self.waiting.push(vec![0; 1024]);
        }
        for number in 0..1_000 {
            let request = black_box(format!("GET /pages/{number}?hour={hour}"));
            if number % 10 == 0 {
                self.pages.push_back(format!("<h1>{request}</h1>"));
            }
            if number % 100 == 99 {
                self.failed.push_back(request);
            }
        }
        while self.failed.len() > self.failed_kept {
            self.failed.pop_front();
        }
        while self.pages.len() > PAGES_KEPT {
            self.pages.pop_front();
        }
    }
}

/// Watches a service for a day that keeps this many failed requests, and saves the snapshots.
fn day(failed_kept: usize, saved: Option<Series>) -> Result<Trend, Error> {
    Config::new().frames(25).history(true).start()?;
    let mut service = Service {
        failed_kept,
        ..Service::default()
    };
    // Tables of their final size: what grows is what is put into them.
    service.waiting.reserve(1_000);
    service.failed.reserve(1_000);
    service.pages.reserve(1_000);
    let mut trend = Trend::new(GroupBy::Line);
    for hour in 0..24 {
        service.hour(hour);
        let snapshot = tracemalloc::take_snapshot()?;
        if let Some(series) = &saved {
            series.dump(&snapshot)?;
        }
        trend.push(&snapshot)?;
    }
    tracemalloc::stop();
    Ok(trend)
}

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1);
    let saved = folder.map(|folder| Series::new(Path::new(&folder).join("hour")));
    let trend = day(usize::MAX, saved)?; // Nobody looks: that is the leak.
    let suspects = trend.suspects();
    println!("{} lines, {} suspect", trend.sites().len(), suspects.len());
    for suspect in &suspects {
        let frame = suspect.site.traceback.most_recent();
        println!("{frame}  {}", frame.function().unwrap_or_default());
        println!(
            "  kept: {} bytes in {} blocks",
            suspect.kept.size, suspect.kept.count
        );
        println!("  its floor rose in {} of 23 intervals", suspect.rises);
        let last = &suspect.site.generations[22];
        if let (Some(allocated), Some(share)) = (last.allocated, last.share()) {
            let percent = share * 100.0;
            println!(
                "  of the last {} blocks {percent:.0}% are kept",
                allocated.count
            );
        }
    }
    let mended = day(20, None)?.suspects();
    println!("The latest 20 are kept: {} suspects", mended.len());
    assert_eq!(suspects.len(), 1, "the pages and what waits are none");
    assert_eq!(suspects[0].kept.count, 230);
    assert!(mended.is_empty(), "{mended:#?}");
    Ok(())
}
