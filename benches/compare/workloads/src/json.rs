//! A document tree: parsed, read once, dropped.

use std::fmt::Write;

use serde_json::Value;

use crate::numbers::{Checksum, Numbers};
use crate::{Size, Work};

pub(crate) fn prepare(size: Size) -> Work {
    let text = document(size.of(6000, 50));
    Box::new(move || {
        let tree: Value = serde_json::from_str(&text).expect("the document is valid");
        let mut sum = Checksum::default();
        read(&tree, &mut sum);
        sum.value()
    })
}

fn read(value: &Value, sum: &mut Checksum) {
    match value {
        Value::Null => sum.add(1),
        Value::Bool(flag) => sum.add(2 + u64::from(*flag)),
        Value::Number(number) => sum.add(number.as_f64().unwrap_or_default().to_bits()),
        Value::String(text) => sum.add_text(text),
        Value::Array(items) => items.iter().for_each(|item| read(item, sum)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            sum.add_text(name);
            read(field, sum);
        }),
    }
}

fn document(records: usize) -> String {
    let mut numbers = Numbers::new(1);
    let mut text = String::from("[");
    for id in 0..records {
        let separator = if id == 0 { "" } else { "," };
        text.push_str(separator);
        record(id, 4, &mut numbers, &mut text);
    }
    text.push(']');
    text
}

/// An object with up to `depth` levels of objects below it.
fn record(id: usize, depth: usize, numbers: &mut Numbers, text: &mut String) {
    let name = numbers.words(2);
    let note = numbers.words(6);
    let (price, east, north) = (
        numbers.below(100_000),
        numbers.below(180),
        numbers.below(90),
    );
    let written = write!(
        text,
        r#"{{"id":{id},"name":"{name}","note":"{note}","price":{price}.25,"active":{},"#,
        price % 2 == 0
    );
    written.expect("a string takes everything");
    let written = write!(
        text,
        r#""place":{{"city":"{}","at":[{east}.5,-{north}.125],"zone":null}},"tags":["#,
        numbers.words(1)
    );
    written.expect("a string takes everything");
    for tag in 0..numbers.below(5) {
        let separator = if tag == 0 { "" } else { "," };
        let written = write!(text, r#"{separator}"{}""#, numbers.words(1));
        written.expect("a string takes everything");
    }
    text.push_str(r#"],"parts":["#);
    if depth > 0 {
        for part in 0..numbers.below(4) {
            if part > 0 {
                text.push(',');
            }
            record(id * 4 + part, depth - 1, numbers, text);
        }
    }
    text.push_str("]}");
}
