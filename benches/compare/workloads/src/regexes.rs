//! Regular expressions as programs have them, compiled and used once.

use std::fmt::Write;

use regex::Regex;

use crate::numbers::{Checksum, Numbers};
use crate::{Size, Work};

const EXPRESSIONS: [&str; 16] = [
    r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,24}$",
    r"^(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})[T ](\d{2}):(\d{2}):(\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
    r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$",
    r"^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,7}:|([0-9a-f]{1,4}:){1,6}:[0-9a-f]{1,4})$",
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    r"(?i)^(https?|ftp)://[^\s/$.?#]\S*$",
    r#"^(\S+) (\S+) (\S+) \[([^\]]+)\] "([A-Z]+) ([^ "]+) HTTP/[0-9.]+" (\d{3}) (\d+|-)$"#,
    r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([\w.-]+))?(?:\+([\w.-]+))?$",
    r"(?s)<!--.*?-->|<(/?)([a-zA-Z][\w:-]*)((?:\s+[\w:-]+(?:\s*=\s*(?:[^\s>]+))?)*)\s*(/?)>",
    r"\b\p{Lu}\p{Ll}+(?:[ '-]\p{Lu}\p{Ll}+){1,3}\b",
    r"(?x) [+-]? (?: \d+ (?:_\d+)* )? \.? \d+ (?: [eE] [+-]? \d+ )?",
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:async\s+|unsafe\s+|const\s+)*fn\s+(\w+)",
    r"(?m)^(?:#{1,6}\s+.+|[-*+]\s+.+|\d+\.\s+.+|>\s?.*)$",
    r"[\p{Greek}\p{Cyrillic}&&\p{Alphabetic}]{2,}",
    r"(?i)\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2},?\s+\d{4}\b",
    r"^(?:\+\d{1,3}[ -]?)?(?:\(\d{1,4}\)|\d{1,4})(?:[ -]?\d{2,4}){2,4}$",
];

const LINE: &str = "2026-01-31T12:00:00Z john.smith@example.org 10.0.0.1 fn main Jan 31, 2026";

pub(crate) fn prepare(size: Size) -> Work {
    let mut expressions: Vec<String> = EXPRESSIONS.map(str::to_owned).into();
    expressions.extend((0..4).map(alternatives));
    let repeats = size.of(36, 1);
    Box::new(move || {
        let mut sum = Checksum::default();
        for _ in 0..repeats {
            for expression in &expressions {
                let regex = Regex::new(expression).expect("the expression is valid");
                sum.add(regex.captures_len() as u64);
                sum.add(regex.find(LINE).map_or(1000, |found| found.end() as u64));
            }
        }
        sum.value()
    })
}

/// An alternation of many words, as in a filter of log lines.
fn alternatives(seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    let mut text = String::from(r"(?i)\b(?:none");
    for _ in 0..60 {
        let number = numbers.below(1000);
        write!(text, "|{}{number}", numbers.words(1)).expect("a string takes everything");
    }
    text + r")\b"
}
