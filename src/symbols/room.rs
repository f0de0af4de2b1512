//! Whether there is memory to read names: a process that has none left is ended by the allocator, or by
//! the system.
//!
//! An allocation that fails ends the program, so what reading takes is estimated first and compared with
//! the limits of the process and of its control groups.

/// Bytes that reading the names of one module takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// All debug information. What is read of it and kept is less than half: units, lines, functions.
    pub(super) debug_info: u64,
    /// What has to be decompressed.
    pub(super) decompressed: u64,
}

/// What reading takes beside debug information: symbols, the names that are found.
const BASE: u64 = 4 << 20;

impl Need {
    /// True if there is memory for it, as far as the system tells.
    pub(super) fn is_met(self) -> bool {
        let heap = (self.debug_info / 2).saturating_add(BASE);
        let bytes = heap.saturating_add(self.decompressed);
        limits::available().is_none_or(|available| bytes <= available)
    }
}

#[cfg(not(target_os = "linux"))]
mod limits {
    pub(super) fn available() -> Option<u64> {
        None
    }
}

#[cfg(target_os = "linux")]
mod limits {
    use std::fs::read_to_string;
    use std::path::{Path, PathBuf};

    /// Bytes that the process may still allocate; `None` if nothing limits it.
    pub(super) fn available() -> Option<u64> {
        let limits = read_to_string("/proc/self/limits").unwrap_or_default();
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
        let of_process = [
            ("Max address space", "VmSize:"),
            ("Max data size", "VmData:"),
        ];
        let of_process = of_process.iter().filter_map(|(limit, used)| {
            let used = kibibytes(&status, used)?;
            Some(soft_limit(&limits, limit)?.saturating_sub(used))
        });
        let of_groups = groups.lines().filter_map(of_group);
        of_process.chain(of_groups).min()
    }

    /// The soft limit in the line of `/proc/self/limits` that begins with `name`; `None` for `unlimited`.
    fn soft_limit(limits: &str, name: &str) -> Option<u64> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn kibibytes(status: &str, name: &str) -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let number: u64 = line.split_whitespace().next()?.parse().ok()?;
        number.checked_mul(1024)
    }

    /// What is left in one control group and those around it, by a line of `/proc/self/cgroup`.
    fn of_group(line: &str) -> Option<u64> {
        let mut parts = line.splitn(3, ':');
        let (_number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", Files::OF_2),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", Files::OF_1)
            }
            _ => return None,
        };
        left(Path::new(root), path, files)
    }

    /// The files of a control group.
    #[derive(Clone, Copy)]
    struct Files {
        limit: &'static str,
        used: &'static str,
        /// Lines of `memory.stat`: pages of files, which the system takes back.
        cache: [&'static str; 2],
    }

    impl Files {
        const OF_1: Self = Self {
            limit: "memory.limit_in_bytes",
            used: "memory.usage_in_bytes",
            cache: ["total_inactive_file ", "total_active_file "],
        };
        const OF_2: Self = Self {
            limit: "memory.max",
            used: "memory.current",
            cache: ["inactive_file ", "active_file "],
        };
    }

    /// The least that is left in the group `path` below `root` and in those around it. A process in a
    /// container may see its own group as the root.
    fn left(root: &Path, path: &str, files: Files) -> Option<u64> {
        let mut group: PathBuf = root.join(path.trim_start_matches('/'));
        let mut least = None;
        loop {
            if let Some(left) = left_in(&group, files) {
                least = Some(least.map_or(left, |least: u64| least.min(left)));
            }
            if group == root || !group.pop() || !group.starts_with(root) {
                return least;
            }
        }
    }

    fn left_in(group: &Path, files: Files) -> Option<u64> {
        let number = |file: &str| -> Option<u64> {
            read_to_string(group.join(file)).ok()?.trim().parse().ok()
        };
        // `max`, and a number that no machine has, mean that there is no limit.
        let limit = number(files.limit).filter(|limit| *limit < 1 << 60)?;
        let used = number(files.used)?;
        let stat = read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cache = files.cache.iter().filter_map(|name| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        });
        let cache: u64 = cache.sum();
        Some(limit.saturating_sub(used.saturating_sub(cache)))
    }

    #[cfg(test)]
    mod tests {
        use std::fs;

        use super::*;

        #[test]
        fn limits_are_read_from_their_lines() {
            let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                          Max data size             unlimited            unlimited            bytes\n\
                          Max address space         4096                 unlimited            bytes\n";
            assert_eq!(soft_limit(limits, "Max address space"), Some(4096));
            assert_eq!(soft_limit(limits, "Max data size"), None);
            assert_eq!(soft_limit("", "Max data size"), None);
            let status = "VmPeak:\t  10 kB\nVmSize:\t  12 kB\n";
            assert_eq!(kibibytes(status, "VmSize:"), Some(12 * 1024));
            assert_eq!(kibibytes("VmSize:", "VmSize:"), None);
        }

        /// The group around the process's own has less left; a third one has no limit.
        #[test]
        fn the_least_of_all_groups_around_the_process_counts() {
            for files in [Files::OF_1, Files::OF_2] {
                let folder = tempfile::tempdir().expect("a folder");
                let root = folder.path();
                fs::create_dir_all(root.join("a/b")).expect("folders");
                let write = |group: &str, file: &str, text: &str| {
                    fs::write(root.join(group).join(file), text).expect("a file");
                };
                assert_eq!(left(root, "/a/b", files), None);
                write("a/b", files.limit, "1000\n");
                write("a/b", files.used, "300\n");
                assert_eq!(left(root, "/a/b", files), Some(700));
                write("a", files.limit, "900\n");
                write("a", files.used, "850\n");
                assert_eq!(left(root, "/a/b", files), Some(50));
                let [inactive, active] = files.cache;
                write(
                    "a",
                    "memory.stat",
                    &format!("anon 5\n{inactive}100\n{active}20\n"),
                );
                assert_eq!(left(root, "/a/b", files), Some(170));
                write("", files.limit, "max\n");
                write("", files.used, "1\n");
                assert_eq!(left(root, "/a/b", files), Some(170));
                write("a", files.used, "2000\n");
                assert_eq!(left(root, "/a/b", files), Some(0));
                // In a container.
                write("", files.limit, "10\n");
                assert_eq!(left(root, "/not/seen/here", files), Some(9));
            }
        }
    }
}
