//! How much memory the process has resident.

use std::error::Error;
use std::fs;

/// The highest value so far, in KiB.
pub(super) fn peak() -> Result<u64, Box<dyn Error>> {
    kib("/proc/self/status", "VmHWM:")
}

/// The value now, in KiB, to the page.
pub(super) fn now() -> Result<u64, Box<dyn Error>> {
    kib("/proc/self/smaps_rollup", "Rss:")
}

fn kib(path: &str, name: &str) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        .ok_or_else(|| format!("no {name} in {path}"))?;
    Ok(value.parse()?)
}
