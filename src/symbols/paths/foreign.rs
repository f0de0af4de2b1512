//! Code that is not the program's own: of the standard library, of dependencies, and of build scripts.

use super::{Origin, SourceFile, code_directory, components, identifier, joined, unwritten};

/// Directories of the standard library that are no crates there: each is compiled into one, as a module.
const MODULES: [(&str, &str); 3] = [
    ("backtrace", "std"),
    ("portable-simd", "core"),
    ("stdarch", "core"),
];

/// A file that no package of the program's own has.
pub(super) fn foreign(path: &str, parts: &[&str]) -> Option<SourceFile> {
    standard(parts)
        .or_else(|| fetched(path, parts))
        .or_else(|| generated(parts))
}

/// A file of a package that cargo or Bazel has fetched. `path`: as the compiler wrote it, of which these are the
/// `parts`.
pub(super) fn fetched(path: &str, parts: &[&str]) -> Option<SourceFile> {
    let in_place = registry(parts).or_else(|| git(parts));
    in_place.or_else(|| {
        let (file, start) = trimmed(parts).or_else(|| external(parts))?;
        // These are written from the directory that the compiler is started in.
        Some(SourceFile {
            unwritten: unwritten(path, parts.get(start..)),
            ..file
        })
    })
}

/// True for a directory of the standard library, a registry or a git checkout.
pub(in crate::symbols) fn is_foreign(directory: &[String]) -> bool {
    let mut parts: Vec<&str> = directory.iter().map(String::as_str).collect();
    parts.extend(["src", "lib.rs"]);
    foreign("", &parts).is_some()
}

/// True for a source file of the standard library.
pub(in crate::symbols) fn is_standard_file(path: &str) -> bool {
    standard(&components(&path.replace('\\', "/"))).is_some()
}

/// The library of a toolchain: its sources as remapped at its own build (`/rustc/HASH/library`, and
/// `/rust/deps` or `vendor` for its dependencies), as the `rust-src` component, or as a
/// distribution built them.
fn standard(parts: &[&str]) -> Option<SourceFile> {
    let rest = match parts {
        ["rust", "deps", rest @ ..] | ["rustc", _, "vendor", rest @ ..] => rest,
        _ => {
            let at =
                (1..parts.len()).rfind(|&at| parts[at] == "library" && toolchain(parts, at))?;
            match &parts[at + 1..] {
                ["vendor", rest @ ..] => rest,
                rest => rest,
            }
        }
    };
    let (directory, _) = rest.split_first()?;
    let module = MODULES.iter().find(|(part, _)| part == directory);
    let crate_name = module.map_or_else(
        || crate_of_package(directory),
        |(_, crate_name)| (*crate_name).to_owned(),
    );
    Some(SourceFile {
        name: format!("<std>/{}", rest.join("/")),
        origin: Origin::Standard(crate_name),
        unwritten: 0,
    })
}

/// True if the directory of the component `at` lies in a toolchain's sources, not in somebody's
/// project.
fn toolchain(parts: &[&str], at: usize) -> bool {
    match &parts[..at] {
        [.., "rustc", _] => true,
        [.., "rustlib", "src", "rust"] => true,
        [.., directory] => directory.starts_with("rustc-"),
        [] => false,
    }
}

fn registry(parts: &[&str]) -> Option<SourceFile> {
    let at = position(parts, &["registry", "src"])?;
    let [_index, package, rest @ ..] = &parts[at + 2..] else {
        return None;
    };
    Some(of_registry(package, rest))
}

fn of_registry(package: &str, rest: &[&str]) -> SourceFile {
    SourceFile {
        name: joined(package, rest),
        origin: Origin::Package(crate_of_package(package)),
        unwritten: 0,
    }
}

fn git(parts: &[&str]) -> Option<SourceFile> {
    let at = position(parts, &["git", "checkouts"])?;
    of_checkout(&parts[at + 2..])
}

/// A path without the directory that holds all registries or checkouts, as cargo's `trim-paths` writes it, and where
/// it begins. Both have directories whose names end with a hash.
fn trimmed(parts: &[&str]) -> Option<(SourceFile, usize)> {
    let is_revision =
        |text: &str| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let start = parts
        .iter()
        .position(|part| without_hash(part).len() < part.len())?;
    let file = match &parts[start..] {
        [_index, package, rest @ ..] if package_name(package) != *package => {
            of_registry(package, rest)
        }
        [_, revision, ..] if is_revision(revision) => of_checkout(&parts[start..])?,
        _ => return None,
    };
    Some((file, start))
}

/// A file of a package that Bazel has fetched, and where `external/REPOSITORY__NAME-VERSION` begins.
fn external(parts: &[&str]) -> Option<(SourceFile, usize)> {
    let start = parts.iter().rposition(|&part| part == "external")?;
    let [_, directory, rest @ ..] = &parts[start..] else {
        return None;
    };
    let (_, package) = directory.split_once("__")?;
    let is_versioned = package_name(package) != package;
    is_versioned.then(|| (of_registry(package, rest), start))
}

fn of_checkout(parts: &[&str]) -> Option<SourceFile> {
    let [checkout, revision, rest @ ..] = parts else {
        return None;
    };
    let repository = without_hash(checkout);
    // A repository may hold several packages; the directory of the code names the right one.
    let package = match code_directory(rest) {
        Some(code) if code > 0 => rest[code - 1],
        _ => repository,
    };
    Some(SourceFile {
        name: joined(&format!("{repository}@{revision}"), rest),
        origin: Origin::Package(crate_of_package(package)),
        unwritten: 0,
    })
}

fn generated(parts: &[&str]) -> Option<SourceFile> {
    let out = parts.iter().rposition(|&part| part == "out")?;
    let package = match &parts[..out] {
        [.., "build", package, hash] if is_hash(hash) => package,
        [.., "build", package] if without_hash(package) != *package => without_hash(package),
        _ => return None,
    };
    Some(SourceFile {
        name: joined(package, &parts[out..]),
        origin: Origin::Package(crate_of_package(package)),
        unwritten: 0,
    })
}

/// A package that was copied to where the program's own are.
pub(super) struct Copied<'a> {
    pub(super) directory: &'a str,
    /// The directory is called after a package and its version, as in a registry.
    pub(super) is_versioned: bool,
}

impl Copied<'_> {
    pub(super) fn crate_name(&self) -> String {
        crate_of_package(self.directory)
    }
}

/// The package in a directory, if that is called as packages are that somebody has copied: by `cargo vendor`, a
/// distribution, or another build system.
pub(super) fn copied<'a>(package: &[&'a str]) -> Option<Copied<'a>> {
    let (directory, above) = package.split_last()?;
    let is_versioned = package_name(directory) != *directory;
    let is_copied = is_versioned || above.last() == Some(&"vendor");
    is_copied.then_some(Copied {
        directory,
        is_versioned,
    })
}

/// Index of the last occurrence of two neighbouring components.
fn position(parts: &[&str], wanted: &[&str; 2]) -> Option<usize> {
    parts.windows(2).rposition(|pair| pair == wanted)
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name without the hash that cargo appends to it.
pub(in crate::symbols) fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, hash)) if is_hash(hash) => name,
        _ => name,
    }
}

/// The crate of a package directory: no version, and underscores.
pub(super) fn crate_of_package(directory: &str) -> String {
    identifier(package_name(directory))
}

/// The name of a package directory without a version.
fn package_name(directory: &str) -> &str {
    let is_version = |text: &str| {
        let major = text.split_once('.').map_or("", |(major, _)| major);
        !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit())
    };
    directory
        .match_indices('-')
        .find(|(at, _)| is_version(&directory[at + 1..]))
        .map_or(directory, |(at, _)| &directory[..at])
}
