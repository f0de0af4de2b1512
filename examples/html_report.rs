//! A shop loads its catalogue and serves pages: what holds the memory, and what grows? Writes two
//! pages to look at in a browser, the heap after serving and what serving has changed, and the two
//! snapshots that they show.
//!
//!     cargo run --release --features html --example html_report [FOLDER]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::PathBuf;
use std::{env, thread};

use dashmap::DashMap;
use serde_json::{Value, json};
use tracemalloc::report::Html;
use tracemalloc::{GroupBy, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const PRODUCTS: usize = 2_000;
const REQUESTS: usize = 3_000;

/// The products and where words occur in them.
struct Catalogue {
    products: Vec<Value>,
    words: BTreeMap<String, Vec<usize>>,
}

impl Catalogue {
    fn load(text: &str) -> Result<Self, serde_json::Error> {
        let products: Vec<Value> = serde_json::from_str(text)?;
        let words = index_words(&products);
        Ok(Self { products, words })
    }

    fn find(&self, word: &str) -> Vec<&Value> {
        let places = self.words.get(word).into_iter().flatten();
        places.map(|&place| &self.products[place]).collect()
    }
}

fn index_words(products: &[Value]) -> BTreeMap<String, Vec<usize>> {
    let mut words: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, product) in products.iter().enumerate() {
        let name = product["name"].as_str().unwrap_or_default();
        for word in name.split(' ') {
            words.entry(word.to_owned()).or_default().push(place);
        }
    }
    words
}

/// What the shop remembers between requests.
#[derive(Default)]
struct Memory {
    pages: DashMap<String, String>,
    visitors: DashMap<usize, Vec<String>>,
}

impl Memory {
    fn serve(&self, catalogue: &Catalogue, request: usize) {
        let word = WORDS[request % WORDS.len()];
        let path = format!("/search/{word}?page={}", request / WORDS.len() % 7);
        let page = || render(&path, &catalogue.find(word));
        self.pages.entry(path.clone()).or_insert_with(page);
        self.visitors.entry(request % 400).or_default().push(path);
    }
}

fn render(path: &str, found: &[&Value]) -> String {
    let mut page = format!("<h1>{path}</h1>\n");
    for product in found.iter().take(40) {
        let (name, price) = (&product["name"], &product["price"]);
        writeln!(page, "<li>{name}: {price}</li>").expect("a string takes any text");
    }
    page
}

const WORDS: [&str; 8] = [
    "lamp", "table", "chair", "shelf", "mirror", "carpet", "clock", "vase",
];

fn catalogue_text() -> String {
    let product = |number: usize| {
        let (first, second) = (WORDS[number % 8], WORDS[number / 8 % 8]);
        json!({
            "id": number,
            "name": format!("{first} {second} no{number}"),
            "price": number * 7 % 900,
            "tags": [first, second, "home"],
            "sizes": {"height": number % 80, "width": number % 120},
        })
    };
    let products: Vec<Value> = (0..PRODUCTS).map(product).collect();
    serde_json::to_string(&products).expect("values have a text")
}

/// Notes for the people who load catalogues.
fn import_log(catalogue: &Catalogue) -> Vec<String> {
    let products = catalogue.products.iter();
    products
        .map(|product| format!("imported {product}"))
        .collect()
}

fn serve_all(memory: &Memory, catalogue: &Catalogue) -> HashMap<usize, usize> {
    let served = DashMap::new();
    thread::scope(|scope| {
        for thread in 0..2 {
            let served = &served;
            scope.spawn(move || {
                for request in (thread..REQUESTS).step_by(2) {
                    memory.serve(catalogue, request);
                }
                served.insert(thread, REQUESTS / 2);
            });
        }
    });
    served.into_iter().collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).map_or_else(env::temp_dir, PathBuf::from);
    let text = catalogue_text();

    tracemalloc::start(25)?;
    let catalogue = Catalogue::load(&text)?;
    let log = import_log(&catalogue);
    let memory = Memory::default();
    let loaded = tracemalloc::take_snapshot()?;
    drop(log);
    let served = serve_all(&memory, &catalogue);
    let after = tracemalloc::take_snapshot()?;
    tracemalloc::stop();

    let heap = folder.join("tracemalloc-heap.html");
    let mut out = File::create(&heap)?;
    Html::new()
        .title("Shop after 3,000 requests")
        .write(&after, &mut out)?;
    let diff = folder.join("tracemalloc-diff.html");
    let mut out = File::create(&diff)?;
    Html::new()
        .title("What 3,000 requests changed")
        .write_diff(&after, &loaded, &mut out)?;
    println!("Written: {} and {}", heap.display(), diff.display());

    // For the command-line tool.
    loaded.dump(folder.join("loaded.tmsnap.json.gz"))?;
    after.dump(folder.join("served.tmsnap.json.gz"))?;

    // What the pages claim: the parser holds most of the memory, serving let pages grow, and the
    // log went away.
    let crates = after.statistics(GroupBy::Crate);
    assert_eq!(crates[0].traceback.most_recent().to_string(), "serde_json");
    let changes = after.compare_to(&loaded, GroupBy::Crate)?;
    assert!(changes.iter().any(|change| change.size_diff > 0));
    assert!(changes.iter().any(|change| change.size_diff < 0));
    for (page, function) in [(&heap, "index_words"), (&diff, "import_log")] {
        let page = fs::read_to_string(page)?;
        assert!(page.starts_with("<!doctype html>"));
        assert!(page.contains(function), "{function}");
    }
    assert_eq!(served.values().sum::<usize>(), REQUESTS);
    Ok(())
}
