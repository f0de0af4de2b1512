//! A function is suspected of keeping memory: what is left after a thousand calls, and is it gone when it is
//! mended?
//!
//!     cargo run --release --example leak_hunt

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io;

use tracemalloc::report::Text;
use tracemalloc::{GroupBy, Snapshot, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Counts words, and remembers requests: the latest of them, or all for ever.
struct Suspect {
    seen: VecDeque<String>,
    remembered: usize,
}

impl Suspect {
    fn remembering(remembered: usize) -> Self {
        let seen = VecDeque::with_capacity(2_048);
        Self { seen, remembered }
    }

    fn count(&mut self, request: &str) -> usize {
        self.seen.push_back(request.to_owned());
        if self.seen.len() > self.remembered {
            self.seen.pop_front();
        }
        let mut words: HashMap<&str, usize> = HashMap::new();
        for word in request.split(' ') {
            *words.entry(word).or_default() += 1;
        }
        words.len()
    }
}

/// Snapshots before and after a thousand calls. What is made once is made by some calls before.
fn around(mut suspect: Suspect) -> Result<(Snapshot, Snapshot), tracemalloc::Error> {
    let mut call = |n: usize| suspect.count(&format!("GET /articles/{n:04} and more words"));
    for request in 0..100 {
        call(request);
    }
    let before = tracemalloc::take_snapshot()?;
    for request in 100..1_100 {
        call(request);
    }
    Ok((before, tracemalloc::take_snapshot()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("Suspected:");
    tracemalloc::start(25)?;
    let (before, after) = around(Suspect::remembering(usize::MAX))?;
    Text::new().write_diff(&after, &before, &mut io::stdout())?;
    println!("\nMended:");
    let (mended_before, mended) = around(Suspect::remembering(100))?;
    Text::new().write_diff(&mended, &mended_before, &mut io::stdout())?;

    let lines = after.compare_to(&before, GroupBy::Line)?;
    assert_eq!((lines[0].count_diff, lines[0].size_diff), (1_000, 33_000));
    assert!(lines[1..].iter().all(|line| line.size_diff == 0));
    let lines = mended.compare_to(&mended_before, GroupBy::Line)?;
    assert!(lines.iter().all(|line| line.size_diff == 0));
    Ok(())
}
