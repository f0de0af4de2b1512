//! What do a cache and a global configuration really hold, and does clearing them give it back?
//!
//!     cargo run --release --example image_cache

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tracemalloc::{Error, Scope, Size, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

struct Image {
    name: String,
    pixels: Vec<u8>,
}

impl Image {
    fn decode(name: &str, width: usize, height: usize) -> Self {
        let pixel = |at: usize| ((at % width) ^ (at / width)) as u8;
        let pixels = (0..width * height * 4).map(pixel).collect();
        Self {
            name: name.to_owned(),
            pixels,
        }
    }
}

/// Images that somebody uses, by name; at most `limit` of them.
struct ImageCache {
    images: HashMap<String, Weak<Image>>,
    limit: usize,
    hits: usize,
    loads: usize,
}

impl ImageCache {
    fn new(limit: usize) -> Self {
        Self {
            images: HashMap::new(),
            limit,
            hits: 0,
            loads: 0,
        }
    }

    fn get_or_load(&mut self, name: &str) -> Arc<Image> {
        if let Some(image) = self.images.get(name).and_then(Weak::upgrade) {
            self.hits += 1;
            return image;
        }
        self.loads += 1;
        let image = Arc::new(Image::decode(name, 64, 64));
        self.images.retain(|_, image| image.strong_count() > 0);
        if self.images.len() < self.limit {
            self.images.insert(name.to_owned(), Arc::downgrade(&image));
        }
        image
    }
}

/// What the module keeps for everybody: a configuration, until it is cleared.
static CONFIG: RwLock<Option<HashMap<String, String>>> = RwLock::new(None);

fn load_config() {
    let entry = |n| (format!("section.{}.key.{n}", n % 10), format!("value {n}"));
    let config = (0..1_000).map(entry).collect();
    *CONFIG.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
}

fn clear_config() {
    *CONFIG.write().unwrap_or_else(PoisonError::into_inner) = None;
}

fn main() -> Result<(), Error> {
    println!("{:<32} {:>10}", "", "live");
    let scope = Scope::open()?;
    let report = |what: &str| {
        let live = scope.usage().net_bytes() as u64;
        println!("{what:<32} {:>10}", Size(live));
        live
    };

    let mut cache = ImageCache::new(100);
    let images: Vec<_> = (0..100)
        .map(|n| cache.get_or_load(&format!("photo-{n:03}.png")))
        .collect();
    let again = cache.get_or_load("photo-007.png");
    assert_eq!(
        (cache.hits, cache.loads, &again.name),
        (1, 100, &images[7].name)
    );
    let loaded = report("100 images of 64 x 64 in use");
    let estimate: usize = images.iter().map(|image| size_of_val(&**image)).sum();
    println!(
        "{:<32} {:>10}",
        "  their size_of_val",
        Size(estimate as u64)
    );
    let pixels: usize = images.iter().map(|image| image.pixels.len()).sum();
    println!("{:<32} {:>10}", "  their pixels", Size(pixels as u64));
    drop((again, images));
    let unused = report("nobody uses them any more");
    drop(cache);
    report("the cache is dropped");

    load_config();
    let configured = report("the configuration is loaded");
    clear_config();
    let cleared = report("and cleared");

    assert!(loaded > pixels as u64 && estimate < 10_000);
    assert!(
        unused < loaded / 50,
        "names, and the blocks that the Weak keep"
    );
    assert!(configured > 50_000);
    assert_eq!(cleared, 0);
    Ok(())
}
