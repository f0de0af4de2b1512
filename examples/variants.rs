//! What does an object cost as a map, a struct, a box or an element of an array?
//!
//!     cargo run --release --example variants

use std::collections::{BTreeMap, HashMap};

use tracemalloc::{TraceAlloc, Variants};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

#[expect(dead_code, reason = "made to be measured")]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
}

/// A configuration item as fields by name.
fn fields(n: usize) -> [(&'static str, Value); 5] {
    [
        ("name", Value::Text(format!("item-{n:05}"))),
        ("value", Value::Text(format!("value of {n:05}"))),
        ("category", Value::Text("network".to_owned())),
        ("timeout", Value::Number(30)),
        ("enabled", Value::Flag(true)),
    ]
}

#[expect(dead_code, reason = "made to be measured")]
struct Item<Text, Category> {
    name: Text,
    value: Text,
    category: Category,
    timeout: u32,
    enabled: bool,
}

fn item<Text: From<String>, Category>(n: usize, category: Category) -> Item<Text, Category> {
    let (name, value) = (format!("item-{n:05}"), format!("value of {n:05}"));
    let (name, value) = (name.into(), value.into());
    Item {
        name,
        value,
        category,
        timeout: 30,
        enabled: true,
    }
}

fn main() {
    let mut items = Variants::new();
    let map = items.each("HashMap<String, Value>", 10_000, |n| {
        let owned = fields(n).map(|(name, value)| (name.to_owned(), value));
        HashMap::from(owned)
    });
    items.each("HashMap<&str, Value>", 10_000, |n| HashMap::from(fields(n)));
    items.each("BTreeMap<&str, Value>", 10_000, |n| {
        BTreeMap::from(fields(n))
    });
    let text = items.each("struct of String", 10_000, |n| {
        item::<String, _>(n, "network".to_owned())
    });
    items.each("struct of Box<str>", 10_000, |n| {
        item::<Box<str>, Box<str>>(n, "network".into())
    });
    let shared = items.each("its category &'static", 10_000, |n| {
        item::<Box<str>, _>(n, "network")
    });
    println!("{items}");

    let at = |n: usize| (n as f64, n as f64 / 2.0);
    let mut points = Variants::new();
    let maps = points.each("HashMap<&str, f64>", 100_000, |n| {
        HashMap::from([("x", at(n).0), ("y", at(n).1)])
    });
    let boxed = points.each("Box<(f64, f64)>", 100_000, |n| Box::new(at(n)));
    points.each("(f64, f64)", 100_000, at);
    let array = points.together("Vec<(f64, f64)>", 1_000_000, || {
        (0..1_000_000).map(at).collect::<Vec<_>>()
    });
    let arrays = points.together("two Vec<f32>", 1_000_000, || {
        let one = |n: usize| n as f32;
        [(); 2].map(|()| (0..1_000_000).map(one).collect::<Vec<_>>())
    });
    print!("{points}");

    assert!(map.bytes >= 3 * text.bytes && text.bytes > shared.bytes);
    assert!(maps.bytes >= 3 * boxed.bytes);
    assert_eq!((array.bytes_each(), array.blocks), (16.0, 1));
    assert_eq!((arrays.bytes_each(), arrays.blocks), (8.0, 2));
}
