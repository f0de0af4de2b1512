//! `cargo tracemalloc`: the tool under the name by which cargo finds it. Runs the program
//! `tracemalloc` that was installed beside this one.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // If standard error is closed, nothing can be reported.
            let _ = writeln!(io::stderr(), "error: cannot run `tracemalloc`: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<u8> {
    let name = format!("tracemalloc{}", env::consts::EXE_SUFFIX);
    let tool = env::current_exe()?.with_file_name(name);
    let mut arguments = env::args_os().skip(1).peekable();
    // Cargo repeats the name of the subcommand.
    arguments.next_if(|argument| argument == OsStr::new("tracemalloc"));
    let status = Command::new(tool).args(arguments).status()?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(2))
}
