//! Amounts of memory that a user allows.

use std::fmt;
use std::str::FromStr;

use tracemalloc::Size;

/// How much something may grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Growth {
    Bytes(u64),
    /// Of what it was before.
    Percent(f64),
}

impl Growth {
    /// True if growth from `old` to `new` bytes exceeds the limit. Any percentage of 0 is 0.
    pub(crate) fn is_exceeded(self, old: u64, new: u64) -> bool {
        let grown = new.saturating_sub(old);
        match self {
            Self::Bytes(max) => grown > max,
            Self::Percent(max) => grown as f64 > old as f64 * max / 100.0,
        }
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => Size(*bytes).fmt(out),
            Self::Percent(percent) => write!(out, "{percent}%"),
        }
    }
}

impl FromStr for Growth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return bytes(text)
                .map(Self::Bytes)
                .map_err(|error| format!("{error}, or a percentage such as 5%"));
        };
        percent
            .trim()
            .parse()
            .ok()
            .filter(|percent: &f64| percent.is_finite() && *percent >= 0.0)
            .map(Self::Percent)
            .ok_or_else(|| "expected a percentage such as 5%".to_owned())
    }
}

/// A number of bytes with or without a unit: `KiB` is 1024 of them, `kB` 1000.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    text.parse()
        .map(|Size(bytes)| bytes)
        .map_err(|_| "expected a size such as 65536, 64KiB or 1.5MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        #[track_caller]
        fn check(text: &str, expected: Option<Growth>) {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        check("0", Some(Growth::Bytes(0)));
        check("65536", Some(Growth::Bytes(65536)));
        check("64KiB", Some(Growth::Bytes(65536)));
        check("1.5 MiB", Some(Growth::Bytes(1_572_864)));
        check("1kB", Some(Growth::Bytes(1000)));
        check("5%", Some(Growth::Percent(5.0)));
        check("0.5 %", Some(Growth::Percent(0.5)));
        for wrong in ["", "%", "-1", "-5%", "NaN%", "inf%", "5 apples", "KiB"] {
            check(wrong, None);
        }
    }

    #[test]
    fn growth_is_more_than_allowed_or_not() {
        #[track_caller]
        fn check(limit: &str, old: u64, new: u64, exceeded: bool) {
            let limit: Growth = limit.parse().unwrap();
            assert_eq!(limit.is_exceeded(old, new), exceeded, "{limit} {old} {new}");
        }
        check("10", 100, 110, false);
        check("10", 100, 111, true);
        check("0", 100, 99, false);
        check("10%", 100, 110, false);
        check("10%", 100, 111, true);
        check("1000%", 0, 1, true);
        check("0%", 0, 0, false);
        check("10", 0, u64::MAX, true);
    }
}
