//! Types: what blocks hold, by the standard library's functions that allocated them.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;

use tracemalloc::{Frame, GroupBy, Growth, Snapshot};

use crate::cases;

cases![
    #[cfg(target_os = "linux")]
    blocks_are_grouped_by_what_they_hold,
    #[cfg(target_os = "linux")]
    types_of_one_layout_stay_apart,
    #[cfg(target_os = "linux")]
    own_code_is_told_from_dependencies,
    #[cfg(target_os = "linux")]
    growth_is_found_by_type,
];

#[expect(dead_code, reason = "only its size counts")]
struct User(u64, u64);
#[expect(dead_code, reason = "only its size counts")]
struct Order(u64, u64);

/// Its name says what the map inside is, whose functions may be another's.
struct Object<K, V>(BTreeMap<K, V>);

impl Object<String, Order> {
    #[inline(always)]
    fn add(&mut self, key: String, order: Order) {
        self.0.insert(key, order);
    }
}

fn size_of_type(snapshot: &Snapshot, name: &str) -> u64 {
    let statistics = snapshot.statistics(GroupBy::Type);
    let found = statistics
        .iter()
        .find(|group| group.traceback.most_recent().filename() == name);
    found.map_or(0, |group| group.size)
}

#[cfg(target_os = "linux")]
fn blocks_are_grouped_by_what_they_hold() {
    tracemalloc::start(25).unwrap();
    let boxed = black_box(Box::new(User(1, 2)));
    let shared = black_box(Arc::new([7_u8; 100]));
    let text = black_box(format!("{}-{}", black_box(1), black_box(2)));
    let mut map = HashMap::new();
    map.insert(black_box(1_u64), Order(1, 2));
    let collected: Vec<Order> = (0..black_box(10)).map(|n| Order(n, n)).collect();
    let slice: Box<[User]> = (0..black_box(7)).map(|n| User(n, n)).collect();
    let text_slice: Box<str> = Box::from(black_box("eleven byte"));
    let mut fields = Object(BTreeMap::new());
    fields.add(black_box(String::new()), Order(1, 2));
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let bytes = |name: &str| size_of_type(&snapshot, name);
    assert_eq!(bytes("Box<User>"), 16);
    assert_eq!(bytes("Box<[User]>"), 112);
    assert_eq!(bytes("Box<str>"), 11);
    // A node has room for eleven.
    assert!(bytes("BTreeMap<String, Order>") >= 11 * 40);
    // Without optimisation `Arc::new` is a function of its own, which might be merged with another's.
    if !cfg!(debug_assertions) {
        assert_eq!(bytes("Arc<[u8; 100]>"), 120);
    }
    assert_eq!(bytes("String"), text.capacity() as u64);
    assert_eq!(bytes("Vec<Order>"), 160);
    assert!(bytes("HashMap<u64, Order>") >= 24);
    drop(black_box((boxed, shared, map, collected)));
    drop(black_box((slice, text_slice, fields.0)));
}

#[inline(never)]
fn users(count: u64) -> Vec<User> {
    let mut users = Vec::new();
    (0..count).for_each(|n| users.push(User(n, 1)));
    users
}

#[inline(never)]
fn orders(count: u64) -> Vec<Order> {
    let mut orders = Vec::new();
    (0..count).for_each(|n| orders.push(Order(n, 2)));
    orders
}

/// In optimised builds one function grows both vectors. The functions that fill them differ in a number, or
/// they could be one as well.
#[cfg(target_os = "linux")]
fn types_of_one_layout_stay_apart() {
    tracemalloc::start(25).unwrap();
    let held = black_box((users(black_box(16)), orders(black_box(64))));
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_eq!(size_of_type(&snapshot, "Vec<User>"), 256);
    assert_eq!(size_of_type(&snapshot, "Vec<Order>"), 1024);
    drop(held);
}

#[cfg(target_os = "linux")]
fn own_code_is_told_from_dependencies() {
    tracemalloc::start(25).unwrap();
    let value: serde_json::Value = serde_json::from_str(black_box("[[1, 2, 3]]")).unwrap();
    let held = black_box(value);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let files = |snapshot: &Snapshot| {
        let statistics = snapshot.statistics(GroupBy::File);
        let frames = statistics.iter().map(|group| group.traceback.most_recent());
        frames
            .map(Frame::filename)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let all = files(&snapshot);
    assert!(
        all.iter().any(|file| file.starts_with("serde_json-")),
        "{all:?}"
    );
    assert_eq!(files(&snapshot.own_code()), [file!()]);
    drop(held);
}

#[cfg(target_os = "linux")]
fn growth_is_found_by_type() {
    tracemalloc::start(25).unwrap();
    let mut growth = Growth::new(GroupBy::Type);
    let mut kept = Vec::with_capacity(20);
    for (more, blocks) in [(10, 10), (0, 0), (5, 5)] {
        kept.extend((0..more).map(|n| black_box(Box::new(User(n, n)))));
        let snapshot = tracemalloc::take_snapshot().unwrap();
        let grown = growth.beyond_highest(&snapshot);
        let users = grown
            .iter()
            .find(|group| group.traceback.most_recent().filename() == "Box<User>");
        assert_eq!(users.map_or(0, |group| group.count_diff), blocks);
    }
    drop(kept);
}
