//! What programs mostly do: parse, build up, grow.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use serde_json::{Value, json};

use crate::{block, deep};

/// Reads and writes a nested document.
#[inline(never)]
pub(crate) fn json(round: usize) {
    let rows: Vec<Value> = (0..40)
        .map(
            |n| json!({"n": n, "name": format!("row {n}"), "at": [round, {"x": [n, [n, [null]]]}]}),
        )
        .collect();
    let text = serde_json::to_string(&rows).expect("it can be written");
    let mut nested = "[".repeat(60);
    nested.push_str(&text);
    nested.push_str(&"]".repeat(60));
    let value: Value = serde_json::from_str(&nested).expect("it was just written");
    black_box(value.clone());
}

/// Parses source code: deep recursion with many different functions, large frames among them.
#[inline(never)]
pub(crate) fn source(round: usize) {
    let mut expression = format!("{round}");
    for n in 0..6 {
        expression = format!(
            "match f({expression}) {{ {n} if a.b[{n}] => |x: &[u8]| x + {n}, _ => {{ g::<Vec<T>>({n})?; !{n} }} }}"
        );
    }
    let file = format!(
        "impl<'a, T: Into<String>> A<'a, T> {{ fn f(&self) -> Option<T> {{ {expression} }} }}"
    );
    black_box(syn::parse_str::<syn::File>(&file).expect("it is source code"));
}

/// Collections that are moved when they grow.
#[inline(never)]
pub(crate) fn growth(round: usize) {
    let mut numbers = Vec::new();
    let mut text = String::new();
    let mut map = HashMap::new();
    let mut tree = BTreeMap::new();
    for n in 0..300 + round % 7 {
        numbers.push(n);
        text.push_str("more");
        map.insert(n, [n; 3]);
        tree.insert(n * 7919 % 1009, n);
    }
    numbers.shrink_to_fit();
    black_box((numbers, text, map, tree));
}

/// Reaches one place by several paths, and several places at one depth.
#[inline(never)]
pub(crate) fn alternating(round: usize) {
    for n in 0..100 {
        let depth = (n * 5 + round) % 11;
        deep::below(depth, &mut || block(64));
        deep::below(depth, &mut || with_array::<8>(n));
        deep::below(10 - depth, &mut || with_array::<100>(n));
        with_dynamic_frame(n);
    }
}

/// Frames of different sizes.
#[inline(never)]
fn with_array<const N: usize>(n: usize) {
    let array = black_box([n; N]);
    block(array[N - 1] + 16);
    black_box(&array);
}

/// A frame that is aligned, so that its CFA is found by the frame register.
#[inline(never)]
fn with_dynamic_frame(n: usize) {
    #[repr(align(128))]
    struct Aligned([usize; 16]);
    let aligned = black_box(Aligned([n; 16]));
    deep::below(n % 3, &mut || block(aligned.0[3] + 8));
    black_box(&aligned.0);
}
