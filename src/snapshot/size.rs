//! Numbers of bytes as people read them.

use std::fmt;

const LARGER_UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];

/// A number of bytes, written for people, in CPython's form.
///
/// `Display` writes one decimal below 100 of a unit and none from there on, and goes to the next
/// unit at 10240. `{:+}` writes the sign of a positive number too. Width and alignment work as for
/// text: left by default.
///
/// ```
/// use tracemalloc::Size;
///
/// assert_eq!(Size(10_239).to_string(), "10239 B");
/// assert_eq!(Size(10_240).to_string(), "10.0 KiB");
/// assert_eq!(Size(102_400).to_string(), "100 KiB");
/// assert_eq!(format!("{:>8}", Size(17)), "    17 B");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(self.0 as f64).fmt(out)
    }
}

/// A difference of two numbers of bytes, written for people as [`Size`] is.
///
/// As with integers, `{}` writes the sign of a negative difference alone and `{:+}` always writes
/// one.
///
/// ```
/// use tracemalloc::SizeDiff;
///
/// assert_eq!(format!("{:+}", SizeDiff(2048)), "+2048 B");
/// assert_eq!(format!("{:+}", SizeDiff(0)), "+0 B");
/// assert_eq!(SizeDiff(-20_480).to_string(), "-20.0 KiB");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeDiff(pub i64);

impl SizeDiff {
    /// `new - old`, or the nearest number that fits.
    ///
    /// ```
    /// use tracemalloc::SizeDiff;
    ///
    /// assert_eq!(SizeDiff::between(100, 300), SizeDiff(-200));
    /// assert_eq!(SizeDiff::between(0, u64::MAX), SizeDiff(i64::MIN));
    /// ```
    pub fn between(new: u64, old: u64) -> Self {
        Self(difference(new, old))
    }
}

impl fmt::Display for SizeDiff {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(self.0 as f64).fmt(out)
    }
}

/// `new - old`, or the nearest number that fits.
pub(crate) fn difference(new: u64, old: u64) -> i64 {
    let nearest = if new < old { i64::MIN } else { i64::MAX };
    i64::try_from(i128::from(new) - i128::from(old)).unwrap_or(nearest)
}

/// A number of bytes that need not be whole, such as an average. `Display` as [`Size`] and
/// [`SizeDiff`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) f64);

impl Bytes {
    /// The number in the unit that suits it, the unit, and how many decimals to show.
    fn scaled(self) -> (f64, &'static str, usize) {
        let mut number = self.0;
        if number.abs() < 10_240.0 {
            return (number, "B", 0);
        }
        for unit in LARGER_UNITS {
            number /= 1024.0;
            if number.abs() < 10_240.0 {
                return (number, unit, decimals(number));
            }
        }
        number /= 1024.0;
        (number, "TiB", decimals(number))
    }
}

fn decimals(number: f64) -> usize {
    usize::from(number.abs() < 100.0)
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit, decimals) = self.scaled();
        let text = if out.sign_plus() {
            format!("{number:+.decimals$} {unit}")
        } else {
            format!("{number:.decimals$} {unit}")
        };
        out.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_stop_at_the_limits_of_their_type() {
        let half = 1 << 63;
        for (new, old, expected) in [
            (5, 3, 2),
            (3, 5, -2),
            (half - 1, 0, i64::MAX),
            (half, 0, i64::MAX),
            (0, half - 1, -i64::MAX),
            (0, half, i64::MIN),
            (0, half + 1, i64::MIN),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(difference(new, old), expected, "{new} - {old}");
        }
    }

    #[track_caller]
    fn check(bytes: f64, plain: &str, signed: &str) {
        assert_eq!(Bytes(bytes).to_string(), plain);
        assert_eq!(format!("{:+}", Bytes(bytes)), signed);
    }

    #[test]
    fn sizes_are_written_as_cpython_does() {
        check(0.0, "0 B", "+0 B");
        check(-5.0, "-5 B", "-5 B");
        check(10_239.0, "10239 B", "+10239 B");
        check(10_240.0, "10.0 KiB", "+10.0 KiB");
        check(102_349.0, "100.0 KiB", "+100.0 KiB");
        check(102_400.0, "100 KiB", "+100 KiB");
        check(10_485_759.0, "10240 KiB", "+10240 KiB");
        check(2f64.powi(40), "1024 GiB", "+1024 GiB");
        check(-(2f64.powi(50)), "-1024 TiB", "-1024 TiB");
        check(u64::MAX as f64, "16777216 TiB", "+16777216 TiB");
        check(i64::MIN as f64, "-8388608 TiB", "-8388608 TiB");
    }

    #[test]
    fn halves_round_to_even() {
        check(0.5, "0 B", "+0 B");
        check(1.5, "2 B", "+2 B");
        check(2.5, "2 B", "+2 B");
    }

    #[test]
    fn width_counts_the_unit() {
        assert_eq!(format!("{:>10}|", Size(1)), "       1 B|");
        assert_eq!(format!("{:<+8}|", SizeDiff(1)), "+1 B    |");
    }
}
