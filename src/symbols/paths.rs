//! Short, stable names of source files.
//!
//! Debug information holds the path that the compiler saw, which differs from machine to machine.
//! The name keeps what says which code it is and drops where it was built. It is made from the path
//! and from the packages that the module was built from, so it never depends on what else was seen
//! before, on the directory of the checkout, or on the name of the executable.
//!
//! | path | name |
//! | --- | --- |
//! | `/rustc/HASH/library/alloc/src/vec/mod.rs` | `<std>/alloc/src/vec/mod.rs` |
//! | `…/registry/src/INDEX/serde_json-1.0.154/src/de.rs` | `serde_json-1.0.154/src/de.rs` |
//! | `…/git/checkouts/tools-HASH/REV/src/lib.rs` | `tools@REV/src/lib.rs` |
//! | `INDEX-HASH/serde_json-1.0.154/src/de.rs`, by cargo's `trim-paths` | `serde_json-1.0.154/src/de.rs` |
//! | `…/external/crates__serde_json-1.0.154/src/de.rs`, by Bazel | `serde_json-1.0.154/src/de.rs` |
//! | `…/build/PACKAGE-HASH/out/tables.rs` | `PACKAGE/out/tables.rs` |
//! | `src/main.rs` in the package that has the program's `main` | `src/main.rs` |
//! | `src/lib.rs` in the package of the crate `core_io` | `core_io/src/lib.rs` |
//! | `src/lib.rs` at the root of a workspace, in a package without machine code of its own | `<workspace>/src/lib.rs` |
//! | relative paths of no known package | as they are |
//!
//! **The program's own files.** Lines are grouped by file name, so two packages of one workspace
//! must not share one: that would add up lines that have nothing in common. So a file's name begins
//! with the crate of its package, unless the program's `main` is in that package: then the prefix says
//! nothing. That is alike for a lone package and for a member of a workspace.
//!
//! **Copied packages.** Nothing but their directory tells packages that `cargo vendor` has copied from those
//! that the program's authors wrote. So a package counts as a dependency if its directory name has a version, as
//! in `log-0.4.29`, or lies in a directory called `vendor`. Not so the package of the program, the one at the
//! root of the workspace, and members of the workspace without a version.

mod foreign;
#[cfg(test)]
mod tests;

use super::packages::{Package, Packages};
use foreign::{copied, crate_of_package, fetched, foreign};

pub(super) use foreign::{is_foreign, is_standard_file, without_hash};

/// A source file under its short name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) origin: Origin,
    /// How many bytes of the path come before what `file!()` gives.
    pub(super) unwritten: usize,
}

/// Whose code a source file is, with the crate where the path tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The standard library or what it is built from.
    Standard(String),
    /// A dependency from a registry or a git repository, or copied from there, or code that a build script
    /// generated.
    Package(String),
    /// Neither: the program itself and its workspace.
    Program(Option<String>),
}

/// Directories of a package that hold its code.
const CODE: [&str; 4] = ["src", "examples", "tests", "benches"];

/// Who asks for the short name of a file.
pub(super) struct Context<'a> {
    pub(super) packages: &'a Packages,
    /// The crate of the compile unit that the code is in: it decides between crates of one package.
    pub(super) unit_crate: Option<&'a str>,
    /// The executable's name, for platforms where no compile units are read.
    pub(super) program: &'a str,
}

/// The short name of the file at `path`.
pub(super) fn short(path: &str, context: &Context<'_>) -> SourceFile {
    let unified = path.replace('\\', "/");
    let parts = components(&unified);
    installed(&unified, &parts, context)
        .or_else(|| foreign(&unified, &parts))
        .or_else(|| of_package(&unified, &parts, context))
        .or_else(|| of_workspace(&unified, &parts, context))
        .unwrap_or_else(|| own(&unified, &parts, context.program))
}

/// A file of the program's own package where that comes from a registry or a repository, as with
/// `cargo install`.
fn installed(path: &str, parts: &[&str], context: &Context<'_>) -> Option<SourceFile> {
    let file = fetched(path, parts)?;
    let (package, len) = context.packages.of(parts)?;
    // The directory of a program whose path was trimmed is empty, and all files are below it.
    fetched("", &[&parts[..len], &["src", "lib.rs"]].concat())?;
    let crate_name = package.crate_of(&parts[len..], context.unit_crate);
    package.is_main.then(|| SourceFile {
        origin: Origin::Program(crate_name.map(str::to_owned)),
        ..file
    })
}

/// The components of a path, without `.` and with `..` taken back.
pub(super) fn components(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// A file of a package that compile units tell of.
fn of_package(path: &str, parts: &[&str], context: &Context<'_>) -> Option<SourceFile> {
    let (package, len) = context.packages.of(parts)?;
    let (directory, inside) = parts.split_at(len);
    if is_of_another(package, inside) {
        return None;
    }
    let copied = match package.workspace() {
        _ if package.is_main => None,
        Some(workspace) if workspace == len => None,
        // What is built with the program's members belongs to their authors, unless its directory has a version.
        Some(_) => copied(directory).filter(|copied| copied.is_versioned),
        None => copied(directory),
    };
    let name = match &copied {
        _ if package.is_main => inside.join("/"),
        Some(copied) if copied.is_versioned => joined(copied.directory, inside),
        _ => match package.name().or(directory.last().copied()) {
            Some(name) => joined(&crate_of_package(name), inside),
            None => inside.join("/"),
        },
    };
    let crate_name = package.crate_of(inside, context.unit_crate);
    let is_rust = inside.last().is_some_and(|file| file.ends_with(".rs"));
    let crate_name = crate_name.filter(|_| is_rust).map(str::to_owned);
    Some(SourceFile {
        name,
        origin: match copied {
            Some(copied) => Origin::Package(crate_name.unwrap_or_else(|| copied.crate_name())),
            None => Origin::Program(crate_name),
        },
        unwritten: unwritten(path, package.written(parts)),
    })
}

/// True for a file of a package inside of this one that has no compile unit.
fn is_of_another(package: &Package, inside: &[&str]) -> bool {
    let is_rust = inside.last().is_some_and(|file| file.ends_with(".rs"));
    let is_below = !CODE.contains(&inside[0]) && code_directory(inside).is_some_and(|at| at > 0);
    is_rust && is_below && !package.has_root_of(inside)
}

/// How many bytes of `path` come before `written`, its end as `file!()` gives it.
fn unwritten(path: &str, written: Option<&[&str]>) -> usize {
    let written = written.map(|written| written.join("/"));
    let written = written.filter(|written| path.ends_with(written));
    written.map_or(0, |written| path.len() - written.len())
}

/// A file of a package that has no compile unit, because all its code is generic or inlined, in the
/// directory of a workspace that has. The workspace's own directory is in no name.
fn of_workspace(path: &str, parts: &[&str], context: &Context<'_>) -> Option<SourceFile> {
    let workspace = context.packages.workspace_of(parts, is_absolute(path))?;
    let inside = parts.get(workspace..)?;
    inside.last().filter(|file| file.ends_with(".rs"))?;
    let code = code_directory(inside).filter(|&code| code > 0);
    let copied = code.and_then(|code| copied(&parts[..workspace + code]));
    let name = match (&copied, code) {
        (Some(copied), Some(code)) if copied.is_versioned => {
            joined(copied.directory, &inside[code..])
        }
        (_, Some(code)) => joined(&identifier(inside[code - 1]), &inside[code..]),
        // Which package it is the path does not tell, but that it is not the program's.
        (_, None) => joined("<workspace>", inside),
    };
    Some(SourceFile {
        name,
        origin: match copied {
            Some(copied) => Origin::Package(copied.crate_name()),
            None => Origin::Program(own_crate(inside)),
        },
        unwritten: unwritten(path, Some(inside)),
    })
}

/// A file of no known package.
fn own(path: &str, parts: &[&str], program: &str) -> SourceFile {
    let crate_name = own_crate(parts);
    let package = code_directory(parts).map_or(&[][..], |code| &parts[..code]);
    let origin = match copied(package).filter(|_| crate_name.is_some() && is_absolute(path)) {
        Some(copied) => Origin::Package(copied.crate_name()),
        None => Origin::Program(crate_name),
    };
    let name = if !is_absolute(path) {
        parts.join("/")
    } else {
        match code_directory(parts) {
            Some(0) => parts.join("/"),
            Some(code) if is_program(parts, code, program) => parts[code..].join("/"),
            Some(code) => parts[code - 1..].join("/"),
            // No package to be seen: nothing shorter is sure to be different from others.
            None => path.to_owned(),
        }
    };
    SourceFile {
        name,
        origin,
        unwritten: 0,
    }
}

/// True if the code in the directory at index `code` is that of the running program.
fn is_program(parts: &[&str], code: usize, program: &str) -> bool {
    let program = identifier(program);
    let named = match target_of(&parts[code..]) {
        Some(target) => target,
        None => parts[code - 1],
    };
    identifier(named) == program
}

/// The name of the binary, example, test or bench that a file below a package's root makes, if it
/// makes one.
fn target_of<'a>(code: &[&'a str]) -> Option<&'a str> {
    let target = match code {
        ["src", "bin", target, ..] | ["examples" | "tests" | "benches", target, ..] => target,
        _ => return None,
    };
    Some(target.strip_suffix(".rs").unwrap_or(target))
}

/// The crate that a file of the program belongs to, by the names that cargo gives to directories
/// and targets.
fn own_crate(parts: &[&str]) -> Option<String> {
    if !parts.last()?.ends_with(".rs") {
        return None;
    }
    let code = code_directory(parts)?;
    match target_of(&parts[code..]) {
        Some(target) => Some(identifier(target)),
        None => (code > 0).then(|| crate_of_package(parts[code - 1])),
    }
}

/// Index of the directory that holds a package's code. The last `src` wins over everything
/// (`/usr/src/app/src`), and over a later `tests`, which then is a module.
pub(super) fn code_directory(parts: &[&str]) -> Option<usize> {
    let directories = &parts[..parts.len().saturating_sub(1)];
    let last = |wanted: &[&str]| directories.iter().rposition(|part| wanted.contains(part));
    match last(&["src"]) {
        // `/usr/src/app/examples/demo.rs`: a `src` of the system holds packages, not code.
        Some(src) if src > 0 && directories[src - 1] != "usr" => Some(src),
        found => last(&CODE[1..]).or(found),
    }
}

pub(super) fn is_absolute(path: &str) -> bool {
    path.starts_with('/') || path.as_bytes().get(1) == Some(&b':')
}

fn joined(package: &str, rest: &[&str]) -> String {
    let mut name = package.to_owned();
    for part in rest {
        name.push('/');
        name.push_str(part);
    }
    name
}

/// A package's or target's name as the crate's name in code.
fn identifier(name: &str) -> String {
    name.replace('-', "_")
}
