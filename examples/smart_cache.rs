//! A cache that pins what is hot and lets the rest go: how much stays when the users are gone?
//!
//!     cargo run --release --example smart_cache

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tracemalloc::report::Text;
use tracemalloc::{GroupBy, Size, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

struct Config {
    name: String,
    values: Vec<f64>,
}

struct Entry {
    config: Weak<Config>,
    accesses: u64,
}

/// Knows up to `limit` configurations and owns those that are pinned.
struct SmartCache {
    entries: HashMap<usize, Entry>,
    pinned: HashMap<usize, Arc<Config>>,
    limit: usize,
    hits: u64,
    misses: u64,
}

impl SmartCache {
    fn new(limit: usize) -> Self {
        let (entries, pinned) = Default::default();
        Self {
            entries,
            pinned,
            limit,
            hits: 0,
            misses: 0,
        }
    }

    fn get_or_load(&mut self, id: usize) -> Arc<Config> {
        if let Some(entry) = self.entries.get_mut(&id)
            && let Some(config) = entry.config.upgrade()
        {
            entry.accesses += 1;
            self.hits += 1;
            return config;
        }
        self.misses += 1;
        self.make_room();
        let config = Arc::new(Config {
            name: format!("config-{id:05}"),
            values: vec![id as f64; 500],
        });
        let entry = Entry {
            config: Arc::downgrade(&config),
            accesses: 1,
        };
        self.entries.insert(id, entry);
        config
    }

    /// Forgets what nobody owns, and then what was asked for least.
    fn make_room(&mut self) {
        if self.entries.len() < self.limit {
            return;
        }
        self.entries
            .retain(|_, entry| entry.config.strong_count() > 0);
        let unpinned = self
            .entries
            .iter()
            .filter(|(id, _)| !self.pinned.contains_key(id));
        let least = unpinned
            .min_by_key(|(_, entry)| entry.accesses)
            .map(|(id, _)| *id);
        if let Some(least) = least.filter(|_| self.entries.len() >= self.limit) {
            self.entries.remove(&least);
        }
    }

    fn pin(&mut self, id: usize) {
        let config = self.get_or_load(id);
        self.pinned.insert(id, config);
    }

    fn unpin_all(&mut self) {
        self.pinned = HashMap::new();
        self.entries
            .retain(|_, entry| entry.config.strong_count() > 0);
    }

    fn alive(&self) -> usize {
        let entries = self.entries.values();
        entries
            .filter(|entry| entry.config.strong_count() > 0)
            .count()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracemalloc::start(25)?;
    let mut cache = SmartCache::new(1_000);
    let before = tracemalloc::take_snapshot()?;
    let users: Vec<_> = (0..1_000).map(|id| cache.get_or_load(id)).collect();
    (0..100).for_each(|id| cache.pin(id));
    let after = tracemalloc::take_snapshot()?;
    Text::new()
        .limit(3)
        .write_diff(&after, &before, &mut std::io::stdout())?;
    assert_eq!(
        (users[7].name.as_str(), users[7].values.len()),
        ("config-00007", 500)
    );

    println!("\n                       alive  live bytes");
    let mut live = Vec::new();
    let mut report = |cache: &SmartCache, when: &str| {
        let current = tracemalloc::get_traced_memory().current;
        println!("{when:<22} {:5} {:>11}", cache.alive(), Size(current));
        live.push((cache.alive(), current));
    };
    report(&cache, "1000 users, 100 pinned");
    drop(users);
    report(&cache, "users gone");
    cache.unpin_all();
    report(&cache, "nothing pinned");
    println!("{} hits, {} misses", cache.hits, cache.misses);

    // The values are the largest growth; a tenth of them is pinned and stays, and then nothing does.
    let values = &after.compare_to(&before, GroupBy::Line)?[0];
    assert_eq!(
        (values.count_diff, values.size_diff),
        (1_000, 1_000 * 500 * 8)
    );
    assert_eq!(
        live.iter().map(|(alive, _)| *alive).collect::<Vec<_>>(),
        [1_000, 100, 0]
    );
    assert!(live[1].1 < live[0].1 / 7 && live[2].1 < live[0].1 / 50);
    assert_eq!((cache.hits, cache.misses), (100, 1_000));
    Ok(())
}
