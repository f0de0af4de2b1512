//! The work: `pair N` makes and drops N boxes below ten frames, `grow N` makes, grows and drops N
//! vectors there, `json N` reads a document N times.

use std::env;
use std::hint::black_box;

use serde_json::Value;

/// Frames between `main` and the boxes.
const DEPTH: usize = 10;
const DOCUMENT: &str = r#"[{"id": 1, "name": "one", "tags": ["a", "b", "c"], "at": {"x": 1.5, "y": [1, 2, 3]}},
{"id": 2, "name": "two", "tags": [], "at": {"x": 2.5, "y": [[4], [5, [6]]]}},
{"id": 3, "name": "three", "tags": ["d"], "at": null, "more": {"k": "v", "l": "w", "m": {"n": "o"}}}]"#;

/// Does the work that the arguments name.
pub fn run() {
    let arguments: Vec<String> = env::args().collect();
    let count: usize = arguments[2].parse().expect("a number");
    match arguments[1].as_str() {
        "pair" => below(DEPTH, &mut || pairs(count)),
        "grow" => below(DEPTH, &mut || grown(count)),
        "json" => below(DEPTH, &mut || documents(count)),
        other => panic!("there is no work named {other}"),
    }
}

#[inline(never)]
fn below(frames: usize, work: &mut dyn FnMut()) {
    match frames {
        0 => work(),
        _ => below(frames - 1, work),
    }
    black_box(());
}

#[inline(never)]
fn pairs(count: usize) {
    for _ in 0..count {
        drop(black_box(Box::new([0_u8; 64])));
    }
}

#[inline(never)]
fn grown(count: usize) {
    for _ in 0..count {
        let mut bytes: Vec<u8> = black_box(Vec::with_capacity(64));
        bytes.reserve_exact(black_box(100));
        drop(black_box(bytes));
    }
}

#[inline(never)]
fn documents(count: usize) {
    for _ in 0..count {
        let value: Value = serde_json::from_str(black_box(DOCUMENT)).expect("it is well formed");
        drop(black_box(value));
    }
}
