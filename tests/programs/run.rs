//! Builds a program of this folder and runs it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::runner;

const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The executable of the program in the folder `name`, built in a profile of its manifest.
#[track_caller]
pub(crate) fn build(name: &str, profile: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--profile", profile, "--manifest-path"])
        .arg(source.join(name).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // With it the executable would be in another folder.
        .env_remove("CARGO_BUILD_TARGET");
    if let Some(triple) = runner::target() {
        command.args(["--target", triple]);
    }
    let output = command.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "{name} in profile {profile}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let folder = if profile == "dev" { "debug" } else { profile };
    let output = target.join(runner::target().unwrap_or_default());
    let program = output.join(folder).join(name);
    program.with_extension(std::env::consts::EXE_EXTENSION)
}

/// What the program prints for the arguments `files`. It must succeed, and in time.
#[track_caller]
pub(crate) fn run(program: &Path, files: &[&Path]) -> String {
    let mut child = runner::command(program)
        .args(files)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut pipe = child.stdout.take().expect("piped");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    wait(&mut child, program);
    let text = reader.join().expect("reading does not panic");
    text.expect("the output is text")
}

#[track_caller]
fn wait(child: &mut Child, program: &Path) {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            assert!(status.success(), "{}: {status}", program.display());
            return;
        }
        if Instant::now() > end {
            child.kill().expect("it still runs");
            child.wait().expect("it is a child");
            panic!("{} did not end in {TIME_LIMIT:?}", program.display());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
