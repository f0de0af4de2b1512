//! Runs the contestants in turn, round by round, so that a change of the machine's speed meets all
//! of them.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::building;
use crate::contestants::{COUNT, Contestant};
use crate::machine::Machine;
use crate::workload::{self, Workload};

/// How often each is run, unless the command line says.
pub const ROUNDS: usize = 5;

/// A contestant that has run for so long on a workload is not run on it again: one run of a slow
/// tool takes minutes, and its ratio needs no third digit.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What all contestants did on one workload.
#[derive(Debug)]
pub struct Results {
    pub workload: Workload,
    /// Allocations and reallocations.
    pub allocations: u64,
    /// By contestant, in their order; empty if it cannot run this workload.
    pub runs: Vec<Vec<Run>>,
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub checksum: u64,
    /// Nanoseconds on the wall clock.
    pub wall: u64,
    /// Nanoseconds on a processor, in the program's code.
    pub user: u64,
    /// Nanoseconds on a processor, in the system on the program's behalf.
    pub system: u64,
    /// The process's peak of memory, in KiB.
    pub resident: u64,
    pub allocations: Option<u64>,
    /// The peak of live bytes, by the contestant's own count.
    pub peak: Option<u64>,
}

impl Run {
    /// Nanoseconds on a processor.
    pub fn processor(&self) -> u64 {
        self.user + self.system
    }
}

pub fn run(
    arguments: &Arguments,
    machine: &Machine,
    contestants: &[Contestant],
    left_out: &mut Vec<String>,
) -> Result<Vec<Results>, Box<dyn Error>> {
    let cores = arguments.cores.as_ref().unwrap_or(&machine.cores);
    let mut results = Vec::new();
    for workload in workload::listed("--list", arguments)? {
        if workload.threads > cores.len() {
            left_out.push(format!(
                "{}: needs {} cores",
                workload.name, workload.threads
            ));
            continue;
        }
        let cores: Vec<String> = cores[cores.len() - workload.threads..]
            .iter()
            .map(usize::to_string)
            .collect();
        results.push(run_workload(
            arguments,
            workload,
            contestants,
            &cores.join(","),
        )?);
    }
    Ok(results)
}

fn run_workload(
    arguments: &Arguments,
    workload: Workload,
    contestants: &[Contestant],
    cores: &str,
) -> Result<Results, Box<dyn Error>> {
    let rounds = arguments.rounds.unwrap_or(ROUNDS);
    let mut runs = vec![Vec::new(); contestants.len()];
    let mut spent = vec![Duration::ZERO; contestants.len()];
    for round in 0..rounds {
        eprint!("{}: round {} of {}:", workload.name, round + 1, rounds);
        for at in 0..contestants.len() {
            // Each begins once.
            let at = (at + round) % contestants.len();
            let is_done = spent[at] > PATIENCE || (contestants[at].name == COUNT && round > 0);
            if is_done {
                continue;
            }
            eprint!(" {}", contestants[at].name);
            let begin = Instant::now();
            runs[at].push(run_once(
                &contestants[at],
                &workload,
                arguments.size(),
                cores,
            )?);
            spent[at] += begin.elapsed();
        }
        eprintln!();
    }
    check(&workload, contestants, &runs)?;
    let counted = contestants
        .iter()
        .position(|contestant| contestant.name == COUNT);
    let allocations = counted.and_then(|at| runs[at].first()?.allocations);
    Ok(Results {
        workload,
        allocations: allocations.ok_or("the allocations were not counted")?,
        runs,
    })
}

fn run_once(
    contestant: &Contestant,
    workload: &Workload,
    size: &str,
    cores: &str,
) -> Result<Run, Box<dyn Error>> {
    let output = building::command(contestant)?
        .args([&workload.name[..], size, cores])
        .output()?;
    building::remove_output(contestant)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text.lines().find_map(|line| line.strip_prefix("result "));
    match result {
        Some(result) if output.status.success() => read(result),
        _ => Err(format!(
            "{} failed on {}: {}\n{}",
            contestant.name,
            workload.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}

fn read(result: &str) -> Result<Run, Box<dyn Error>> {
    let mut run = Run::default();
    for field in result.split(' ') {
        let (name, value) = field.split_once('=').ok_or("a value without a name")?;
        let value: u64 = value.parse()?;
        match name {
            "checksum" => run.checksum = value,
            "wall" => run.wall = value,
            "user" => run.user = value,
            "system" => run.system = value,
            "resident" => run.resident = value,
            "allocations" => run.allocations = Some(value),
            "peak" => run.peak = Some(value),
            _ => return Err(format!("not known: {name}").into()),
        }
    }
    Ok(run)
}

/// All contestants did the same, and those that count saw the same, to a hundredth: some count what
/// comes right before or after.
fn check(
    workload: &Workload,
    contestants: &[Contestant],
    runs: &[Vec<Run>],
) -> Result<(), Box<dyn Error>> {
    let all = || {
        let named = contestants.iter().zip(runs);
        named.flat_map(|(contestant, runs)| runs.iter().map(move |run| (contestant.name, run)))
    };
    let Some((_, first)) = all().next() else {
        return Err("nothing ran".into());
    };
    for (name, run) in all() {
        if run.checksum != first.checksum {
            return Err(format!("{name} has another result on {}", workload.name).into());
        }
        // On two threads the peak depends on who is where when, and beside many threads the traced
        // one is exact only within a bound that grows with them.
        let peaks = first.peak.zip(run.peak);
        let peaks = peaks.filter(|_| workload.is_work_of_one_thread());
        for (what, counts) in [
            ("peak of live bytes", peaks),
            ("allocations", first.allocations.zip(run.allocations)),
        ] {
            if let Some((expected, counted)) = counts
                && counted.abs_diff(expected) > expected / 100
            {
                return Err(format!(
                    "{name} saw {counted} {what} on {}, of {expected}",
                    workload.name
                )
                .into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Run, check, read};
    use crate::contestants::{COUNT, UNTRACED, named};
    use crate::workload::Workload;

    fn workload(threads: usize) -> Workload {
        Workload {
            name: "json".to_owned(),
            threads,
            about: String::new(),
        }
    }

    fn run(checksum: u64, peak: Option<u64>) -> Vec<Run> {
        vec![Run {
            checksum,
            peak,
            ..Run::default()
        }]
    }

    #[test]
    fn what_a_contestant_says_is_read() {
        let run =
            read("checksum=1 wall=2 user=2 system=1 resident=4 peak=5").expect("all is known");
        assert_eq!((run.checksum, run.wall, run.processor()), (1, 2, 3));
        assert_eq!(
            (run.resident, run.peak, run.allocations),
            (4, Some(5), None)
        );
        assert!(read("checksum=1 other=2").is_err());
        assert!(read("checksum").is_err());
    }

    #[test]
    fn another_result_or_count_is_found() {
        let both = named(&[COUNT, UNTRACED]);
        let is_same =
            |threads, runs: [Vec<Run>; 2]| check(&workload(threads), &both, &runs).is_ok();
        assert!(is_same(1, [run(1, None), run(1, None)]));
        assert!(!is_same(1, [run(1, None), run(2, None)]));
        assert!(is_same(1, [run(1, Some(1000)), run(1, Some(1010))]));
        assert!(!is_same(1, [run(1, Some(1000)), run(1, Some(1011))]));
        assert!(!is_same(1, [run(1, Some(1000)), run(1, Some(0))]));
        assert!(is_same(2, [run(1, Some(1000)), run(1, Some(1500))]));
        assert!(!is_same(1, [Vec::new(), Vec::new()]));
    }
}
