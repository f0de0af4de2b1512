//! Runs every contestant on every workload and prints how long each took beside the others.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml -- --help`

mod arguments;
mod building;
mod contestants;
mod figures;
mod machine;
mod report;
mod rounds;
mod table;
mod workload;

use std::error::Error;

use arguments::Arguments;
use machine::Machine;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::from_command_line()? else {
        print!("{}", arguments::HELP);
        return Ok(());
    };
    let machine = Machine::this()?;
    let (contestants, mut left_out) = contestants::chosen(&arguments);
    let contestants = building::build(contestants, &mut left_out)?;
    let results = rounds::run(&arguments, &machine, &contestants, &mut left_out)?;
    let report = report::Report {
        arguments: &arguments,
        machine: &machine,
        contestants: &contestants,
        results: &results,
        left_out: &left_out,
    };
    print!("{}", report.text());
    Ok(())
}
