//! Which caches stop growing: of all results, of the latest, of a minute, and what keeps an owner alive?
//!
//!     cargo run --release --example bounded_lru

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};

use tracemalloc::{Scope, Size, SizeDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const LIMIT: usize = 1_000;
const BATCHES: usize = 6;

fn render(page: usize) -> String {
    format!("<h1>Page {page:06}</h1>{}", "<p>text</p>".repeat(50))
}

/// Every result, for ever.
#[derive(Default)]
struct Unbounded(HashMap<usize, String>);

impl Unbounded {
    fn get(&mut self, page: usize) -> &str {
        self.0.entry(page).or_insert_with(|| render(page))
    }
}

/// The `LIMIT` results that were asked for last.
#[derive(Default)]
struct Lru {
    pages: HashMap<usize, (u64, String)>,
    by_use: BTreeMap<u64, usize>,
    clock: u64,
}

impl Lru {
    fn get(&mut self, page: usize) -> &str {
        self.clock += 1;
        if let Some((used, _)) = self.pages.get(&page) {
            self.by_use.remove(used);
        } else if self.pages.len() == LIMIT {
            let least = self.by_use.pop_first();
            least.and_then(|(_, page)| self.pages.remove(&page));
        }
        self.by_use.insert(self.clock, page);
        let entry = self.pages.entry(page).or_insert_with(|| (0, render(page)));
        entry.0 = self.clock;
        &entry.1
    }
}

/// Results that are younger than a minute.
#[derive(Default)]
struct Ttl {
    pages: HashMap<usize, String>,
    made: VecDeque<(u64, usize)>,
}

impl Ttl {
    fn get(&mut self, page: usize, second: u64) -> &str {
        while let Some((made, old)) = self.made.front().copied() {
            if second < made + 60 {
                break;
            }
            self.pages.remove(&old);
            self.made.pop_front();
        }
        self.pages.entry(page).or_insert_with(|| {
            self.made.push_back((second, page));
            render(page)
        })
    }
}

/// Live bytes after each batch of a thousand new pages, between which ten favourites are asked for.
fn curve(name: &str, mut get: impl FnMut(usize) -> usize) -> [u64; BATCHES] {
    print!("{name:<10}");
    let scope = Scope::open().expect("the tracer is installed");
    let mut batch = 0..1_000;
    let curve = [(); BATCHES].map(|()| {
        for page in batch.clone() {
            assert!(get(page) > 500 && get(page % 10) > 500);
        }
        batch = batch.end..batch.end + 1_000;
        let live = scope.usage().net_bytes() as u64;
        print!(" {:>9}", Size(live));
        live
    });
    println!();
    curve
}

/// A large value whose method is memoised.
struct Report {
    id: usize,
    rows: Vec<u64>,
}

impl Report {
    fn new(id: usize) -> Arc<Self> {
        let rows = vec![id as u64; 10_000];
        Arc::new(Self { id, rows })
    }

    fn total(&self) -> u64 {
        self.rows.iter().sum()
    }
}

/// Bytes that are left when a hundred reports were memoised and dropped.
fn after_owners(mut total: impl FnMut(&Arc<Report>) -> u64) -> i64 {
    let ((), usage) = tracemalloc::measure(|| {
        for id in 0..100 {
            assert_eq!(total(&Report::new(id)), id as u64 * 10_000);
        }
    });
    usage.net_bytes()
}

fn main() {
    println!("Live bytes after each 1000 new pages");
    let mut cache = Unbounded::default();
    let unbounded = curve("unbounded", |page| cache.get(page).len());
    let pages = HashMap::with_capacity(2 * LIMIT);
    let mut cache = Lru {
        pages,
        ..Lru::default()
    };
    let lru = curve("LRU", |page| cache.get(page).len());
    let pages = HashMap::with_capacity(2 * LIMIT);
    let mut cache = Ttl {
        pages,
        ..Ttl::default()
    };
    let mut requests = 0;
    let ttl = curve("a minute", |page| {
        requests += 1;
        cache.get(page, requests / 20).len()
    });

    println!("\nLive bytes after 100 memoised reports were dropped");
    let mut by_owner: Vec<(Arc<Report>, u64)> = Vec::new();
    let owned = after_owners(|report| {
        by_owner.push((Arc::clone(report), report.total()));
        report.total()
    });
    println!("{:<18} {:>9}", "owner in the key", SizeDiff(owned));
    let mut by_id: HashMap<usize, (Weak<Report>, u64)> = HashMap::new();
    let keyed = after_owners(|report| {
        by_id.retain(|_, (owner, _)| owner.strong_count() > 0);
        let result = || (Arc::downgrade(report), report.total());
        by_id.entry(report.id).or_insert_with(result).1
    });
    println!("{:<18} {:>9}", "id, and a Weak", SizeDiff(keyed));

    // The unbounded cache gains as much with each batch; the others stop when they are full.
    assert!((1..BATCHES).all(|n| unbounded[n] > unbounded[n - 1] + 500_000));
    let level = |curve: &[u64]| {
        curve
            .iter()
            .all(|live| live.abs_diff(curve[0]) < curve[0] / 10)
    };
    assert!(level(&lru) && level(&ttl));
    assert!(owned > 100 * 80_000 && keyed < 10_000);
}
