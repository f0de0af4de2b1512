//! The machine that the figures hold for.

use std::error::Error;
use std::fs;
use std::process::Command;

pub struct Machine {
    pub processor: String,
    /// The cores that this process may use.
    pub cores: Vec<usize>,
    pub memory_gib: u64,
    pub kernel: String,
    pub c_library: String,
    pub rustc: String,
    pub date: String,
    /// Processes that wanted to run, on average over a minute.
    pub load: String,
    /// Programs that some contestants need.
    pub tools: Vec<String>,
}

impl Machine {
    pub fn this() -> Result<Self, Box<dyn Error>> {
        let status = fs::read_to_string("/proc/self/status")?;
        let cores = after(&status, "Cpus_allowed_list:").ok_or("no list of cores")?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = after(&memory, "MemTotal:").and_then(|total| total.split(' ').next());
        let processor = fs::read_to_string("/proc/cpuinfo")?;
        Ok(Self {
            processor: after(&processor, "model name")
                .unwrap_or("unknown")
                .to_owned(),
            cores: list(cores)?,
            memory_gib: memory.ok_or("no amount of memory")?.parse::<u64>()? >> 20,
            kernel: said_by("uname", &["-sr"])?,
            c_library: said_by("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_default(),
            rustc: said_by("rustc", &["--version"])?,
            date: said_by("date", &["-u", "+%Y-%m-%d"])?,
            load: fs::read_to_string("/proc/loadavg")?
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            tools: tools(),
        })
    }

    pub fn text(&self) -> String {
        format!(
            "{}: {}, {} cores, {} GiB, {}, {}, {}; load {} before",
            self.date,
            self.processor,
            self.cores.len(),
            self.memory_gib,
            self.kernel,
            self.c_library,
            self.rustc,
            self.load
        )
    }
}

fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([' ', '\t', ':']))
}

/// `0-2,5` is 0, 1, 2 and 5.
fn list(ranges: &str) -> Result<Vec<usize>, Box<dyn Error>> {
    let mut cores = Vec::new();
    for range in ranges.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>()?..=last.parse()?);
    }
    Ok(cores)
}

fn tools() -> Vec<String> {
    let nightly = said_by("rustc", &["+nightly", "--version"]);
    let heaptrack = said_by("heaptrack", &["--version"]);
    let tools = [nightly, heaptrack].into_iter().flatten();
    tools.filter(|tool| !tool.is_empty()).collect()
}

fn said_by(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn cores_are_listed() {
        assert_eq!(list("0-2,5\n").ok(), Some(vec![0, 1, 2, 5]));
        assert_eq!(list("3").ok(), Some(vec![3]));
        assert!(list("").is_err());
    }
}
