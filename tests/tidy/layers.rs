//! A file imports only from the layers below its own. There is no way back up.

use crate::source::{Source, has_word};
use crate::{assert_none, repository};

/// Each layer and what it may import from this crate. `ROOT` stands for the free functions and
/// names that `lib.rs` gives to everybody.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("object", &[]),
    ("sampling", &[]),
    ("utc", &[]),
    ("gzip", &[]),
    ("process", &[]),
    ("config", &["error"]),
    ("engine", &["error", "sampling"]),
    ("sections", &["engine"]),
    ("external", &["engine", "sections"]),
    ("snapshot", &["error", "gzip", "sampling"]),
    (
        "scope",
        &[
            "collect", "control", "engine", "error", "sections", "snapshot",
        ],
    ),
    ("symbols", &["error", "snapshot"]),
    ("report", &["error", "gzip", "sampling", "snapshot", "utc"]),
    (
        "collect",
        &[
            "engine", "external", "process", "sections", "snapshot", "symbols",
        ],
    ),
    (
        "control",
        &[
            "collect", "config", "engine", "error", "external", "object", "sections", "snapshot",
            "symbols",
        ],
    ),
    (
        "dump",
        &["engine", "error", "sections", "snapshot", "utc", ROOT],
    ),
    ("environment", &["config", "dump", "error", ROOT]),
];

const ROOT: &str = "the root";

/// The layers of the engine, lowest first. A file imports from its own layer and from those below.
const ENGINE: [&str; 14] = [
    "memory",
    "session",
    "stacks",
    "blocks",
    "unwind",
    "stack_cache",
    "thread",
    "capture",
    "scopes",
    "history",
    "fork",
    "tracker",
    "failpoints",
    "allocator",
];

/// What a file imports although it must not, or that it stands on no layer.
fn violations(source: &Source) -> Vec<String> {
    let mut violations = violations_of_crate(source);
    violations.extend(violations_of_engine(source));
    violations
}

fn violations_of_engine(source: &Source) -> Vec<String> {
    let modules = modules(&source.path);
    let ["engine", own, ..] = modules[..] else {
        return Vec::new();
    };
    if own == "tests" {
        return Vec::new();
    }
    let position = |layer: &str| ENGINE.iter().position(|known| *known == layer);
    let Some(own_position) = position(own) else {
        return vec![format!("{}: in no layer of the engine", source.path)];
    };
    let climb = "super::".repeat(modules.len() - 1);
    let imports = imports_from(source, "crate::engine::", &climb, |name| {
        position(name).map(|at| ENGINE[at])
    });
    imports
        .into_iter()
        .filter(|(_, layer)| position(layer).is_none_or(|at| at > own_position))
        .map(|(line, layer)| format!("{}:{line}: {own} imports {layer}", source.path))
        .collect()
}

fn violations_of_crate(source: &Source) -> Vec<String> {
    let modules = modules(&source.path);
    let Some(own) = modules.first() else {
        // `lib.rs` is the roof.
        return Vec::new();
    };
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| layer == own) else {
        return vec![format!("{}: on no layer that is known here", source.path)];
    };
    imports(source, modules.len())
        .into_iter()
        .filter(|(_, layer)| layer != own && !allowed.contains(&layer.as_str()))
        .map(|(line, layer)| format!("{}:{line}: {own} imports {layer}", source.path))
        .collect()
}

/// The modules that a file is in: `src/engine/blocks/mod.rs` is `engine::live`.
fn modules(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/')
        .filter(|name| !["mod", "lib"].contains(name))
        .collect()
}

/// What is taken from the root of the crate, with the number of the line.
fn imports(source: &Source, depth: usize) -> Vec<(usize, String)> {
    let known = |name: &str| {
        let mut layers = LAYERS.iter().map(|(layer, _)| *layer);
        layers.find(|layer| *layer == name)
    };
    imports_from(source, "crate::", &"super::".repeat(depth), known)
}

/// What is taken from the module that is called `root`, or from a file by `climb`, with the number of
/// the line. `known`: the layer of a name. Other names are the root's, where `root` was written:
/// modules inside of a file climb with `super` too and need not arrive there.
fn imports_from(
    source: &Source,
    root: &str,
    climb: &str,
    known: impl Fn(&str) -> Option<&'static str>,
) -> Vec<(usize, String)> {
    let code = source.code.join("\n");
    let mut imports = Vec::new();
    for path in [root, climb] {
        for (at, _) in code.match_indices(path) {
            if code[..at].ends_with("super::") {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            for name in first_names(&code[at + path.len()..]) {
                let layer = known(name).or((path == root).then_some(ROOT));
                imports.extend(layer.map(|layer| (line, layer.to_owned())));
            }
        }
    }
    imports
}

/// The first segments of the rest of a path: several if it has braces.
fn first_names(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn name(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &path[..end.unwrap_or(path.len())]
}

#[test]
fn a_way_back_up_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, found: &[&str]) {
        assert_eq!(violations(&Source::new(path, text)), found, "{text}");
    }
    check("src/snapshot/size.rs", "use crate::error::Error;", &[]);
    check("src/snapshot/size.rs", "use super::frame::Frame;", &[]);
    check(
        "src/snapshot/size.rs",
        "\nuse crate::engine::StackId;",
        &["src/snapshot/size.rs:2: snapshot imports engine"],
    );
    check(
        "src/snapshot/size.rs",
        "use super::super::symbols::Symbols;",
        &["src/snapshot/size.rs:1: snapshot imports symbols"],
    );
    check(
        "src/engine/mod.rs",
        "fn a() { super::report::text() }",
        &["src/engine/mod.rs:1: engine imports report"],
    );
    check(
        "src/engine/blocks/mod.rs",
        "use crate::{error::{Error, ErrorKind}, snapshot::{self},\n collect::Collector};",
        &[
            "src/engine/blocks/mod.rs:1: engine imports snapshot",
            "src/engine/blocks/mod.rs:1: engine imports collect",
        ],
    );
    check(
        "src/error.rs",
        "fn a() -> bool { crate::is_tracing() }",
        &["src/error.rs:1: error imports the root"],
    );
    check("src/control.rs", "use crate::collect::Collector;", &[]);
    check(
        "src/collect.rs",
        "use crate::control::start; // use crate::report;",
        &["src/collect.rs:1: collect imports control"],
    );
    check(
        "src/report/mod.rs",
        "#[cfg(test)]\nuse crate::engine::Tracker;\nuse crate::engine::Tracker;",
        &["src/report/mod.rs:3: report imports engine"],
    );
    check(
        "src/misc.rs",
        "",
        &["src/misc.rs: on no layer that is known here"],
    );
    check("src/lib.rs", "use crate::control::start;", &[]);
}

#[test]
fn a_way_back_up_inside_of_the_engine_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, found: &[&str]) {
        assert_eq!(violations(&Source::new(path, text)), found, "{text}");
    }
    let slot = "src/engine/thread/slot.rs";
    check(slot, "use crate::engine::memory::arena::Arena;", &[]);
    check(slot, "use crate::engine::thread::counter::A;", &[]);
    check(slot, "use super::counter::A;", &[]);
    check(
        slot,
        "\nuse crate::engine::capture::Capture;",
        &["src/engine/thread/slot.rs:2: thread imports capture"],
    );
    check(
        slot,
        "fn a() { super::super::tracker::b() }",
        &["src/engine/thread/slot.rs:1: thread imports tracker"],
    );
    check(
        "src/engine/fork.rs",
        "use super::{memory::errno::KeepErrno, tracker::Tracker};",
        &["src/engine/fork.rs:1: fork imports tracker"],
    );
    check(
        "src/engine/tracker.rs",
        "use crate::engine::{TRACKER, stacks::StackId};",
        &["src/engine/tracker.rs:1: tracker imports the root"],
    );
    check(
        "src/engine/memory/arena/pages.rs",
        "pub(in crate::engine::memory::arena) fn map() {}\n$crate::engine::blocks::a!();",
        &["src/engine/memory/arena/pages.rs:2: memory imports blocks"],
    );
    check(
        "src/engine/misc.rs",
        "",
        &["src/engine/misc.rs: in no layer of the engine"],
    );
    check("src/engine/mod.rs", "use tracker::Tracker;", &[]);
    check("src/engine/tests/a.rs", "use super::super::Tracker;", &[]);
}

/// Only the tool's `main` knows the command line, which knows every command.
fn tool_violations(source: &Source) -> Vec<String> {
    if !source.path.starts_with("cli/src/") || source.path == "cli/src/main.rs" {
        return Vec::new();
    }
    let lines = source.numbered();
    let found = lines.filter(|(_, code)| has_word(code, "command_line"));
    found
        .map(|(line, _)| format!("{}:{line}: imports the command line", source.path))
        .collect()
}

#[test]
fn a_command_that_knows_the_command_line_is_found() {
    let text = "use crate::{command_line::Arguments, flags};";
    let found = |path: &str| tool_violations(&Source::new(path, text));
    assert_eq!(
        found("cli/src/check/show.rs"),
        ["cli/src/check/show.rs:1: imports the command line"]
    );
    assert_none(found("cli/src/main.rs"));
    assert_none(found("src/report/mod.rs"));
}

#[test]
fn commands_do_not_know_the_command_line() {
    let sources = repository::sources();
    assert_none(sources.iter().flat_map(tool_violations).collect());
}

#[test]
fn there_is_no_way_back_up() {
    let sources = repository::sources();
    // The compiler shows the tool the library's public names alone.
    let library = sources
        .iter()
        .filter(|source| source.path.starts_with("src/"));
    assert_none(library.flat_map(violations).collect());
}
