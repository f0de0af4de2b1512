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
//! | `…/build/PACKAGE-HASH/out/tables.rs` | `PACKAGE/out/tables.rs` |
//! | `src/main.rs` in the package that has the program's `main` | `src/main.rs` |
//! | `src/lib.rs` in the package of the crate `core_io` | `core_io/src/lib.rs` |
//! | relative paths of no known package | as they are |
//!
//! **The program's own files.** Lines are grouped by file name, so two packages of one workspace
//! must not share one: that would add up lines that have nothing in common. So a file's name begins
//! with the crate of its package, unless the program's `main` is in that package: then the prefix says
//! nothing. That is alike for a lone package and for a member of a workspace.

use super::packages::Packages;

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
    /// A dependency from a registry or a git repository, or code that a build script generated.
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
    foreign(&parts)
        .or_else(|| of_package(&unified, &parts, context))
        .unwrap_or_else(|| own(&unified, &parts, context.program))
}

fn foreign(parts: &[&str]) -> Option<SourceFile> {
    standard(parts)
        .or_else(|| registry(parts))
        .or_else(|| git(parts))
        .or_else(|| generated(parts))
}

/// True for a directory of the standard library, a registry or a git checkout.
pub(super) fn is_foreign(directory: &[String]) -> bool {
    let mut parts: Vec<&str> = directory.iter().map(String::as_str).collect();
    parts.extend(["src", "lib.rs"]);
    foreign(&parts).is_some()
}

/// True for a source file of the standard library.
pub(super) fn is_standard_file(path: &str) -> bool {
    standard(&components(&path.replace('\\', "/"))).is_some()
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
    let (package, _) = rest.split_first()?;
    Some(SourceFile {
        name: format!("<std>/{}", rest.join("/")),
        origin: Origin::Standard(crate_of_package(package)),
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
    Some(SourceFile {
        name: joined(package, rest),
        origin: Origin::Package(crate_of_package(package)),
        unwritten: 0,
    })
}

fn git(parts: &[&str]) -> Option<SourceFile> {
    let at = position(parts, &["git", "checkouts"])?;
    let [checkout, revision, rest @ ..] = &parts[at + 2..] else {
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

/// A file of a package that compile units tell of.
fn of_package(path: &str, parts: &[&str], context: &Context<'_>) -> Option<SourceFile> {
    let (package, len) = context.packages.of(parts)?;
    let (directory, inside) = parts.split_at(len);
    let name = match directory.last() {
        _ if package.is_main => inside.join("/"),
        // A registry's package in a directory of another name.
        Some(directory) if is_versioned(directory) => joined(directory, inside),
        directory => match package.name().or(directory.copied()) {
            Some(name) => joined(&crate_of_package(name), inside),
            None => inside.join("/"),
        },
    };
    let written = package.written(parts).map(|written| written.join("/"));
    let written = written.filter(|written| path.ends_with(written));
    let crate_name = package.crate_of(inside, context.unit_crate);
    let is_rust = inside.last().is_some_and(|file| file.ends_with(".rs"));
    let crate_name = crate_name.filter(|_| is_rust).map(str::to_owned);
    Some(SourceFile {
        name,
        origin: match directory.last() {
            Some(directory) if is_versioned(directory) => {
                Origin::Package(crate_name.unwrap_or_else(|| crate_of_package(directory)))
            }
            _ => Origin::Program(crate_name),
        },
        unwritten: written.map_or(0, |written| path.len() - written.len()),
    })
}

/// True for a directory called after a package and its version, as in a registry.
fn is_versioned(directory: &str) -> bool {
    package_name(directory) != directory
}

/// A file of no known package.
fn own(path: &str, parts: &[&str], program: &str) -> SourceFile {
    let crate_name = own_crate(parts);
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
        origin: Origin::Program(crate_name),
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

/// Index of the last occurrence of two neighbouring components.
fn position(parts: &[&str], wanted: &[&str; 2]) -> Option<usize> {
    parts.windows(2).rposition(|pair| pair == wanted)
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name without the hash that cargo appends to it.
pub(super) fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, hash)) if is_hash(hash) => name,
        _ => name,
    }
}

/// The crate of a package directory: no version, and underscores.
fn crate_of_package(directory: &str) -> String {
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

/// A package's or target's name as the crate's name in code.
fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::super::packages::CompileUnit;
    use super::*;

    #[track_caller]
    fn check(path: &str, expect: &str) {
        let name = short_in(path, "myapp").name;
        assert_eq!(name, expect, "the name of {path}");
    }

    /// Where no compile units are known.
    fn short_in(path: &str, program: &str) -> SourceFile {
        let packages = Packages::default();
        let context = Context {
            packages: &packages,
            unit_crate: None,
            program,
        };
        short(path, &context)
    }

    #[track_caller]
    fn check_crate(path: &str, expect: Origin) {
        assert_eq!(
            short_in(path, "myapp").origin,
            expect,
            "the origin of {path}"
        );
    }

    const HASH: &str = "59807616e1fa2540724bfbac14d7976d7e4a3860";

    #[test]
    fn the_standard_library() {
        let rustc = |rest: &str| format!("/rustc/{HASH}/{rest}");
        check(
            &rustc("library/alloc/src/vec/mod.rs"),
            "<std>/alloc/src/vec/mod.rs",
        );
        check(
            &rustc("library/core/src/fmt/mod.rs"),
            "<std>/core/src/fmt/mod.rs",
        );
        check(&rustc(r"library\std\src\rt.rs"), "<std>/std/src/rt.rs");
        check(
            &rustc("/library/std/src/../../backtrace/src/lib.rs"),
            "<std>/backtrace/src/lib.rs",
        );
        check(
            &rustc("library/stdarch/crates/core_arch/src/x86/sse2.rs"),
            "<std>/stdarch/crates/core_arch/src/x86/sse2.rs",
        );
        check(
            &rustc("vendor/hashbrown-0.15.2/src/raw/mod.rs"),
            "<std>/hashbrown-0.15.2/src/raw/mod.rs",
        );
        check(
            "/rust/deps/hashbrown-0.16.1/src/raw/mod.rs",
            "<std>/hashbrown-0.16.1/src/raw/mod.rs",
        );
        check(
            "/home/a/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/lib/rustlib/src/rust/library/alloc/src/string.rs",
            "<std>/alloc/src/string.rs",
        );
        check(
            r"C:\Users\a\.rustup\toolchains\stable\lib\rustlib\src\rust\library\core\src\option.rs",
            "<std>/core/src/option.rs",
        );
        check(
            "/opt/rust/lib/rustlib/src/rust/library/vendor/hashbrown-0.16.1/src/map.rs",
            "<std>/hashbrown-0.16.1/src/map.rs",
        );
        check(
            "/usr/src/rustc-1.85.0/library/std/src/io/mod.rs",
            "<std>/std/src/io/mod.rs",
        );
        check(
            "/build/rustc-1.85.0-src/library/alloc/src/boxed.rs",
            "<std>/alloc/src/boxed.rs",
        );
    }

    #[test]
    fn a_projects_own_library_directory_is_not_the_standard_one() {
        check("/home/a/shop/library/core/src/lib.rs", "core/src/lib.rs");
        check("/home/a/rust/library/alloc/src/lib.rs", "alloc/src/lib.rs");
    }

    #[test]
    fn dependencies() {
        let index = "/home/ann/.cargo/registry/src/index.example-1949cf8c6b5b557f";
        check(
            &format!("{index}/serde_json-1.0.154/src/de.rs"),
            "serde_json-1.0.154/src/de.rs",
        );
        check(
            &format!("{index}/zstd-sys-2.0.15/zstd/lib/common/pool.c"),
            "zstd-sys-2.0.15/zstd/lib/common/pool.c",
        );
        check(
            &format!("{index}/a-0.1.0/src/../tests/b.rs"),
            "a-0.1.0/tests/b.rs",
        );
        check(
            "/cargo/registry/src/private-mirror/a-1.0.0-rc.2/src/lib.rs",
            "a-1.0.0-rc.2/src/lib.rs",
        );
        check(
            r"C:\Users\a\.cargo\registry\src\index.example-1949cf8c6b5b557f\smallvec-1.16.5\src\lib.rs",
            "smallvec-1.16.5/src/lib.rs",
        );
        check(
            "/home/a/.cargo/git/checkouts/tools-0123456789abcdef/1a2b3c4/src/lib.rs",
            "tools@1a2b3c4/src/lib.rs",
        );
        check(
            "/home/a/.cargo/git/checkouts/my-tools-0123456789abcdef/1a2b3c4/crates/saw/src/lib.rs",
            "my-tools@1a2b3c4/crates/saw/src/lib.rs",
        );
    }

    #[test]
    fn generated_files() {
        check(
            "/w/shop/target/debug/build/proto-0123456789abcdef/out/rows.rs",
            "proto/out/rows.rs",
        );
        check(
            "/w/shop/target/release/build/my-proto-0123456789abcdef/out/v1/rows.rs",
            "my-proto/out/v1/rows.rs",
        );
        check(
            "/w/cache/debug/build/proto/0123456789abcdef/out/rows.rs",
            "proto/out/rows.rs",
        );
        check("/w/build/out/src/lib.rs", "out/src/lib.rs");
    }

    #[test]
    fn files_of_the_program() {
        check("/home/a/myapp/src/main.rs", "src/main.rs");
        check("/home/a/myapp/src/net/mod.rs", "src/net/mod.rs");
        check("/home/a/myapp/src/net/tests/mod.rs", "src/net/tests/mod.rs");
        check("/usr/src/myapp/src/main.rs", "src/main.rs");
        check("/usr/src/tools/examples/myapp.rs", "examples/myapp.rs");
        check(r"C:\work\myapp\src\main.rs", "src/main.rs");
        check("/home/a/tools/src/bin/myapp.rs", "src/bin/myapp.rs");
        check("/home/a/tools/src/bin/myapp/cli.rs", "src/bin/myapp/cli.rs");
        check("/home/a/tools/tests/myapp.rs", "tests/myapp.rs");
        check(
            "/home/a/tools/benches/myapp/main.rs",
            "benches/myapp/main.rs",
        );
        check("/src/main.rs", "src/main.rs");
        assert_eq!(short_in("/w/my-app/src/a.rs", "my-app").name, "src/a.rs");
        assert_eq!(short_in("/w/my-app/src/a.rs", "my_app").name, "src/a.rs");
    }

    #[track_caller]
    fn check_units(units: &[(&str, &str)], path: &str, expect: (&str, &str)) {
        let units = units.iter();
        let units = units.filter_map(|(name, directory)| CompileUnit::of(name, directory));
        let packages = Packages::new(units, None, true);
        let context = Context {
            packages: &packages,
            unit_crate: None,
            program: "renamed",
        };
        let file = short(path, &context);
        let written = &path[file.unwritten..];
        assert_eq!((file.name.as_str(), written), expect, "the name of {path}");
    }

    /// The second name is the one that `file!()` gives.
    #[test]
    fn a_checkouts_directory_is_in_no_name() {
        for place in ["/w", "/", "/ci/base", "/home/a/app"] {
            let units = [
                ("app/src/main.rs/@/app.1-cgu.0", place),
                ("crates/net-io/src/lib.rs/@/net_io.2-cgu.0", place),
            ];
            let place = place.trim_end_matches('/');
            let main = format!("{place}/app/src/main.rs");
            check_units(&units, &main, ("src/main.rs", "app/src/main.rs"));
            let io = format!("{place}/crates/net-io/src/a.rs");
            check_units(&units, &io, ("net_io/src/a.rs", "crates/net-io/src/a.rs"));
        }
        let alone = [("src/main.rs/@/app.1-cgu.0", "/src")];
        check_units(&alone, "/src/src/main.rs", ("src/main.rs", "src/main.rs"));
        let trimmed = [("src/main.rs/@/app.1-cgu.0", ".")];
        check_units(&trimmed, "./src/main.rs", ("src/main.rs", "src/main.rs"));
        let sandbox = [("app/main.rs/@/app.1-cgu.0", "/sandbox/17/execroot/_main")];
        let file = "/sandbox/17/execroot/_main/app/main.rs";
        check_units(&sandbox, file, ("main.rs", "app/main.rs"));
        let elsewhere = "/home/a/net/src/lib.rs";
        let units = [
            ("src/main.rs/@/app.1-cgu.0", "/w"),
            ("/home/a/net/src/lib.rs/@/net_io.2-cgu.0", "/home/a/net"),
        ];
        check_units(&units, elsewhere, ("net_io/src/lib.rs", elsewhere));
        let vendored = [
            ("src/main.rs/@/app.1-cgu.0", "/w"),
            ("vendor/log-0.4.1/src/lib.rs/@/log.2-cgu.0", "/w"),
        ];
        let file = "/w/vendor/log-0.4.1/src/lib.rs";
        check_units(
            &vendored,
            file,
            ("log-0.4.1/src/lib.rs", "vendor/log-0.4.1/src/lib.rs"),
        );
    }

    /// Two members of a workspace that are not the program must never come out under one name.
    #[test]
    fn files_of_other_packages_bear_their_package() {
        check("/w/shop/crates/core/src/lib.rs", "core/src/lib.rs");
        check("/w/shop/crates/net/src/lib.rs", "net/src/lib.rs");
        check("/w/shop/src/lib.rs", "shop/src/lib.rs");
        check("/w/myapp/examples/demo.rs", "myapp/examples/demo.rs");
        check("/w/myapp/tests/common/mod.rs", "myapp/tests/common/mod.rs");
        check("/w/myapp/src/bin/other.rs", "myapp/src/bin/other.rs");
        check("/w/app/../core/src/./lib.rs", "core/src/lib.rs");
    }

    #[test]
    fn paths_of_no_package() {
        check("src/main.rs", "src/main.rs");
        check("./src/main.rs", "src/main.rs");
        check("crates/core/src/lib.rs", "crates/core/src/lib.rs");
        check(
            "./csu/../sysdeps/nptl/libc_start_call_main.h",
            "sysdeps/nptl/libc_start_call_main.h",
        );
        check("../core/lib.rs", "../core/lib.rs");
        check(
            "/build/glibc-2.36/nptl/pthread_create.c",
            "/build/glibc-2.36/nptl/pthread_create.c",
        );
        check("<anon>", "<anon>");
        check("", "");
        check("/", "/");
        check("..", "..");
        check("/rustc", "/rustc");
        check("/library", "/library");
        check("/a/registry/src", "/a/registry/src");
        check("é", "é");
    }

    #[test]
    fn origins() {
        let package = |name: &str| Origin::Package(name.to_owned());
        let standard = |name: &str| Origin::Standard(name.to_owned());
        let program = |name: &str| Origin::Program(Some(name.to_owned()));
        check_crate("/rustc/1/library/alloc/src/a.rs", standard("alloc"));
        check_crate(
            "/rust/deps/hashbrown-0.16.1/src/map.rs",
            standard("hashbrown"),
        );
        check_crate(
            "/c/registry/src/i/serde_json-1.0.154/src/de.rs",
            package("serde_json"),
        );
        check_crate("/c/registry/src/i/utf-8-0.7.6/src/de.rs", package("utf_8"));
        check_crate(
            "/c/registry/src/i/zstd-sys-2.0.15+z.1.5.7/a.c",
            package("zstd_sys"),
        );
        check_crate(
            "/c/git/checkouts/a-0123456789abcdef/1/crates/b-c/src/d.rs",
            package("b_c"),
        );
        check_crate(
            "/c/git/checkouts/a-0123456789abcdef/1/src/d.rs",
            package("a"),
        );
        check_crate(
            "/t/build/my-proto-0123456789abcdef/out/a.rs",
            package("my_proto"),
        );
        check_crate("/w/my-app/src/main.rs", program("my_app"));
        check_crate("/w/my-app/tests/api.rs", program("api"));
        check_crate("/w/my-app/src/bin/tool.rs", program("tool"));
        check_crate("crates/core/src/lib.rs", program("core"));
        check_crate("src/main.rs", Origin::Program(None));
        check_crate("/w/my-app/src/native.c", Origin::Program(None));
        check_crate("./stdlib/msort.c", Origin::Program(None));
    }
}
