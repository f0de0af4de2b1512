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

#[track_caller]
fn check_origin(units: &[(&str, &str)], path: &str, expect: (&str, Origin)) {
    let units = units.iter();
    let units = units.filter_map(|(name, directory)| CompileUnit::of(name, directory));
    let main = units.clone().next();
    let packages = Packages::new(units, main, true);
    let context = Context {
        packages: &packages,
        unit_crate: None,
        program: "renamed",
    };
    let file = short(path, &context);
    assert_eq!((file.name.as_str(), file.origin), expect, "{path}");
}

fn program(name: &str) -> Origin {
    Origin::Program(Some(name.to_owned()))
}

fn package(name: &str) -> Origin {
    Origin::Package(name.to_owned())
}

/// A package whose code is all generic or inlined has no compile unit.
#[test]
fn packages_without_units_have_names_of_their_workspace() {
    for place in ["/ci/base", "/ci/head", "/src", "/", "."] {
        let units = [("app/src/main.rs/@/app.1-cgu.0", place)];
        let file = |rest: &str| match place {
            "/" => format!("/{rest}"),
            place => format!("{place}/{rest}"),
        };
        let root = file("src/lib.rs");
        check_units(&units, &root, ("<workspace>/src/lib.rs", "src/lib.rs"));
        check_origin(
            &units,
            &root,
            ("<workspace>/src/lib.rs", Origin::Program(None)),
        );
        let member = file("crates/net-io/src/a.rs");
        check_units(
            &units,
            &member,
            ("net_io/src/a.rs", "crates/net-io/src/a.rs"),
        );
        check_origin(&units, &member, ("net_io/src/a.rs", program("net_io")));
        let shared = file("shared/a.rs");
        check_units(&units, &shared, ("<workspace>/shared/a.rs", "shared/a.rs"));

        let units = [("src/main.rs/@/app.1-cgu.0", place)];
        check_origin(&units, &member, ("net_io/src/a.rs", program("net_io")));
        check_origin(&units, &file("src/a/b.rs"), ("src/a/b.rs", program("app")));
        check_origin(&units, &shared, ("shared/a.rs", program("app")));
        check_origin(
            &units,
            &file("vendor/log/src/lib.rs"),
            ("log/src/lib.rs", package("log")),
        );
    }
    let units = [("app/src/main.rs/@/app.1-cgu.0", "/w")];
    let c = "/w/app/zlib/inflate.c";
    check_origin(&units, c, ("zlib/inflate.c", Origin::Program(None)));
    check_origin(&units, "src/lib.rs", ("src/lib.rs", Origin::Program(None)));
}

/// As `cargo vendor` lays them out, with versions and without.
#[test]
fn copied_packages_are_dependencies() {
    let units = [
        ("src/main.rs/@/app.1-cgu.0", "/w"),
        ("/w/vendor/log/src/lib.rs/@/log.2-cgu.0", "/w/vendor/log"),
        (
            "/w/vendor/bytes-1.2.0/src/lib.rs/@/bytes.3-cgu.0",
            "/w/vendor/bytes-1.2.0",
        ),
        ("vendor/fork/src/lib.rs/@/fork.4-cgu.0", "/w"),
        ("/w/near/src/lib.rs/@/near.5-cgu.0", "/w/near"),
    ];
    for (path, name, origin) in [
        ("/w/vendor/log/src/lib.rs", "log/src/lib.rs", package("log")),
        (
            "/w/vendor/bytes-1.2.0/src/a.rs",
            "bytes-1.2.0/src/a.rs",
            package("bytes"),
        ),
        (
            "/w/vendor/inlined/src/a.rs",
            "inlined/src/a.rs",
            package("inlined"),
        ),
        (
            "/nix/vendor-dir/log-0.4.1/src/lib.rs",
            "log-0.4.1/src/lib.rs",
            package("log"),
        ),
        (
            "/w/vendor/fork/src/lib.rs",
            "fork/src/lib.rs",
            program("fork"),
        ),
        ("/w/near/src/lib.rs", "near/src/lib.rs", program("near")),
    ] {
        check_origin(&units, path, (name, origin));
    }
}

/// As distributions and `cargo install` build programs.
#[test]
fn a_program_is_own_code_wherever_its_sources_are() {
    let units = [
        ("src/main.rs/@/tool.1-cgu.0", "/b/tool-1.2.3"),
        (
            "crates/core/src/lib.rs/@/tool_core.2-cgu.0",
            "/b/tool-1.2.3",
        ),
    ];
    let main = "/b/tool-1.2.3/src/main.rs";
    check_origin(&units, main, ("src/main.rs", program("tool")));
    let core = "/b/tool-1.2.3/crates/core/src/lib.rs";
    check_origin(&units, core, ("tool_core/src/lib.rs", program("tool_core")));

    let directory = "/c/registry/src/i/tool-1.2.3";
    let units = [
        ("src/main.rs/@/tool.1-cgu.0", directory),
        (
            "/c/registry/src/i/log-0.4.1/src/lib.rs/@/log.2-cgu.0",
            "/c/registry/src/i/log-0.4.1",
        ),
    ];
    let main = format!("{directory}/src/main.rs");
    check_origin(&units, &main, ("tool-1.2.3/src/main.rs", program("tool")));
    let log = "/c/registry/src/i/log-0.4.1/src/lib.rs";
    check_origin(&units, log, ("log-0.4.1/src/lib.rs", package("log")));
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
    let standard = |name: &str| Origin::Standard(name.to_owned());
    check_crate("/rustc/1/library/alloc/src/a.rs", standard("alloc"));
    check_crate(
        "/rust/deps/hashbrown-0.16.1/src/map.rs",
        standard("hashbrown"),
    );
    // Modules of a crate that lie in a directory of their own.
    check_crate(
        "/rustc/1/library/std/src/../../backtrace/src/lib.rs",
        standard("std"),
    );
    check_crate(
        "/rustc/1/library/stdarch/crates/core_arch/src/x86/sse2.rs",
        standard("core"),
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

#[test]
fn fetched_packages_have_one_name_in_trimmed_paths() {
    for before in ["", "./", "/", "/deps/"] {
        let index = "index.crates.io-1949cf8c6b5b557f";
        let path = format!("{before}{index}/serde_json-1.0.154/src/de.rs");
        check(&path, "serde_json-1.0.154/src/de.rs");
        assert_eq!(short_in(&path, "myapp").unwritten, before.len());
        check(
            &format!("{before}tools-0123456789abcdef/179331a/crates/net-io/src/a.rs"),
            "tools@179331a/crates/net-io/src/a.rs",
        );
    }
    let package = |name: &str| Origin::Package(name.to_owned());
    check_crate(
        "./tools-0123456789abcdef/179331a/net-io/src/a.rs",
        package("net_io"),
    );
    check_crate("tools-0123456789abcdef/179331a/src/a.rs", package("tools"));
    // Neither a version nor a revision.
    check(
        "app-0123456789abcdef/net/src/a.rs",
        "app-0123456789abcdef/net/src/a.rs",
    );
}

#[test]
fn bazel_names_repositories_in_several_ways() {
    for directory in [
        "crates__serde_json-1.0.154",
        "rules_rust~0.40.0~crate~crate_index__serde_json-1.0.154",
        "rules_rust++crate+crates__serde_json-1.0.154",
    ] {
        for before in ["", "./", "/home/a/.cache/bazel/_bazel_a/1f/execroot/_main/"] {
            let written = format!("external/{directory}/src/de.rs");
            let file = short_in(&format!("{before}{written}"), "myapp");
            assert_eq!(file.name, "serde_json-1.0.154/src/de.rs");
            assert_eq!(file.origin, Origin::Package("serde_json".to_owned()));
            assert_eq!(file.unwritten, before.len(), "{before}{directory}");
        }
    }
    // Directories of a program's own.
    check("external/net/src/a.rs", "external/net/src/a.rs");
    check("external/my__net/src/a.rs", "external/my__net/src/a.rs");
}

#[test]
fn fetched_packages_are_no_own_code_of_a_program_without_a_directory() {
    let index = "index.crates.io-1949cf8c6b5b557f/serde_json-1.0.154/src/de.rs";
    for (place, path) in [
        (".", format!("./{index}")),
        ("", index.to_owned()),
        ("/", format!("/home/a/.cargo/registry/src/{index}")),
    ] {
        let units = [("src/main.rs/@/app.1-cgu.0", place)];
        check_origin(
            &units,
            &path,
            ("serde_json-1.0.154/src/de.rs", package("serde_json")),
        );
    }
}
