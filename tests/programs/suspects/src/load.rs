//! Crates under load: caches that fill, pools, arenas, queues and maps that swing.

use std::num::NonZeroUsize;

use bumpalo::Bump;
use bytes::BytesMut;
use dashmap::DashMap;
use indexmap::IndexMap;
use lasso::Rodeo;
use lru::LruCache;
use quick_cache::sync::Cache;
use regex::Regex;
use serde_json::{Value, json};
use slab::Slab;

use crate::random::Random;

/// What one crate does in a round.
pub(crate) type Load = Box<dyn FnMut(u64)>;

pub(crate) fn all() -> Vec<Load> {
    vec![
        parsed_documents(),
        patterns(),
        cache_that_fills(),
        cache_by_chance(),
        shared_map_that_swings(),
        map_of_a_day(),
        pool_of_slots(),
        buffers(),
        names(),
        queue(),
        arena(),
    ]
}

/// serde_json: some documents are in flight.
fn parsed_documents() -> Load {
    let mut random = Random::new(11);
    let mut in_flight: Vec<Value> = Vec::new();
    Box::new(move |_| {
        for number in 0..200 {
            let items: Vec<u64> = (0..random.below(60)).collect();
            let text = json!({"id": number, "items": items, "name": "order"}).to_string();
            in_flight.push(serde_json::from_str(&text).expect("it was written as JSON"));
        }
        let rest = random.below(150) as usize;
        in_flight.truncate(rest);
    })
}

/// regex: fills its caches while it is used.
fn patterns() -> Load {
    let patterns = [
        r"(\w+)@(\w+)\.com",
        r"\d{4}-\d{2}-\d{2}",
        r"(?i)error|warn(ing)?",
    ];
    let patterns = patterns.map(|text| Regex::new(text).expect("a valid pattern"));
    let mut random = Random::new(12);
    Box::new(move |_| {
        for _ in 0..100 {
            let (year, user) = (random.below(9_999), random.below(1_000_000));
            let line = format!("{year:04}-01-02 warning: user{user}@example{year}.com is late");
            assert!(patterns.iter().all(|pattern| pattern.is_match(&line)));
        }
    })
}

/// lru: full after eight rounds.
fn cache_that_fills() -> Load {
    let mut cache = LruCache::new(NonZeroUsize::new(4_000).expect("not zero"));
    Box::new(move |round| {
        for number in 0..500 {
            cache.put(round * 500 + number, "x".repeat(100));
        }
    })
}

/// quick_cache: keys come at random, so that it fills ever more slowly, and lets go when it is full.
fn cache_by_chance() -> Load {
    let cache = Cache::new(3_000);
    let mut random = Random::new(13);
    Box::new(move |_| {
        for _ in 0..2_000 {
            let key = random.below(5_000);
            if cache.get(&key).is_none() {
                cache.insert(key, vec![0_u8; 80]);
            }
        }
    })
}

/// dashmap: sessions begin and end.
fn shared_map_that_swings() -> Load {
    let map: DashMap<u64, String> = DashMap::new();
    let mut random = Random::new(14);
    Box::new(move |round| {
        let crowd = [400, 900, 2_000, 2_500, 1_800, 700][round as usize % 6] + random.below(100);
        for number in 0..crowd {
            map.entry(number)
                .or_insert_with(|| format!("session {number} of round {round}"));
        }
        map.retain(|number, _| *number < crowd);
    })
}

/// indexmap: filled over ten rounds, and emptied.
fn map_of_a_day() -> Load {
    let mut map: IndexMap<String, u64> = IndexMap::new();
    Box::new(move |round| {
        if round % 10 == 0 {
            map.clear();
        }
        for number in 0..300 {
            *map.entry(format!("{round}/{number}")).or_default() += 1;
        }
    })
}

/// slab: a pool that has as many slots as were ever needed.
fn pool_of_slots() -> Load {
    let mut slots: Slab<Box<[u8; 200]>> = Slab::new();
    let mut random = Random::new(15);
    Box::new(move |_| {
        let taken: Vec<usize> = (0..300 + random.below(200))
            .map(|_| slots.insert(Box::new([0; 200])))
            .collect();
        for slot in taken.into_iter().skip(100) {
            slots.remove(slot);
        }
        let old: Vec<usize> = slots.iter().map(|(slot, _)| slot).collect();
        for slot in old.into_iter().skip(50) {
            slots.remove(slot);
        }
    })
}

/// bytes: buffers that are taken from a list and given back.
fn buffers() -> Load {
    let mut free: Vec<BytesMut> = Vec::new();
    let mut random = Random::new(16);
    Box::new(move |_| {
        let wanted = 20 + random.below(20) as usize;
        let mut used: Vec<BytesMut> = (0..wanted)
            .map(|_| free.pop().unwrap_or_else(|| BytesMut::with_capacity(1024)))
            .collect();
        for buffer in &mut used {
            buffer.clear();
            buffer.extend_from_slice(&vec![7; random.below(3_000) as usize]);
        }
        free.append(&mut used);
    })
}

/// lasso: a vocabulary that is soon complete.
fn names() -> Load {
    let mut names = Rodeo::default();
    let mut random = Random::new(17);
    Box::new(move |_| {
        for _ in 0..3_000 {
            names.get_or_intern(format!("field_{}", random.below(2_000)));
        }
    })
}

/// crossbeam-channel: a queue that is longer at one time than at another.
fn queue() -> Load {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let mut random = Random::new(18);
    Box::new(move |_| {
        for number in 0..random.below(2_000) {
            sender
                .send(format!("job {number}"))
                .expect("the receiver is there");
        }
        let rest = random.below(500) as usize;
        while receiver.len() > rest {
            receiver.recv().expect("there is one");
        }
    })
}

/// bumpalo: an arena that keeps its largest piece.
fn arena() -> Load {
    let mut arena = Bump::new();
    let mut random = Random::new(19);
    Box::new(move |_| {
        arena.reset();
        for _ in 0..random.below(2_000) {
            arena.alloc([0_u64; 8]);
        }
    })
}
