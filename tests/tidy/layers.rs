//! A file imports only from the layers below its own. There is no way back up.

use crate::source::Source;
use crate::{assert_none, repository};

/// Each layer and what it may import from this crate. `ROOT` stands for the free functions and
/// names that `lib.rs` gives to everybody.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("object", &[]),
    ("sampling", &[]),
    ("utc", &[]),
    ("gzip", &[]),
    ("config", &["error"]),
    ("engine", &["error", "sampling"]),
    ("sections", &["engine"]),
    ("external", &["engine", "sections"]),
    ("snapshot", &["error", "gzip", "sampling"]),
    ("symbols", &["snapshot"]),
    ("report", &["error", "gzip", "sampling", "snapshot", "utc"]),
    (
        "collect",
        &["engine", "external", "sections", "snapshot", "symbols"],
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

/// What a file imports although it must not, or that it stands on no layer.
fn violations(source: &Source) -> Vec<String> {
    let modules = modules(&source.path);
    let Some(own) = modules.first() else {
        // `lib.rs` is the roof.
        return Vec::new();
    };
    if *own == "bin" {
        // Programs are crates of their own: the compiler shows them the public interface alone.
        return Vec::new();
    }
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
    let code = source.code.join("\n");
    let climb = "super::".repeat(depth);
    let mut imports = Vec::new();
    for root in ["crate::", &climb] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with("super::") {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let names = first_names(&code[at + root.len()..]).into_iter();
            let layers = names.filter_map(|name| layer_of(name, root));
            imports.extend(layers.map(|layer| (line, layer.to_owned())));
        }
    }
    imports
}

/// The first segments that a path goes on with: several in braces.
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

/// The layer called `name`. Other names are the root's, where `crate` was written; modules inside
/// of a file climb with `super` too and need not arrive there.
fn layer_of(name: &str, root: &str) -> Option<&'static str> {
    let layer = LAYERS.iter().map(|(layer, _)| *layer);
    layer
        .into_iter()
        .find(|layer| *layer == name)
        .or((root == "crate::").then_some(ROOT))
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
    check("src/bin/tool/main.rs", "use crate::report::run;", &[]);
}

#[test]
fn there_is_no_way_back_up() {
    let sources = repository::sources();
    assert_none(sources.iter().flat_map(violations).collect());
}
