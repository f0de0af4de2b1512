//! Reads numbers of bytes as people write them.

use std::str::FromStr;

use super::Size;
use crate::error::{Error, ErrorKind};

/// The bytes of a unit. Units of powers of 1024 have an `i` or no `B`, as in the GNU tools; those with a
/// `B` alone are powers of 1000. Case does not matter.
fn bytes_of(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    let (prefix, base) = match lower.as_str() {
        "" | "b" => return Some(1),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(prefix), _) => (prefix, 1024),
            (None, Some(prefix)) => (prefix, 1000),
            (None, None) => (unit, 1024_u64),
        },
    };
    let power = ["k", "m", "g", "t"]
        .iter()
        .position(|name| *name == prefix)?;
    Some(base.pow(power as u32 + 1))
}

/// Reads a number with or without a unit: `65536`, `64K`, `64 KiB`, `1.5MiB`, `64kB`.
///
/// `K` and `KiB` are 1024 bytes, `kB` is 1000; M, G and T likewise. Case does not matter. A fraction is
/// rounded to whole bytes.
///
/// # Errors
///
/// [`ErrorKind::InvalidSize`] for anything else, also for more than `u64::MAX` bytes.
///
/// ```
/// use tracemalloc::Size;
///
/// assert_eq!("512K".parse::<Size>()?, Size(524_288));
/// assert_eq!("1.5 MiB".parse::<Size>()?, Size(1_572_864));
/// assert_eq!("64kB".parse::<Size>()?, Size(64_000));
/// assert!("a lot".parse::<Size>().is_err());
/// # Ok::<(), tracemalloc::Error>(())
/// ```
impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parsed(text).map(Self).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidSize,
                format!(
                    "{text:?} is no size: expected a number such as 65536, 64K, 64KiB or 1.5MiB"
                ),
            )
        })
    }
}

fn parsed(text: &str) -> Option<u64> {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.strip_prefix(' ') {
        Some("") => return None,
        Some(unit) => bytes_of(unit)?,
        None => bytes_of(unit)?,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let number: f64 = number.parse().ok()?;
    let bytes = (number * unit as f64).round();
    // Beyond 2^53 a fraction of a byte cannot be meant.
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("17b", 17),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("64kB", 64_000),
            ("64KB", 64_000),
            ("1.5MiB", 1_572_864),
            ("2G", 1 << 31),
            ("1TiB", 1 << 40),
            ("18446744073709551615", u64::MAX),
            ("0.5K", 512),
        ] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error_that_shows_it() {
        for text in [
            "",
            " ",
            "K",
            "-1",
            "1 ",
            " 1",
            "1  K",
            "1KK",
            "1iB",
            "5e5",
            "0x10",
            "1..5",
            ".",
            "NaN",
            "18446744073709551616",
            "99999999T",
            "512 KiB!",
            "1 apple",
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSize, "{text}");
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{text:?} is no size")),
                "{error}"
            );
        }
    }
}
