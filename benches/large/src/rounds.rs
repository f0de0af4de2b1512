//! Runs every step in every round and prints what came of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::measure::Figure;
use crate::steps::STEPS;

pub fn run(stacks: usize, rounds: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    // Figures of one name, in the order in which the names first came.
    let mut names: Vec<String> = Vec::new();
    let mut figures: BTreeMap<String, Vec<Figure>> = BTreeMap::new();
    for round in 1..=rounds {
        for step in STEPS {
            eprintln!("round {round} of {rounds}: {step}");
            for figure in figures_of(step, stacks, file)? {
                if !names.contains(&figure.name) {
                    names.push(figure.name.clone());
                }
                figures.entry(figure.name.clone()).or_default().push(figure);
            }
        }
    }
    println!("{}\n", machine()?);
    println!("{stacks} stacks, {rounds} rounds, seconds of the processor\n");
    println!("| what | median | minimum | bytes | peak of memory |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for name in &names {
        println!("{}", row(name, &figures[name]));
    }
    Ok(())
}

fn figures_of(step: &str, stacks: usize, file: &Path) -> Result<Vec<Figure>, Box<dyn Error>> {
    let output = Command::new(env::current_exe()?)
        .args(["step", step, &stacks.to_string()])
        .arg(file)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{step}: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figures = text.lines().map(Figure::parse).collect::<Result<_, _>>()?;
    // Loading is a figure of its own step; the others load to have something to work on.
    Ok(match step {
        "load" => figures,
        _ => Vec::into_iter(figures)
            .filter(|figure| figure.name != "load")
            .collect(),
    })
}

fn row(name: &str, figures: &[Figure]) -> String {
    let mut seconds: Vec<f64> = figures.iter().map(|figure| figure.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let max = |of: fn(&Figure) -> u64| figures.iter().map(of).max().unwrap_or_default();
    let bytes = match max(|figure| figure.bytes) {
        0 => String::new(),
        bytes => format!("{:.1} MB", bytes as f64 / 1e6),
    };
    let memory = max(|figure| figure.memory) >> 20;
    format!(
        "| {name} | {median:.2} | {:.2} | {bytes} | {memory} MiB |",
        seconds[0]
    )
}

fn machine() -> Result<String, Box<dyn Error>> {
    let said_by = |name: &str, argument: &str| -> Result<String, Box<dyn Error>> {
        let output = Command::new(name).arg(argument).output()?.stdout;
        Ok(String::from_utf8(output)?.trim().to_owned())
    };
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| {
        model.trim_start_matches(['\t', ' ', ':'])
    });
    let count = std::thread::available_parallelism()?;
    let (date, kernel) = (said_by("date", "-I")?, said_by("uname", "-sr")?);
    let rustc = said_by("rustc", "--version")?;
    Ok(format!("{date}: {model}, {count} cores, {kernel}, {rustc}"))
}
