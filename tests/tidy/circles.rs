//! Files of the engine do not import each other in a circle. What a file takes from a folder above or
//! below its own does not count: a folder's `mod.rs` and its files are one concept.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;
use crate::{assert_none, repository};

/// Which modules each module imports from, by their paths such as `engine::thread::slot`.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The module that a file is: `src/engine/blocks/mod.rs` is `engine::blocks`.
fn module_of(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.trim_end_matches("/mod").replace('/', "::")
}

fn imports(sources: &[Source]) -> Imports {
    let engine = sources
        .iter()
        .filter(|source| source.path.starts_with("src/engine/"));
    let modules: BTreeSet<String> = engine
        .clone()
        .map(|source| module_of(&source.path))
        .collect();
    let mut imports = Imports::new();
    for source in engine {
        let own = module_of(&source.path);
        let found = paths(source, &own)
            .into_iter()
            .filter_map(|path| nearest(&path, &modules))
            .filter(|module| !contains(module, &own) && !contains(&own, module));
        imports.insert(own.clone(), found.collect());
    }
    imports
}

/// True if `inner` is `outer` or inside of it.
fn contains(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The innermost module on the way of `path`.
fn nearest(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut path = path;
    loop {
        if modules.contains(path) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// All paths from the root of the crate, and those by `super`, which is the folder of the module.
fn paths(source: &Source, own: &str) -> Vec<String> {
    let code = source.code.join("\n");
    let folder = own.rsplit_once("::").map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for (root, base) in [("crate::", ""), ("super::", folder)] {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with("::") {
                expand(base, &code[at + root.len()..], &mut found);
            }
        }
    }
    found
}

/// Adds the paths that continue `base` by `rest`: several if it has braces.
fn expand(base: &str, rest: &str, found: &mut Vec<String>) {
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let name = name.trim_end_matches("::");
    let path = match (base, name) {
        ("", name) => name.to_owned(),
        (base, "") => base.to_owned(),
        (base, name) => format!("{base}::{name}"),
    };
    let Some(group) = after.strip_prefix('{') else {
        found.push(path);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                expand(&path, group[start..at].trim(), found);
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The imports that are part of a circle.
fn violations(imports: &Imports) -> Vec<String> {
    let edges = imports
        .iter()
        .flat_map(|(from, targets)| targets.iter().map(move |to| (from, to)));
    edges
        .filter(|(from, to)| reaches(imports, to, from))
        .map(|(from, to)| format!("{from} imports {to}, which leads back"))
        .collect()
}

fn reaches(imports: &Imports, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            next.extend(
                imports
                    .get(module)
                    .into_iter()
                    .flatten()
                    .map(String::as_str),
            );
        }
    }
    false
}

#[test]
fn a_circle_is_found() {
    let check = |files: &[(&str, &str)], found: &[&str]| {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        assert_eq!(violations(&imports(&sources)), found);
    };
    let (a, b, c) = (
        "src/engine/a.rs",
        "src/engine/b/mod.rs",
        "src/engine/b/c.rs",
    );
    check(&[(a, "use crate::engine::b::B;"), (b, "")], &[]);
    check(
        &[
            (b, "use c::C;"),
            (c, "use super::B; use crate::engine::b::D;"),
        ],
        &[],
    );
    check(
        &[
            (a, "use crate::engine::{b::{B, c::C}, d::D};"),
            (c, "fn f() { crate::engine::a::f() }"),
            (b, ""),
        ],
        &[
            "engine::a imports engine::b::c, which leads back",
            "engine::b::c imports engine::a, which leads back",
        ],
    );
    check(
        &[
            (c, "use super::d::D;"),
            ("src/engine/b/d.rs", "use super::e::E;"),
            ("src/engine/b/e.rs", "use super::{c::C};"),
        ],
        &[
            "engine::b::c imports engine::b::d, which leads back",
            "engine::b::d imports engine::b::e, which leads back",
            "engine::b::e imports engine::b::c, which leads back",
        ],
    );
    check(
        &[
            (c, "use super::d::D;"),
            ("src/engine/b/d.rs", "#[cfg(test)]\nuse super::c::C;"),
        ],
        &[],
    );
}

#[test]
fn no_files_of_the_engine_import_each_other() {
    let imports = imports(&repository::sources());
    let count: usize = imports.values().map(BTreeSet::len).sum();
    assert!(count > 50, "only {count} imports were found");
    assert_none(violations(&imports));
}
