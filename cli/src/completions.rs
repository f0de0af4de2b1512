//! What a shell needs to complete command lines of this program.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::{Content, Destination};

/// Write a script that completes commands and options in a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc completions bash -o ~/.local/share/bash-completion/completions/tracemalloc
  tracemalloc completions fish -o ~/.config/fish/completions/tracemalloc.fish")]
pub(crate) struct Options {
    /// The shell.
    shell: Shell,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options, mut program: Command) -> Result<(), Failure> {
    // In memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut program, "tracemalloc", &mut script);
    options
        .destination
        .write(Content::Data, |out| Ok(out.write_all(&script)?))
}
