//! Runs programs that are built for the platform of the tests, which may not be the one that they
//! are built on: cargo is then told of an emulator, and the tests' children need it too.

use std::path::Path;
use std::process::Command;

/// What cargo was told with `--target`, if anything: the folder of its output has the name.
pub(crate) fn target() -> Option<&'static str> {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let name = output.file_name()?.to_str()?;
    let processor = name.split('-').next()?;
    (name.contains('-') && processor == std::env::consts::ARCH).then_some(name)
}

/// A command that runs `program`, with the emulator in front that cargo runs tests with.
pub(crate) fn command(program: &Path) -> Command {
    let emulator = emulator().unwrap_or_default();
    let mut words = emulator.split_whitespace();
    match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn emulator() -> Option<String> {
    // Wine starts children by itself.
    if cfg!(windows) {
        return None;
    }
    let target = target()?.to_uppercase().replace('-', "_");
    std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).ok()
}
