//! A function is suspected of keeping memory. Run it a thousand times between two snapshots and
//! compare: what it keeps stands first, at the line that allocated it.
//!
//!     cargo run --release --example leak_hunt

use std::collections::HashMap;
use std::sync::Mutex;

use tracemalloc::{Error, GroupBy, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Counts words, and never forgets a request. Returns the line of the leak too, so that the example
/// can check what it finds.
fn suspicious(request: &str) -> (usize, u32) {
    let (forgotten, line) = (request.to_owned(), line!());
    SEEN.lock().expect("no thread panicked").push(forgotten);
    let mut words: HashMap<String, usize> = HashMap::new();
    for word in request.split(' ') {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    (words.len(), line)
}

fn main() -> Result<(), Error> {
    tracemalloc::start(25)?;
    // What is made once, such as a cache, is not a leak: let it be made before the first snapshot.
    let (_, leak) = suspicious("warm up");
    let before = tracemalloc::take_snapshot()?;
    for request in 0..1000 {
        suspicious(&format!(
            "GET /articles/{request} and some more words of a request"
        ));
    }
    let after = tracemalloc::take_snapshot()?;
    tracemalloc::stop();

    let growth = after.compare_to(&before, GroupBy::Line)?;
    println!("Growth over 1000 calls:");
    for line in growth.iter().filter(|line| line.size_diff != 0).take(5) {
        println!("  {line}");
    }

    let first = &growth[0];
    let culprit = first.traceback.most_recent();
    assert_eq!(
        (culprit.filename(), culprit.lineno()),
        ("examples/leak_hunt.rs", leak)
    );
    assert!(first.count_diff >= 1000, "a block for every call");
    assert!(
        growth[1].size_diff.abs() < first.size_diff,
        "nothing else grew as much"
    );
    Ok(())
}
