//! A map of strings that is filled, changed and emptied again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::numbers::{Checksum, Numbers};
use crate::{Size, Work};

/// The standard library's hash function, with the same keys in every process.
type Map = HashMap<String, String, BuildHasherDefault<DefaultHasher>>;

pub(crate) fn prepare(size: Size) -> Work {
    let steps = size.of(1_000_000, 1000);
    Box::new(move || {
        let mut numbers = Numbers::new(2);
        let mut map = Map::default();
        let mut sum = Checksum::default();
        for step in 0..steps {
            let key = format!("session/{:06}", numbers.below(steps / 4));
            match step % 4 {
                0 | 1 => {
                    let value = format!("user {} seen at {step}", numbers.below(1000));
                    sum.add(u64::from(map.insert(key, value).is_some()));
                }
                2 => {
                    if let Some(value) = map.get_mut(&key) {
                        value.push_str(", again");
                        sum.add_text(value);
                    }
                }
                _ => sum.add(u64::from(map.remove(&key).is_some())),
            }
        }
        sum.add(map.len() as u64);
        sum.value()
    })
}
