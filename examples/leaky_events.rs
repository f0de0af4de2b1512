//! Handlers are registered and never removed: which line keeps them, and does the fix hold?
//!
//!     cargo run --release --example leaky_events

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tracemalloc::report::Text;
use tracemalloc::{GroupBy, StatisticDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

struct Handler {
    name: String,
    seen: Mutex<Vec<u32>>,
}

impl Handler {
    fn new(number: usize) -> Arc<Self> {
        let (name, seen) = (format!("handler-{number:04}"), Mutex::default());
        Arc::new(Self { name, seen })
    }

    fn handle(&self, event: u32) -> usize {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(event);
        self.name.len() + seen.len()
    }
}

/// Keeps every handler alive: the leak.
#[derive(Default)]
struct Owning(Vec<Arc<Handler>>);

/// Knows the handlers without owning them, and forgets those that are gone. Without `retain` the
/// block of each would stay: a `Weak` keeps the memory of its `Arc`.
#[derive(Default)]
struct Observing(Vec<Weak<Handler>>);

trait Registry {
    fn register(&mut self, handler: &Arc<Handler>);
}

impl Registry for Owning {
    fn register(&mut self, handler: &Arc<Handler>) {
        self.0.push(Arc::clone(handler));
    }
}

impl Registry for Observing {
    fn register(&mut self, handler: &Arc<Handler>) {
        self.0.retain(|known| known.strong_count() > 0);
        self.0.push(Arc::downgrade(handler));
    }
}

/// A thousand components come, handle an event and go. Which lines hold more memory than before?
fn growth(registry: &mut impl Registry) -> Result<Vec<StatisticDiff>, Box<dyn Error>> {
    registry.register(&Handler::new(0)); // What is made once is no leak.
    let before = tracemalloc::take_snapshot()?;
    for number in 1..=1_000 {
        let handler = Handler::new(number);
        registry.register(&handler);
        handler.handle(number as u32);
    }
    let after = tracemalloc::take_snapshot()?;
    Text::new().write_diff(&after, &before, &mut io::stdout())?;
    let mut lines = after.compare_to(&before, GroupBy::Line)?;
    lines.retain(|line| line.size_diff > 0);
    Ok(lines)
}

fn main() -> Result<(), Box<dyn Error>> {
    tracemalloc::start(25)?;
    println!("A registry of Arc<Handler>, 1000 handlers later:");
    let mut owning = Owning::default();
    let leak = growth(&mut owning)?;
    println!("\nA registry of Weak<Handler>:");
    let fixed = growth(&mut Observing::default())?;

    let kept = leak.iter().filter(|line| line.count_diff == 1_000).count();
    assert_eq!(kept, 3, "the handler, its name and what it has seen");
    assert!(fixed.is_empty(), "{fixed:#?}");
    drop(owning);
    Ok(())
}
