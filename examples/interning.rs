//! The same words again and again: what does it save to keep each of them once?
//!
//!     cargo run --release --example interning

use std::collections::HashSet;
use std::sync::Arc;

use tracemalloc::{SizeDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const LEVELS: [&str; 4] = ["DEBUG", "INFO", "WARNING", "ERROR"];

/// A log of ten thousand lines of five words, each of which is one of forty.
fn log() -> String {
    let line = |n: usize| {
        let (level, user) = (LEVELS[n % 4], n % 30);
        format!(
            "{level} user-{user:02} opened connection {}\n",
            ["v4", "v6", "local"][n % 3]
        )
    };
    (0..10_000).map(line).collect()
}

/// Words as values that share their text.
#[derive(Default)]
struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn intern(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return Arc::clone(known);
        }
        let word = Arc::<str>::from(word);
        self.0.insert(Arc::clone(&word));
        word
    }
}

fn main() {
    let log = log();
    let words: Vec<&str> = log.split_whitespace().collect();
    println!("{} words              bytes   blocks", words.len());
    let strings = cost("String", || {
        words
            .iter()
            .map(|word| word.to_string())
            .collect::<Vec<String>>()
    });
    let boxed = cost("Box<str>", || {
        words
            .iter()
            .map(|word| Box::from(*word))
            .collect::<Vec<Box<str>>>()
    });
    let interned = cost("Arc<str>, interned", || {
        let mut interner = Interner::default();
        let words: Vec<Arc<str>> = words.iter().map(|word| interner.intern(word)).collect();
        (words, interner)
    });
    let borrowed = cost("&str of the text", || words.clone());

    assert!(strings.1 > 50_000 && boxed.1 == strings.1);
    assert_eq!(
        interned.1,
        39 + 2,
        "a block for each distinct word, the list and the set"
    );
    assert_eq!(borrowed.1, 1);
    assert!(interned.0 < strings.0 * 2 / 3);
}

/// Bytes and blocks of what `make` returns.
fn cost<T>(name: &str, make: impl FnOnce() -> T) -> (i64, i64) {
    let (value, usage) = tracemalloc::measure(make);
    let (bytes, blocks) = (usage.net_bytes(), usage.net_blocks());
    println!("{name:<22} {:>10} {blocks:>8}", SizeDiff(bytes));
    drop(value);
    (bytes, blocks)
}
