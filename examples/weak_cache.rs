//! A cache that does not keep its values alive: is the memory gone with the last user?
//!
//!     cargo run --release --example weak_cache
//!
//! A `Weak` keeps the block of its `Arc`, though not what the value owns beyond it: whether that is
//! 40 bytes or all of the value is the choice between `Arc<Config>` and `Arc<[u8]>`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tracemalloc::{Error, Scope, Size, SizeDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Config {
    text: Vec<u8>,
}

impl Config {
    fn load(number: usize) -> Self {
        let text = vec![number as u8; 10_000];
        Self { text }
    }
}

impl AsRef<[u8]> for Config {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// What a finalizer does in other languages.
impl Drop for Config {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

struct WeakCache<V: ?Sized> {
    entries: HashMap<usize, Weak<V>>,
    hits: usize,
    misses: usize,
}

impl<V: ?Sized> WeakCache<V> {
    fn new() -> Self {
        let entries = HashMap::with_capacity(1_000);
        Self {
            entries,
            hits: 0,
            misses: 0,
        }
    }

    fn get(&mut self, key: usize, make: impl FnOnce(usize) -> Arc<V>) -> Arc<V> {
        if let Some(value) = self.entries.get(&key).and_then(Weak::upgrade) {
            self.hits += 1;
            return value;
        }
        self.misses += 1;
        let value = make(key);
        self.entries.insert(key, Arc::downgrade(&value));
        value
    }

    fn purge(&mut self) {
        self.entries.retain(|_, value| value.strong_count() > 0);
    }
}

/// Fills the cache, drops every user of its values, and purges it: the bytes after each.
fn lifetimes<V: AsRef<[u8]> + ?Sized>(
    kind: &str,
    make: impl Fn(usize) -> Arc<V>,
) -> Result<[i64; 3], Error> {
    let mut cache = WeakCache::new();
    let scope = Scope::open()?;
    let live = || scope.usage().net_bytes();

    let mut users = Vec::with_capacity(500);
    users.extend((0..500).map(|key| cache.get(key, &make)));
    let mut again = Vec::with_capacity(100);
    again.extend((0..100).map(|key| cache.get(key, &make)));
    assert!(Arc::ptr_eq(&again[0], &users[0]) && (*again[0]).as_ref().len() == 10_000);
    assert_eq!((cache.hits, cache.misses), (100, 500));
    let used = live();
    drop((again, users));
    let unused = live();
    cache.purge();
    let purged = live();

    let sizes = [used, unused, purged].map(SizeDiff);
    let hit_rate = 100.0 * cache.hits as f64 / (cache.hits + cache.misses) as f64;
    println!(
        "{kind:<12} {:>10} {:>10} {:>10} {hit_rate:8.1} %",
        sizes[0], sizes[1], sizes[2]
    );
    Ok([used, unused, purged])
}

fn main() -> Result<(), Error> {
    println!("500 values       in use     unused     purged   hit rate");
    let config = lifetimes("Arc<Config>", |number| Arc::new(Config::load(number)))?;
    assert_eq!(DROPPED.load(Ordering::Relaxed), 500);
    let bytes = lifetimes("Arc<[u8]>", |number| {
        Arc::<[u8]>::from(vec![number as u8; 10_000])
    })?;

    let shallow = 500 * size_of::<Config>();
    println!("size_of says {} for the 500", Size(shallow as u64));

    assert!(config[0] > 5_000_000 && shallow < 20_000);
    assert!(config[1] < 500 * 48, "the blocks of the Arcs alone");
    assert!(
        bytes[1] > 5_000_000,
        "the bytes are in the block that the Weak keeps"
    );
    assert_eq!([config[2], bytes[2]], [0, 0]);
    Ok(())
}
