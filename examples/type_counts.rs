//! Values of which types hold the memory, and how many are there? What `Counter(type(o).__name__ for o in
//! gc.get_objects())` and objgraph's `show_most_common_types` answer.
//!
//!     cargo run --release --example type_counts
//!
//! Types come from debug information: `debug = "limited"` or more.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;

use tracemalloc::report::Text;
use tracemalloc::{GroupBy, SortBy, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

#[expect(dead_code, reason = "made to be counted")]
struct User {
    name: String,
    friends: Vec<u32>,
}

#[expect(dead_code, reason = "made to be counted")]
struct Order {
    user: usize,
    cents: u64,
}

#[derive(Default)]
struct Shop {
    users: Vec<User>,
    #[expect(clippy::vec_box, reason = "each is to be a block of its own")]
    orders: Vec<Box<Order>>,
    names: HashMap<String, Arc<Order>>,
}

fn fill(shop: &mut Shop) {
    for user in 0..1_000 {
        let (name, friends) = (format!("user {user}"), vec![1, 2, 3]);
        shop.users.push(User { name, friends });
    }
    for order in 0..5_000 {
        shop.orders.push(Box::new(Order {
            user: order % 1_000,
            cents: 990,
        }));
    }
    for order in 0..100 {
        let newest = Arc::new(Order {
            user: order,
            cents: 100,
        });
        shop.names.insert(format!("order {order}"), newest);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut shop = Shop::default();
    tracemalloc::start(25)?;
    fill(&mut shop);
    let snapshot = tracemalloc::take_snapshot()?;
    let common = Text::new().group_by(GroupBy::Type).sort_by(SortBy::Blocks);
    common.write(&snapshot, &mut io::stdout())?;

    let types = snapshot.statistics(GroupBy::Type);
    let named = |name: &str| {
        types
            .iter()
            .find(|group| group.traceback.most_recent().filename() == name)
    };
    assert_eq!(named("Box<Order>").map(|orders| orders.count), Some(5_000));
    assert_eq!(named("Vec<User>").map(|users| users.count), Some(1));
    Ok(())
}
