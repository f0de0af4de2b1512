//! Runs of the tool.

use std::io;
use std::path::Path;
use std::process::{Command, Output};

/// What a run has left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }
}

/// The tool in `folder`, with none of the variables that decide about color.
pub(crate) fn command(folder: &Path) -> Command {
    quiet(env!("CARGO_BIN_EXE_tracemalloc"), folder)
}

pub(crate) fn cargo_command(folder: &Path) -> Command {
    quiet(env!("CARGO_BIN_EXE_cargo-tracemalloc"), folder)
}

fn quiet(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn finish(mut command: Command) -> Ran {
    Ran::of(command.output().unwrap())
}

/// Runs `tracemalloc LINE`, which is split at blanks.
pub(crate) fn run(folder: &Path, line: &str) -> Ran {
    let mut command = command(folder);
    command.args(line.split_whitespace());
    finish(command)
}

/// The output of a run that must succeed without a word on standard error.
#[track_caller]
pub(crate) fn succeed(folder: &Path, line: &str) -> Ran {
    let ran = run(folder, line);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{line}");
    ran
}

/// Runs `tracemalloc LINE` with a standard output that nobody reads.
pub(crate) fn run_unread(folder: &Path, line: &str) -> Ran {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = command(folder);
    command.args(line.split_whitespace()).stdout(writer);
    finish(command)
}
