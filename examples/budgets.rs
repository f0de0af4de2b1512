//! How does a test hold code to a memory budget, and what does it say when the code does not keep it?
//! What stands in `main` here stands in a `#[test]` of yours.
//!
//!     cargo run --release --example budgets

use std::collections::HashMap;
use std::hint::black_box;

use tracemalloc::{Budget, NoGrowth, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Counts words. Looks up a word before it makes a copy of it.
fn count(text: &str) -> HashMap<String, usize> {
    let mut words: HashMap<String, usize> = HashMap::with_capacity(8);
    for word in text.split(' ') {
        match words.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(words.insert(word.to_owned(), 1)),
        }
    }
    words
}

/// As `count`, with a copy for each look-up.
fn count_wastefully(text: &str) -> HashMap<String, usize> {
    let mut words: HashMap<String, usize> = HashMap::with_capacity(8);
    for word in text.split(' ') {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    words
}

fn main() {
    let text = "the quick brown fox jumps over the lazy dog ".repeat(20);
    // What is made on first use is made now.
    drop(black_box(count(&text)));

    let budget = Budget::new().max_allocations(20).max_peak(2048).no_leak();
    budget.check(|| drop(black_box(count(&text))));
    println!("count keeps the budget");

    let error = budget
        .measure(|| drop(black_box(count_wastefully(&text))))
        .expect_err("a copy for each of 180 words");
    println!("count_wastefully: {error}");
    assert!(error.usage().allocations > 150);

    let mut log = Vec::with_capacity(1000);
    let grown = NoGrowth::new()
        .find(|| log.push(count(&text).len().to_string()))
        .expect("nobody else starts or stops tracing");
    println!("a log that is never emptied: {grown}");
    assert!(!grown.is_empty());
    NoGrowth::new().check(|| {
        log.truncate(10); // Emptied now and then.
        log.push(count(&text).len().to_string());
    });
    println!("a log that is emptied does not grow");
}
