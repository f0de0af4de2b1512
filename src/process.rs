//! What the system tells of this process.

/// Bytes of the process's memory that are in physical memory; `None` where the system does not tell.
///
/// Linux alone is asked: this opens and reads `/proc/self/status`.
pub(crate) fn resident_memory() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The number of the line `VmRSS:     1234 kB`.
fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        let status = "Name:\tapp\nVmHWM:\t    2000 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n";
        assert_eq!(resident_in(status), Some(1234 * 1024));
        for broken in [
            "",
            "VmRSS:",
            "VmRSS:\t x kB",
            "VmRSS:\t 12",
            "VmRSS:\t18446744073709551615 kB",
        ] {
            assert_eq!(resident_in(broken), None, "{broken:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_resident() {
        let bytes = resident_memory().expect("Linux tells");
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}
