//! Runs every contestant on every workload and prints how long each took beside the others.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml -- --help`

use std::error::Error;

use compare::arguments::{self, Arguments};
use compare::machine::Machine;
use compare::report::Report;
use compare::{building, contestants, rounds};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::from_command_line()? else {
        print!("{}", arguments::HELP);
        return Ok(());
    };
    let machine = Machine::this()?;
    let (contestants, mut left_out) = contestants::chosen(&arguments);
    let contestants = building::build(contestants, &mut left_out)?;
    let results = rounds::run(&arguments, &machine, &contestants, &mut left_out)?;
    let report = Report {
        arguments: &arguments,
        machine: &machine,
        contestants: &contestants,
        results: &results,
        left_out: &left_out,
    };
    arguments.publish("workloads", &report.text())
}
