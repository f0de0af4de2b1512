//! The guide holds what its commands print, and lists every example. Whether the examples hold what they
//! claim is shown by running them: each ends with its assertions.
//!
//! A block of kind `console` has commands, after `$ `, and below each its output. They are sessions of a
//! shell, begun in the repository's root, where `cargo run … --example` and `tracemalloc` stand for the
//! programs of this build; a comment in the guide begins another session, which runs beside the first. `TRACEMALLOC_BLESS=1` writes what they print into the guide.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Stands between the outputs of two commands.
const SEPARATOR: &str = "-- end of output --";

fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is in a folder")
}

fn guide() -> PathBuf {
    root().join("docs/GUIDE.md")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where this build puts its programs.
fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("it is in PROFILE/deps");
    profile.to_owned()
}

/// The names of the examples, from their files.
fn examples() -> BTreeSet<String> {
    let files = fs::read_dir(env!("CARGO_MANIFEST_DIR")).expect("the package can be read");
    let files = files.map(|file| file.expect("its files too").path());
    let sources = files.filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    let name = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    sources.filter_map(name).collect()
}

/// A command of the guide, and where the lines of its output are, from 0.
#[derive(Debug, PartialEq)]
struct Run {
    command: String,
    output: Range<usize>,
    /// Whether it shows how other crates were compiled into the program.
    varies: bool,
    session: usize,
}

/// Stands above blocks that a change of the compiler or of other code may change: what is inlined where.
/// They are those of an optimised build.
const VARIES: &str = "<!-- differs from build to build -->";

/// Stands above the chapter that begins a session.
const SESSION: &str = "<!-- another session -->";

fn runs(text: &str) -> Vec<Run> {
    let (mut runs, mut kind, mut varies, mut session) = (Vec::new(), None, false, 0);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            kind = kind.is_none().then_some(fence);
        } else if kind.is_none() {
            varies = line == VARIES;
            session += usize::from(line == SESSION);
        }
        let Some(first) = line.strip_prefix("$ ").filter(|_| kind == Some("console")) else {
            continue;
        };
        let (mut command, mut end) = (first.to_owned(), number + 1);
        while let Some((_, line)) = lines.next_if(|_| command.ends_with('\\')) {
            command = format!("{command}\n{line}");
            end += 1;
        }
        let start = end;
        let is_output = |line: &str| !line.starts_with("$ ") && !line.starts_with("```");
        while lines.next_if(|(_, line)| is_output(line)).is_some() {
            end += 1;
        }
        runs.push(Run {
            command,
            output: start..end,
            varies,
            session,
        });
    }
    runs
}

/// Runs the commands in one shell, in the repository's root, and returns what each prints.
fn outputs<'a>(commands: impl Iterator<Item = &'a str>) -> Vec<String> {
    let programs = programs().display().to_string();
    let mut script = format!(
        "cargo() {{ while [ \"$1\" != --example ]; do shift; done; program=$2; shift 2
             timeout 120 '{programs}'/examples/$program \"$@\"; }}
         PATH='{programs}':$PATH\n"
    );
    for command in commands {
        // `check` says with 1 that a limit is exceeded.
        let most = u8::from(command.starts_with("tracemalloc check"));
        script += &format!("{command}\n[ $? -le {most} ] || exit\necho '{SEPARATOR}'\n");
    }
    let shell = Command::new("sh")
        .args(["-c", &script])
        .current_dir(root())
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("there is a shell");
    let printed = String::from_utf8_lossy(&shell.stdout);
    assert!(
        shell.status.success() && printed.trim_end().ends_with(SEPARATOR),
        "{}; are all programs built, by cargo test --workspace --all-features?\n{printed}",
        shell.status
    );
    let output = |printed: &str| {
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        lines.join("\n").trim_matches('\n').to_owned()
    };
    let mut outputs: Vec<String> = printed.split(SEPARATOR).map(output).collect();
    // Nothing is printed after the last separator.
    outputs.pop();
    outputs
}

/// What must agree in a line: not the tracer's own memory, nor the system's figures, nor the lines of
/// another standard library.
fn comparable(line: &str) -> &str {
    let ends = [
        "own memory",
        "Resident memory: ",
        "Held by the allocator: ",
        "resident",
        "<std>/",
    ]
    .iter()
    .filter_map(|word| line.find(word));
    line[..ends.min().unwrap_or(line.len())].trim_end()
}

#[test]
fn commands_and_outputs_are_found() {
    let text = "```console\n$ a \\\n  b\nx\n\ny\n$ c\n```\n```text\n$ no\n```\n<!-- another session -->\n<!-- differs from build to build -->\n```console\n$ d\n```\n";
    let run = |command: &str, output| Run {
        command: command.to_owned(),
        output,
        varies: command == "d",
        session: usize::from(command == "d"),
    };
    let expected = [run("a \\\n  b", 3..6), run("c", 7..7), run("d", 15..15)];
    assert_eq!(runs(text), expected);
    assert_eq!(comparable("Tracer's own memory: 12 KiB"), "Tracer's");
}

#[test]
fn the_guide_holds_what_its_commands_print() {
    let text = read(&guide());
    let mut lines: Vec<&str> = text.lines().collect();
    let runs = runs(&text);
    // The commands write files there, and overwrite none.
    let _ = fs::remove_dir_all(root().join("target/guide"));
    let outputs: Vec<String> = std::thread::scope(|threads| {
        let sessions: Vec<_> = runs
            .chunk_by(|one, next| one.session == next.session)
            .map(|runs| threads.spawn(|| outputs(runs.iter().map(|run| run.command.as_str()))))
            .collect();
        let outputs = sessions
            .into_iter()
            .map(|session| session.join().expect("it succeeds"));
        outputs.flatten().collect()
    });
    let is_blessed = std::env::var_os("TRACEMALLOC_BLESS").is_some();
    let is_compared = |run: &Run| !run.varies || is_blessed && !cfg!(debug_assertions);
    let mut wrong = Vec::new();
    for (run, printed) in runs.iter().zip(&outputs) {
        let held = lines[run.output.clone()]
            .iter()
            .map(|line| comparable(line));
        if is_compared(run) && held.ne(printed.lines().map(comparable)) {
            wrong.push((run, printed));
        }
    }
    if is_blessed {
        for (run, printed) in wrong.iter().rev() {
            lines.splice(run.output.clone(), printed.lines());
        }
        fs::write(guide(), lines.join("\n") + "\n").expect("the guide can be written");
        return;
    }
    let mut report = String::new();
    for (run, printed) in wrong {
        let held = &lines[run.output.clone()];
        let printed: Vec<&str> = printed.lines().collect();
        report += &format!("line {}: $ {}\n", run.output.start, run.command);
        let gone = held.iter().filter(|line| !printed.contains(line));
        let new = printed.iter().filter(|line| !held.contains(line));
        report.extend(gone.map(|line| format!("- {line}\n")));
        report.extend(new.map(|line| format!("+ {line}\n")));
    }
    assert!(
        report.is_empty(),
        "\n{report}TRACEMALLOC_BLESS=1 writes what is printed"
    );
}

/// The table at the guide's end has a row for each.
#[test]
fn the_guide_lists_every_example() {
    let text = read(&guide());
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
    let table = text
        .split("\n## Every example\n")
        .nth(1)
        .expect("there is such a chapter");
    let listed: Vec<String> = table.lines().filter_map(row).collect();
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), examples());
    assert_eq!(listed.len(), examples().len(), "none is listed twice");
}

/// Those that the guide does not run.
#[test]
fn the_other_examples_hold_what_they_claim() {
    let shown: String = runs(&read(&guide()))
        .into_iter()
        .map(|run| run.command + " ")
        .collect();
    let others = examples()
        .into_iter()
        .filter(|name| !shown.contains(&format!("--example {name} ")));
    let commands: Vec<String> = others
        .map(|name| format!("cargo run --example {name}"))
        .collect();
    assert_eq!(
        outputs(commands.iter().map(String::as_str)).len(),
        commands.len()
    );
}
