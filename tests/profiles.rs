//! What tracebacks show in builds of every kind: the lines that people recognise, in debug and in
//! release, inlined or not; names where there are no lines; places in machine code where there are
//! no names. And the snapshot of a panic that aborts.
//!
//! `tests/programs/frames` allocates in known places. Comments in its source mark the lines that
//! its tracebacks must show, so that no line number is written down here.

#[cfg(feature = "file")]
#[path = "runner/child.rs"]
mod child;
mod runner;

mod programs {
    pub(crate) mod output;
    pub(crate) mod run;
    pub(crate) mod source;
}

use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;

use programs::output::{Block, Frame, Output};
use programs::run::{build, run};
use programs::source::Marks;

/// The program and its places whose functions are never inlined. All are called after a function.
const PROGRAM: &str = "frames";
const OUTLINED: [&str; 7] = [
    "fill",
    "closure",
    "text",
    "insert",
    "recursion",
    "generic",
    "thread_function",
];

/// Words of the report's hint at how to get lines.
const HINT: &str = "debug = \"limited\"";

fn output(profile: &str) -> Output {
    Output::parse(&run(&build(PROGRAM, profile), &[]))
}

fn marks() -> Marks {
    Marks::read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/frames/src/main.rs"),
        "src/main.rs",
    )
}

/// A build with lines: each block's traceback runs through exactly the marked lines, and the line
/// that allocated comes last.
#[track_caller]
fn check_lines(profile: &str) {
    let output = output(profile);
    let marks = marks();
    for place in marks.places() {
        let expected = marks.lines(place);
        for block in output.blocks(place) {
            let lines: Vec<&str> = block
                .frames
                .iter()
                .map(|frame| frame.shown.as_str())
                .filter(|line| line.starts_with("src/main.rs:"))
                .collect();
            assert_eq!(lines, expected, "{profile}: {block:#?}");
            let ends = [block.oldest(), block.most_recent()].map(|frame| frame.shown.as_str());
            assert_eq!(
                ends,
                [expected[0], expected[expected.len() - 1]],
                "{profile}: {block:#?}"
            );
            check_names(profile, block);
        }
    }
    assert_eq!(output.report.matches(HINT).count(), 0, "{}", output.report);
    assert!(
        output.groups("line").all(|(name, _)| name.contains(".rs:")),
        "{profile}: {output:#?}"
    );
}

/// The crate and the function of a block, and nothing of the tracer in between.
#[track_caller]
fn check_names(profile: &str, block: &Block) {
    let last = block.most_recent();
    assert_eq!(last.crate_name, PROGRAM, "{profile}: {block:#?}");
    if OUTLINED.contains(&block.place.as_str()) {
        assert!(
            last.function.split("::").any(|part| names(part, block)),
            "{profile}: {block:#?}"
        );
    }
    assert!(!block.frames.iter().any(is_tracer), "{profile}: {block:#?}");
}

/// True if a segment of a path is the function of the block's place, or a closure: line tables do
/// not say whose.
fn names(segment: &str, block: &Block) -> bool {
    let bare = segment.split('<').next().unwrap_or(segment);
    bare == block.place || (bare.starts_with("{closure") && block.place == "closure")
}

fn is_tracer(frame: &Frame) -> bool {
    let shims = ["__rust_alloc", "__rust_realloc", "__rg_", "__rdl_"];
    frame.crate_name == "tracemalloc" || shims.iter().any(|shim| frame.function.contains(shim))
}

#[test]
fn debug() {
    check_lines("dev");
}

#[test]
fn release_with_lines() {
    check_lines("lines");
}

/// Fat link-time optimisation and aborting panics.
#[test]
fn release_optimised_as_a_whole() {
    check_lines("fat");
}

/// Without lines, functions that are not inlined have their names, and so have the groups of lines.
#[test]
fn release_without_lines() {
    let output = output("names");
    for place in OUTLINED {
        for block in output.blocks(place) {
            check_names("names", block);
            assert!(
                block
                    .frames
                    .iter()
                    .all(|frame| frame.shown == frame.function),
                "{block:#?}"
            );
            let oldest = match place {
                "thread_function" => "frames::thread_function",
                _ => "frames::main",
            };
            assert_eq!(block.oldest().function, oldest, "{block:#?}");
        }
    }
    for block in output.blocks("inlined") {
        assert_eq!(block.most_recent().shown, "frames::main", "{block:#?}");
    }
    let by_line: Vec<_> = output.groups("line").collect();
    let by_function: Vec<_> = output.groups("function").collect();
    assert_eq!(by_line, by_function);
    assert!(by_line.len() > OUTLINED.len());
    assert_eq!(output.report.matches(HINT).count(), 1, "{}", output.report);
}

/// A stripped program has no names. Its places in machine code are the same in every run, wherever
/// the system loads it, so that they can be named later.
#[test]
#[cfg(target_os = "linux")]
fn stripped() {
    let program = without_symbols(&build(PROGRAM, "names"));
    let [first, second] = [(); 2].map(|()| Output::parse(&run(&program, &[])));
    let length = program.metadata().expect("it was built").len();
    for place in marks().places() {
        let [blocks, others] = [&first, &second].map(|output| output.blocks(place));
        for (block, other) in blocks.into_iter().zip(others) {
            assert_eq!(codes(block), codes(other));
            let last = block.most_recent();
            let (module, offset) = last.code.as_ref().expect("the module is known");
            assert_eq!(last.shown, format!("{PROGRAM}+{offset:#x}"));
            assert_eq!(Path::new(module), program);
            assert!((1..length).contains(offset), "not an offset: {block:#?}");
        }
    }
    assert_eq!(first.report.matches(HINT).count(), 1, "{}", first.report);
}

/// A copy as `strip = "symbols"` leaves it: a profile with that setting would compile all dependencies again.
#[cfg(target_os = "linux")]
fn without_symbols(program: &Path) -> PathBuf {
    let folder = program.with_extension("stripped");
    std::fs::create_dir_all(&folder).expect("a folder");
    let copy = folder.join(PROGRAM);
    let mut command = std::process::Command::new("strip");
    command
        .args(["--strip-all", "-o"])
        .args([copy.as_path(), program]);
    assert!(command.status().expect("strip runs").success());
    copy
}

#[cfg(target_os = "linux")]
fn codes(block: &Block) -> Vec<Option<&(String, u64)>> {
    block
        .frames
        .iter()
        .map(|frame| frame.code.as_ref())
        .collect()
}

/// `tests/programs/aborts`: the hook comes before the end.
#[test]
#[cfg(feature = "file")]
fn a_panic_that_aborts_leaves_a_snapshot() {
    let limit = std::time::Duration::from_secs(60);
    let name = format!("tracemalloc-aborts-{}.gz", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut command = runner::command(&build("aborts", "dev"));
    command.arg(&path);
    let ended = child::run(command, limit).expect("it was built");
    let verdict = ended.verdict(limit).expect_err("it panics");
    assert!(ended.status.is_some(), "{verdict}");
    assert!(verdict.contains("on purpose"), "{verdict}");
    assert!(!verdict.contains("tracemalloc:"), "{verdict}");
    let snapshot = tracemalloc::Snapshot::load(&path).expect("the panic's snapshot");
    std::fs::remove_file(path).expect("it is there");
    let is_block = |trace: tracemalloc::Trace| {
        trace.size == 54_321 && trace.traceback.most_recent().filename() == "src/main.rs"
    };
    assert!(snapshot.traces().unwrap().any(is_block));
    // Unwinding would have let it end by itself.
    #[cfg(unix)]
    assert_eq!(ended.status.and_then(|status| status.code()), None);
}
