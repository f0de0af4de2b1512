//! Types: what blocks hold, by the standard library's functions that allocated them.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;

use tracemalloc::{Frame, GroupBy, Growth, Snapshot};

use crate::cases;

#[cfg(target_os = "linux")]
mod growth;

#[cfg(target_os = "linux")]
use growth::{
    maps_and_lists_tell_their_types, pointers_and_texts_tell_their_types,
    vectors_tell_their_types_however_they_grow,
};

cases![
    #[cfg(target_os = "linux")]
    blocks_are_grouped_by_what_they_hold,
    #[cfg(target_os = "linux")]
    types_of_one_layout_stay_apart,
    #[cfg(target_os = "linux")]
    vectors_tell_their_types_however_they_grow,
    #[cfg(target_os = "linux")]
    maps_and_lists_tell_their_types,
    #[cfg(target_os = "linux")]
    pointers_and_texts_tell_their_types,
    #[cfg(target_os = "linux")]
    no_type_of_one_layout_is_taken_for_another,
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

/// A container of ours, whose functions are one in optimised builds for all types of one layout.
struct Pool<T>(Vec<T>);

impl<T: Clone> Pool<T> {
    #[inline(never)]
    fn add(&mut self, item: T) {
        self.0.push(item);
    }

    #[inline(never)]
    fn copied(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Three types of one layout.
#[expect(dead_code, reason = "only its size counts")]
#[derive(Clone, Default)]
struct Name(u64, String);
#[expect(dead_code, reason = "only its size counts")]
#[derive(Clone, Default)]
struct Place(u64, String);
#[expect(dead_code, reason = "only its size counts")]
#[derive(Clone, Default)]
struct Note(u64, String);

#[inline(never)]
fn last_call<T>(items: &mut Vec<T>, item: T) {
    items.reserve(100);
    items.push(item);
}

#[inline(never)]
fn entries<T: Default>(map: &mut BTreeMap<u32, T>, count: u32) {
    for key in 0..count {
        map.entry(key).or_default();
    }
}

/// Bytes that stay.
fn traced(fill: impl FnOnce()) -> u64 {
    let before = tracemalloc::get_traced_memory().current;
    fill();
    tracemalloc::get_traced_memory().current - before
}

/// Whatever is merged: a type has at most the bytes that it holds, and `<unknown>` the rest.
#[cfg(target_os = "linux")]
fn no_type_of_one_layout_is_taken_for_another() {
    tracemalloc::start(25).unwrap();
    let mut held = (Vec::new(), Vec::new(), Vec::new());
    let mut maps = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let names = traced(|| fill::<Name>(&mut held.0, 3));
    let places = traced(|| fill::<Place>(&mut held.1, 30));
    let notes = traced(|| fill::<Note>(&mut held.2, 300));
    let name_maps = traced(|| entries::<Name>(&mut maps.0, black_box(12)));
    let place_maps = traced(|| entries::<Place>(&mut maps.1, black_box(120)));
    let note_maps = traced(|| entries::<Note>(&mut maps.2, black_box(1200)));
    let snapshot = tracemalloc::take_snapshot().unwrap();
    for (label, bytes) in [
        ("Vec<Name>", names),
        ("Vec<Place>", places),
        ("Vec<Note>", notes),
        ("BTreeMap<u32, Name>", name_maps),
        ("BTreeMap<u32, Place>", place_maps),
        ("BTreeMap<u32, Note>", note_maps),
    ] {
        let known = size_of_type(&snapshot, label);
        assert!(known <= bytes, "{label}: {known} B of {bytes} B");
    }
    drop((held, maps));
}

#[inline(never)]
fn fill<T: Clone + Default>(pools: &mut Vec<Vec<T>>, count: usize) {
    let mut pool = Pool(Vec::new());
    (0..count).for_each(|_| pool.add(T::default()));
    let mut last = Vec::new();
    last_call(&mut last, T::default());
    pools.extend([pool.copied().0, pool.0, last]);
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
