//! What the first snapshot of a program costs: time, and memory at its highest and afterwards.
//!
//! Each row of the table is a process of its own, which has done its work with a history.

mod watched;

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tracemalloc::{Config, Names, Snapshot, Symbolizer};
use watched::{Watched, watched};

/// What is measured, as it is chosen on the command line.
const STEPS: [(&str, &str); 7] = [
    ("first", "first snapshot"),
    ("saved", "first snapshot, saved to a file"),
    ("second", "second snapshot"),
    ("load", "`load_names`"),
    ("later", "first snapshot, names later"),
    ("dump", "names later, saved to a file"),
    ("symbolize", "naming that file"),
];

/// Does what the command line says, in a program that does this work.
///
/// # Errors
/// If the command line is not understood, or a process cannot be started or measured.
pub fn main(work: fn()) -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["step", step] => {
            println!("{}", line(&run(step, work)?));
            Ok(())
        }
        [] => table(5),
        [rounds] => table(rounds.parse()?),
        _ => Err("usage: first [ROUNDS]".into()),
    }
}

fn file() -> PathBuf {
    env::temp_dir().join("tracemalloc-first.tmsnap.json.gz")
}

fn run(step: &str, work: fn()) -> Result<Watched, Box<dyn Error>> {
    // The first thread takes memory of the system's allocator, which stays.
    watched(|| ())?;
    if step == "symbolize" {
        return Ok(watched(|| {
            let snapshot = Snapshot::load(file()).expect("the step before has saved it");
            let named = Symbolizer::new()
                .symbolize(&snapshot)
                .expect("no file was given");
            drop(named);
        })?);
    }
    let names = match step {
        "later" | "dump" => Names::Later,
        _ => Names::Now,
    };
    Config::new()
        .frames(32)
        .history(true)
        .names(names)
        .start()?;
    work();
    let snapshot = || drop(tracemalloc::take_snapshot().expect("tracing is on"));
    Ok(match step {
        "first" | "later" => watched(snapshot)?,
        "second" => {
            snapshot();
            watched(snapshot)?
        }
        "load" => watched(|| tracemalloc::load_names().expect("tracing is on"))?,
        "saved" | "dump" => watched(|| {
            let snapshot = tracemalloc::take_snapshot().expect("tracing is on");
            snapshot.dump(file()).expect("a folder for temporary files");
        })?,
        _ => return Err(format!("no such step: {step}").into()),
    })
}

fn line(of: &Watched) -> String {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let mib = |kib: i64| kib as f64 / 1024.0;
    format!(
        "{:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:+} | {:+}",
        millis(of.wall),
        millis(of.processor),
        mib(of.highest),
        mib(of.anonymous),
        mib(of.files),
        mib(of.anonymous_after),
        mib(of.files_after),
        of.mappings_after,
        of.open_after,
    )
}

/// Prints for each step the round whose time of the processor is in the middle.
fn table(rounds: usize) -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    let size = program.metadata()?.len();
    let load = fs::read_to_string("/proc/loadavg")?;
    println!(
        "A program of {:.1} MiB; load of the machine {}; median of {rounds} rounds.\n",
        size as f64 / 1_048_576.0,
        load.split(' ').next().unwrap_or_default(),
    );
    println!(
        "| | wall ms | CPU ms | highest MiB | private | files | after: private | files | mappings | open |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (step, about) in STEPS {
        let mut lines = Vec::new();
        for _ in 0..rounds {
            let output = Command::new(&program).args(["step", step]).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
            lines.push(String::from_utf8(output.stdout)?.trim().to_owned());
        }
        lines.sort_by_key(|line| {
            let processor = line.split(" | ").nth(1);
            processor.and_then(|millis| millis.parse::<u64>().ok())
        });
        println!("| {about} | {} |", lines[lines.len() / 2]);
    }
    Ok(())
}
