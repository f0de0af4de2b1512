//! Manual pages.

use std::io::Write;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::failure::Failure;
use crate::output::{Content, Destination};

/// Write a manual page.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc man | man -l -
  tracemalloc man top -o tracemalloc-top.1")]
pub(crate) struct Options {
    /// The command that the page describes; without it, the page that lists all
    /// commands.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options, mut program: Command) -> Result<(), Failure> {
    program.build();
    let command = match options.command.as_deref() {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::new(format!("there is no command {name:?}")))?,
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    options
        .destination
        .write(Content::Data, |out| Ok(out.write_all(&page)?))
}
