//! Which groups look like leaks.
//!
//! A group is a suspect if all of this holds, of its bytes or of its blocks:
//!
//! 1. The series is cut into four parts. The minimum that the group holds rises from part to part. A map
//!    that swings falls back; a full cache stays level.
//! 2. It keeps rising: from the third to the fourth part by at least a quarter of what it rose by from
//!    the first to the second, and within the fourth by an eighth. A cache that fills up rises less and
//!    less, and then no more.
//! 3. It is not chance: rising pairs of snapshots outnumber falling ones by more than they do in one of
//!    a thousand series without a trend (Mann and Kendall's test).
//! 4. It is worth a look: [`MIN_GROWTH`] bytes.

use std::fmt;

use super::site::SiteTrend;
use crate::snapshot::history::BlockSum;
use crate::snapshot::size::Size;

/// Parts that a series is cut into.
const PARTS: usize = 4;

/// Minimum number of snapshots for a trend: two for each part.
pub(super) const MIN_SNAPSHOTS: usize = 2 * PARTS;

/// The part of the first rise that the last one must have, as a divisor. Half a part has half of it.
const SLOWING: u64 = 4;

/// How far the number of rising pairs must be from that of no trend, in standard deviations.
const MIN_DEVIATIONS: f64 = 3.2;

/// Bytes that a suspect has grown by.
const MIN_GROWTH: u64 = 1024;

/// A group that looks like a leak, with the evidence. `Display` writes the evidence in words.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Suspect {
    /// The group and how it developed.
    pub site: SiteTrend,
    /// Growth of the floor over the series: what was kept.
    pub kept: BlockSum,
    /// Intervals between snapshots in which the floor rose.
    pub rises: usize,
    /// How far the trend is from chance, in standard deviations of a series without one.
    pub deviations: f64,
}

/// The suspects, most bytes kept first.
pub(super) fn suspects(sites: Vec<SiteTrend>) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> = sites.into_iter().filter_map(suspect).collect();
    suspects.sort_by_key(|suspect| std::cmp::Reverse(suspect.kept.size));
    suspects
}

fn suspect(site: SiteTrend) -> Option<Suspect> {
    let bytes: Vec<u64> = site.live.iter().map(|sum| sum.size).collect();
    let blocks: Vec<u64> = site.live.iter().map(|sum| sum.count).collect();
    let trends = [trend(&bytes), trend(&blocks)];
    let deviations = trends.into_iter().flatten().reduce(f64::max)?;
    let mut kept = BlockSum::default();
    for generation in &site.generations {
        kept = kept.plus(generation.kept);
    }
    let rises = site
        .generations
        .iter()
        .filter(|generation| generation.kept != BlockSum::default());
    let rises = rises.count();
    (kept.size >= MIN_GROWTH).then_some(Suspect {
        site,
        kept,
        rises,
        deviations,
    })
}

/// How far from chance `values` rise, if the rules 1 to 3 hold.
fn trend(values: &[u64]) -> Option<f64> {
    if values.len() < MIN_SNAPSHOTS {
        return None;
    }
    let first = rise(min_of(values, PARTS, 0)?, min_of(values, PARTS, 1)?)?;
    rise(min_of(values, PARTS, 1)?, min_of(values, PARTS, 2)?)?;
    let last = rise(min_of(values, PARTS, 2)?, min_of(values, PARTS, 3)?)?;
    let halves = 2 * PARTS;
    let end = rise(
        min_of(values, halves, halves - 2)?,
        min_of(values, halves, halves - 1)?,
    )?;
    let goes_on = last >= first / SLOWING && end >= first / SLOWING / 2;
    let deviations = deviations(values);
    (goes_on && deviations >= MIN_DEVIATIONS).then_some(deviations)
}

/// The minimum of the values in one of `parts` equal parts.
fn min_of(values: &[u64], parts: usize, number: usize) -> Option<u64> {
    let bound = |number: usize| number * values.len() / parts;
    let part = values.get(bound(number)..bound(number + 1))?;
    part.iter().min().copied()
}

fn rise(old: u64, new: u64) -> Option<u64> {
    new.checked_sub(old).filter(|rise| *rise > 0)
}

/// Mann and Kendall's test: pairs that rise minus pairs that fall, in standard deviations. Equal values
/// make the true deviation smaller than the one used here, which errs on the side of silence.
fn deviations(values: &[u64]) -> f64 {
    let mut balance = 0_i64;
    for (index, old) in values.iter().enumerate() {
        for new in &values[index + 1..] {
            balance += match new.cmp(old) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
            };
        }
    }
    let n = values.len() as f64;
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    balance as f64 / variance.sqrt()
}

impl fmt::Display for Suspect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let site = &self.site;
        // A rate per hour needs more than a minute.
        let is_long = site.grown_for.is_some_and(|time| time > 60);
        write!(
            out,
            "kept {} in {}",
            Size(self.kept.size),
            blocks(self.kept.count)
        )?;
        if let Some(rate) = site.bytes_per_hour.filter(|rate| *rate >= 1.0 && is_long) {
            write!(out, ", {} an hour", Size(rate as u64))?;
        }
        write!(
            out,
            "; the floor rose in {} of {} intervals",
            self.rises,
            site.generations.len()
        )?;
        if let Some(time) = site.grown_for.filter(|time| *time > 0) {
            write!(out, ", for {}", Duration(time))?;
        }
        if let Some(turnover) = site.turnover()
            && let Some(allocated) = turnover.allocated
            && let Some(share) = turnover.share().filter(|share| *share > 0.0)
        {
            match share * 100.0 {
                percent @ 0.1.. => write!(out, "; {percent:.1}%")?,
                _ => write!(out, "; 1 in {:.0}", 1.0 / share)?,
            }
            let blocks = blocks(allocated.count);
            write!(out, " of the {blocks} allocated since is still live")?;
        }
        if let Some(time) = site.oldest.filter(|time| *time > 0) {
            write!(out, "; the oldest are at least {} old", Duration(time))?;
        }
        Ok(())
    }
}

fn blocks(count: u64) -> String {
    match count {
        1 => "1 block".to_owned(),
        count => format!("{count} blocks"),
    }
}

/// Seconds as people say them, in the two largest units.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
        let largest = UNITS
            .iter()
            .position(|(unit, _)| self.0 >= *unit)
            .unwrap_or(3);
        let (unit, name) = UNITS[largest];
        write!(out, "{} {name}", self.0 / unit)?;
        match UNITS.get(largest + 1) {
            Some((smaller, name)) if self.0 % unit >= *smaller => {
                write!(out, " {} {name}", self.0 % unit / smaller)
            }
            _ => Ok(()),
        }
    }
}
