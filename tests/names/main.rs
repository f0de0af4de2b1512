//! What functions, crates and lines are called, however a program was built, linked and started.
//!
//! `tests/programs/depot` prints the names of known allocations. Comments in its sources mark the lines
//! and say the names. Builds that need other linkers, or take long, are ignored here: `.ci/run names`
//! runs them.

#![cfg(unix)]

mod formats;
mod layouts;
mod places;
#[path = "../runner/mod.rs"]
mod runner;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/depot")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs")
}

/// What is built of the package.
const PROGRAM: [&str; 2] = ["--bin", "depot"];

/// A compiler that compiles the package in `directory`, but not its dependencies, with `flags`. Cargo identifies it
/// by its name alone, and leaves out the directory.
fn wrapper(directory: &Path, flags: &[&str]) -> PathBuf {
    let place = directory.strip_prefix(target()).unwrap_or(Path::new(""));
    let name = (place.to_string_lossy() + flags.concat().as_str())
        .replace(|letter: char| !letter.is_ascii_alphanumeric(), "");
    let path = target().join(format!("rustc-{name}"));
    let quoted: Vec<String> = flags.iter().map(|flag| format!("'{flag}'")).collect();
    let script = format!("#!/bin/sh\nexec \"$@\" {}\n", quoted.join(" "));
    if fs::read_to_string(&path).is_ok_and(|known| known == script) {
        return path;
    }
    fs::create_dir_all(target()).expect("the folder is made");
    fs::write(&path, script).expect("the script is written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, executable).expect("it is ours");
    path
}

/// Held while a program is built: cargo puts what it builds at one place, whatever the flags. And while one is
/// started: it would inherit a file that is written meanwhile, and the system runs no such file.
static BUILDS: Mutex<()> = Mutex::new(());

/// An executable under a name of its own, in a folder of its own.
struct Built {
    folder: TempDir,
    path: PathBuf,
}

impl Built {
    /// A hard link to the executable, under another name.
    fn called(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::hard_link(&self.path, &path).expect("a link");
        path
    }
}

/// Runs cargo for the package in `directory`, which is compiled with `flags`. Gives its messages.
fn cargo(directory: &Path, arguments: &[&str], flags: &[&str]) -> Result<String, String> {
    let wrapper = wrapper(directory, flags);
    let mut command = Command::new(env!("CARGO"));
    let (order, arguments) = arguments.split_first().expect("what to do");
    command
        .current_dir(directory)
        .args([order, "--profile", "lines", "--message-format=json"])
        .arg("--target-dir")
        .arg(target())
        .args(arguments)
        .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS");
    if let Some(triple) = runner::target() {
        command.args(["--target", triple]);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{flags:?}\n{errors}\n{messages}"));
    }
    Ok(messages)
}

/// Builds a target of the package in `directory`.
fn build(directory: &Path, kind: &[&str], flags: &[&str]) -> Result<Built, String> {
    let _held = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let messages = cargo(directory, &[&["build"], kind].concat(), flags)?;
    // Cargo builds the package's programs with its tests and benches.
    let name = format!("\"name\":\"{}\"", kind[1]);
    let of_target = messages.lines().filter(|message| message.contains(&name));
    let paths = of_target.filter_map(|message| message.split_once("\"executable\":\""));
    let mut built = paths.filter_map(|(_, rest)| rest.split('"').next());
    let built = Path::new(built.next_back().ok_or("no executable")?);
    let folder = tempfile::tempdir_in(target()).map_err(|error| error.to_string())?;
    let path = folder.path().join("built");
    fs::hard_link(built, &path).map_err(|error| error.to_string())?;
    // Split debug information; if it is another program's, it is not read.
    let package = built.with_extension("dwp");
    if package.exists() {
        let beside = path.with_extension("dwp");
        fs::hard_link(package, beside).map_err(|error| error.to_string())?;
    }
    Ok(Built { folder, path })
}

/// What a program prints, without the lines of a test harness.
fn output(mut command: Command) -> Vec<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let held = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn().expect("the program starts");
    drop(held);
    let output = child.wait_with_output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let lines = text.lines().filter(|line| line.contains('\t'));
    lines.map(str::to_owned).collect()
}

pub(crate) fn run(program: &Path) -> Vec<String> {
    output(runner::command(program))
}

/// What the marks in the sources say that a target prints whose own file is `own`.
fn expected(own: &str) -> Vec<String> {
    let expected = expected_of(&[&SOURCES[..], &[own]].concat(), str::to_owned);
    assert_eq!(expected.len(), 16);
    expected
}

/// The files of the library and of its dependency.
const SOURCES: [&str; 3] = ["src/lib.rs", "src/shelf.rs", "inlined/src/lib.rs"];

/// What the marks in these files say that is printed. `shown`: how a file is called.
fn expected_of(files: &[&str], shown: impl Fn(&str) -> String) -> Vec<String> {
    let mut expected = Vec::new();
    for file in files {
        let text = fs::read_to_string(source().join(file)).expect("it is there");
        let file = shown(file);
        for (line, number) in text.lines().zip(1..) {
            let mark = line.split_once("; // ").or_else(|| line.split_once(" // "));
            let mark = mark.and_then(|(_, mark)| mark.split_once(": "));
            let Some((size, name)) = mark.filter(|(size, _)| size.parse::<u32>().is_ok()) else {
                continue;
            };
            let path = name.trim_start_matches('<');
            let crate_name = path.split("::").next().expect("a path");
            let origin = if file.starts_with("inlined-") {
                "Dependency"
            } else {
                "Own"
            };
            let names = format!("{name}\t{crate_name}\t{origin}");
            expected.push(format!("{size}\t{file}:{number}\t{names}\t1"));
        }
    }
    expected.sort();
    expected
}

#[track_caller]
fn check(flags: &[&str]) {
    let program = build(&source(), &PROGRAM, flags).expect("it is built");
    assert_eq!(run(&program.path), expected("src/main.rs"), "{flags:?}");
}

#[test]
fn names_are_alike_whatever_debug_information_holds() {
    check(&["-C", "debuginfo=limited"]);
    check(&["-C", "debuginfo=line-tables-only"]);
    check(&[
        "-C",
        "debuginfo=line-tables-only",
        "-C",
        "symbol-mangling-version=v0",
    ]);
}

/// The loader that programs of this platform ask for; none where tests are linked statically, or run in an
/// emulator.
fn loader() -> Option<&'static str> {
    let loader = match std::env::consts::ARCH {
        "x86_64" => "/lib64/ld-linux-x86-64.so.2",
        "aarch64" => "/lib/ld-linux-aarch64.so.1",
        _ => return None,
    };
    let is_glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    (is_glibc && runner::target().is_none()).then_some(loader)
}

#[test]
fn names_are_alike_however_a_program_is_started() {
    let program = build(&source(), &PROGRAM, &["-C", "debuginfo=limited"]).expect("it is built");
    let expected = expected("src/main.rs");
    let renamed = program.called("other-0.1.0");
    assert_eq!(run(&renamed), expected, "under another name");
    let link = program.folder.path().join("link");
    std::os::unix::fs::symlink(&program.path, &link).expect("a link");
    assert_eq!(run(&link), expected, "by a symbolic link");

    let mut goes = runner::command(&program.called("goes"));
    goes.env("DEPOT_GOES", "1");
    assert_eq!(output(goes), expected, "from a file that is deleted");

    let Some(loader) = loader() else {
        return;
    };
    let by_loader = |arguments: &[&str]| {
        let mut command = Command::new(loader);
        command.current_dir(program.folder.path()).args(arguments);
        output(command)
    };
    let file = renamed.to_str().expect("a path of this test");
    assert_eq!(by_loader(&[file]), expected, "by the loader");
    assert_eq!(by_loader(&["./other-0.1.0"]), expected, "by the loader");
    let named = ["--argv0", "nothing", file];
    assert_eq!(
        by_loader(&named),
        expected,
        "under a name that is no file's"
    );
}

/// A program that is in no folder.
#[cfg(target_os = "linux")]
#[test]
fn a_program_in_memory_has_names() {
    use std::io::Write;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    let program = build(&source(), &PROGRAM, &["-C", "debuginfo=limited"]).expect("it is built");
    #[expect(unsafe_code, reason = "a file in memory")]
    let file = {
        // SAFETY: the name is a C string.
        let file = unsafe { libc::memfd_create(c"depot".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(file >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is new, and nobody else's.
        unsafe { OwnedFd::from_raw_fd(file) }
    };
    let mut file = fs::File::from(file);
    let code = fs::read(program.path).expect("it is read");
    file.write_all(&code).expect("it is written");
    // The system follows the link in the child, before it closes the descriptor there.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(output(Command::new(path)), expected("src/main.rs"));
}

#[test]
#[ignore = "builds many programs"]
fn names_are_alike_at_every_level() {
    for level in ["0", "1", "s", "3"] {
        let level = format!("opt-level={level}");
        for debug in ["line-tables-only", "limited", "full"] {
            let debug = format!("debuginfo={debug}");
            let old = ["-C", &level, "-C", &debug];
            check(&old);
            check(&[&old[..], &["-C", "symbol-mangling-version=v0"]].concat());
        }
    }
}
