//! What programs do: parse, match, build up, grow, pass on.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Mutex;

use regex::Regex;
use serde_json::{Value, json};

use crate::random::Random;

/// Blocks that one thread has left for another.
static PASSED_ON: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// Maximum number of them.
const MAX_PASSED_ON: usize = 2000;

pub(crate) fn piece(random: &mut Random) {
    match random.below(24) {
        0 => source(random),
        1 => pattern(random),
        2 | 3 => document(random),
        4..8 => map(random),
        8..14 => grow(random),
        _ => pass_on(random),
    }
}

fn document(random: &mut Random) {
    let rows: Vec<Value> = (0..random.below(20) + 1)
        .map(|n| json!({"n": n, "name": format!("row {n}"), "at": [n, {"x": [n, [n, [null]]]}]}))
        .collect();
    let text = serde_json::to_string(&rows).expect("it can be written");
    let value: Value = serde_json::from_str(&text).expect("it was just written");
    assert_eq!(value.as_array().map(Vec::len), Some(rows.len()));
}

fn source(random: &mut Random) {
    let mut expression = random.below(1000).to_string();
    for n in 0..random.below(5) {
        expression = format!(
            "match f({expression}) {{ {n} if a[{n}] => |x| x + {n}, _ => {{ g()?; !{n} }} }}"
        );
    }
    let file = format!(
        "impl<'a, T: Into<String>> A<'a, T> {{ fn f(&self) -> Option<T> {{ {expression} }} }}"
    );
    black_box(syn::parse_str::<syn::File>(&file).expect("it is source code"));
}

fn pattern(random: &mut Random) {
    let pattern = format!(
        "(?i)(a{{1,{}}}|b+c?)*[x-z]{{2,4}}(?P<n>\\d+)$",
        random.below(9) + 1
    );
    let regex = Regex::new(&pattern).expect("a pattern");
    assert!(regex.is_match("aabbcXYz17"));
}

fn map(random: &mut Random) {
    let mut words: HashMap<String, Vec<usize>> = HashMap::new();
    for n in 0..random.below(200) {
        words.entry(format!("word {}", n % 37)).or_default().push(n);
    }
    let sorted: BTreeMap<_, _> = words.into_iter().collect();
    black_box(sorted);
}

fn grow(random: &mut Random) {
    let mut block = Vec::<u8>::new();
    for _ in 0..random.below(10) {
        block.reserve_exact(random.size());
        block.resize(block.capacity(), 1);
        if random.below(4) == 0 {
            block.truncate(block.len() / 2);
            block.shrink_to_fit();
        }
    }
    black_box(vec![0_u64; random.size() / 8 + 1]);
}

fn pass_on(random: &mut Random) {
    let block = vec![1; random.size() % 10_000 + 1];
    let other = {
        let mut passed_on = PASSED_ON.lock().expect("no panic");
        let place = random.below(MAX_PASSED_ON);
        match passed_on.get_mut(place) {
            Some(other) => std::mem::replace(other, block),
            None => {
                passed_on.push(block);
                Vec::new()
            }
        }
    };
    drop(other);
}

/// Frees what threads have left for each other.
pub(crate) fn put_away() {
    let blocks = std::mem::take(&mut *PASSED_ON.lock().expect("no panic"));
    drop(blocks);
}
