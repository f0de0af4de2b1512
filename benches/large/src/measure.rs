//! What a step says of itself, from the process that runs it to the one that asked.

use std::error::Error;
use std::fs;

use cpu_time::ProcessTime;

/// One line of a step: what was done, seconds of the processor, bytes that came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub name: String,
    pub seconds: f64,
    pub bytes: u64,
    /// The process's peak of memory so far, in bytes.
    pub memory: u64,
}

/// Does the work and prints its figure. `bytes` returns the size of the result.
pub fn measured<T>(
    name: &str,
    work: impl FnOnce() -> Result<T, Box<dyn Error>>,
    bytes: impl FnOnce(&T) -> u64,
) -> Result<T, Box<dyn Error>> {
    let start = ProcessTime::now();
    let done = work()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}\t{seconds}\t{}\t{}", bytes(&done), peak_of_memory()?);
    Ok(done)
}

impl Figure {
    pub fn parse(line: &str) -> Result<Self, Box<dyn Error>> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, seconds, bytes, memory] = fields[..] else {
            return Err(format!("not a figure: {line:?}").into());
        };
        Ok(Self {
            name: name.to_owned(),
            seconds: seconds.parse()?,
            bytes: bytes.parse()?,
            memory: memory.parse()?,
        })
    }
}

fn peak_of_memory() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|kib| kib.trim().strip_suffix(" kB"));
    Ok(peak.ok_or("no peak of memory")?.parse::<u64>()? << 10)
}
