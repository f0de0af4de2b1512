//! Points in time as people read them.

use std::fmt;

/// Seconds since the Unix epoch. `Display` writes `2026-03-09 17:04:05 UTC`, or `{:#}` the basic form
/// of ISO 8601, `20260309T170405Z`, for names of files.
pub(crate) struct Utc(pub(crate) u64);

impl fmt::Display for Utc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        if out.alternate() {
            return write!(
                out,
                "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
            );
        }
        write!(
            out,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
///
/// Counted in eras of 400 years, which all have the same number of days, and in years that begin in
/// March, so that the leap day is the last one: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_based = (5 * day + 2) / 153;
    let month = if march_based < 10 {
        march_based + 3
    } else {
        march_based - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day - (153 * march_based + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_798_761_599, "2026-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Utc(seconds).to_string(), text);
        }
    }

    #[test]
    fn names_of_files_have_no_blanks() {
        assert_eq!(format!("{:#}", Utc(951_782_399)), "20000228T235959Z");
    }

    /// A file may say anything.
    #[test]
    fn no_second_is_too_late() {
        assert_eq!(Utc(u64::MAX).to_string(), "584554051223-11-09 07:00:15 UTC");
    }
}
