//! What grows and goes on growing, beside caches that fill and empty? objgraph's `show_growth`, and what
//! stands in for its pictures of references: who called for the memory.
//!
//!     cargo run --release --example growth

use std::collections::HashMap;
use std::error::Error;
use std::io;

use tracemalloc::report::Tree;
use tracemalloc::{Filter, GroupBy, Growth, SizeDiff, Snapshot, StatisticDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const ROUNDS: usize = 5;

struct Service {
    /// Emptied when it is full: no leak.
    pages: HashMap<usize, String>,
    sessions: Vec<String>,
    sessions_kept: usize,
}

impl Service {
    fn new(sessions_kept: usize) -> Self {
        let (pages, sessions) = (HashMap::with_capacity(400), Vec::with_capacity(10_000));
        Self {
            pages,
            sessions,
            sessions_kept,
        }
    }

    fn handle(&mut self, request: usize) {
        self.page(request);
        self.begin_session(request);
    }

    fn page(&mut self, request: usize) {
        if self.pages.len() == 300 {
            self.pages.clear();
        }
        self.pages.insert(request, "<p>text</p>".repeat(50));
    }

    fn begin_session(&mut self, request: usize) {
        if self.sessions.len() == self.sessions_kept {
            self.sessions.remove(0);
        }
        self.sessions.push(format!("session-{request:06}"));
    }
}

/// What grew beyond its highest in the last of some rounds of a thousand requests, and the snapshot.
fn rounds(service: &mut Service) -> Result<(Vec<StatisticDiff>, Snapshot), tracemalloc::Error> {
    let mut growth = Growth::new(GroupBy::Line);
    let mut last = (Vec::new(), tracemalloc::take_snapshot()?);
    println!("round       grown  blocks  line");
    for round in 1..=ROUNDS {
        for request in 0..1_000 {
            service.handle(round * 1_000 + request);
        }
        let snapshot = tracemalloc::take_snapshot()?;
        let grown = growth.beyond_highest(&snapshot);
        for line in &grown {
            let (bytes, place) = (SizeDiff(line.size_diff), line.traceback.most_recent());
            println!("{round:5}  {bytes:>+10} {:>+7}  {place}", line.count_diff);
        }
        last = (grown, snapshot);
    }
    Ok(last)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("Sessions are kept for ever:");
    tracemalloc::start(25)?;
    let (grown, snapshot) = rounds(&mut Service::new(usize::MAX))?;
    let leak = grown[0].traceback.most_recent();
    let of_leak = Filter::include(leak.filename()).with_line(leak.lineno());
    println!("\nWho calls for it?");
    let callers = snapshot.filter_traces([of_leak]);
    Tree::new()
        .group_by(GroupBy::Function)
        .write(&callers, &mut io::stdout())?;

    println!("\nThe latest 500 are kept:");
    let (mended, _) = rounds(&mut Service::new(500))?;

    assert_eq!(
        grown.len(),
        1,
        "only the leak still grows in the last round"
    );
    assert_eq!((grown[0].count, grown[0].count_diff), (5_000, 1_000));
    assert!(mended.is_empty());
    Ok(())
}
