//! One source as a library that is loaded, with trimmed paths, and built by Bazel's rules.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::PoisonError;

use tempfile::TempDir;

use crate::places::{LIMITED, LINES, Place, copy_folder, unchanged};
use crate::{
    BUILDS, PROGRAM, SOURCES, build, cargo, expected_of, loader, output, runner, source, target,
};

/// The library that is built at the place, in a folder of its own.
fn library(place: &Place, flags: &[&str]) -> (TempDir, PathBuf) {
    let _held = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let arguments = [
        "rustc",
        "--package",
        "depot",
        "--lib",
        "--crate-type",
        "cdylib",
    ];
    let messages = cargo(&place.directory, &arguments, flags).expect("it is built");
    let (before, _) = messages.rsplit_once("/libdepot.so\"").expect("a library");
    let (_, folder) = before.rsplit_once('"').expect("a path");
    let copy = tempfile::tempdir_in(target()).expect("a folder");
    let path = copy.path().join("libother.so");
    fs::copy(format!("{folder}/libdepot.so"), &path).expect("it is copied");
    (copy, path)
}

#[test]
#[ignore = "builds many programs"]
fn a_loaded_library_has_one_name_at_every_place() {
    // Where libraries can be loaded, and their stacks be read.
    if loader().is_none() {
        return;
    }
    let host = Place::alone("library/host");
    let flags = ["-C", LIMITED];
    let host = build(&host.directory, &["--bin", "host"], &flags).expect("it is built");
    // No package of it has the program's `main`.
    let expected = expected_of(&SOURCES, |file| match file.starts_with("src/") {
        true => format!("depot/{file}"),
        false => file.to_owned(),
    });
    for place in [
        Place::alone("library/base"),
        Place::alone("library/src"),
        Place::member("library/w", "tools/depot"),
    ] {
        for debug in [LIMITED, LINES] {
            for remapped in [
                None,
                Some(place.remapped("/app")),
                Some(place.remapped(".")),
            ] {
                let mut flags = vec!["-C", debug];
                flags.extend(remapped.as_deref());
                let (_folder, library) = library(&place, &flags);
                let mut command = runner::command(&host.path);
                command.arg(&library);
                assert_eq!(output(command), expected, "{flags:?}");
            }
        }
    }
}

/// How a build system lays out the program and its dependency, which comes from a registry.
struct Layout {
    name: &'static str,
    /// The directory of the program's package, and the one that the compiler is started in for it.
    member: &'static str,
    member_start: &'static str,
    dependency: &'static str,
    dependency_start: &'static str,
    /// The root file of the dependency has its whole path.
    is_absolute: bool,
    /// What is written in place of a directory.
    remapped: &'static [(&'static str, &'static str)],
}

const REGISTRY: &str = "cargo/registry/src/index.crates.io-1949cf8c6b5b557f/inlined-0.0.0";
const EXECROOT: &str = "cache/_bazel_a/1f/execroot/_main";
const EXTERNAL: &str =
    "cache/_bazel_a/1f/execroot/_main/external/rules_rust++crate+crates__inlined-0.0.0";
const SANDBOX: &str = "sandbox/linux-sandbox/7/execroot/_main";

const LAYOUTS: [Layout; 5] = [
    Layout {
        name: "cargo",
        member: "base",
        member_start: "base",
        dependency: REGISTRY,
        dependency_start: REGISTRY,
        is_absolute: true,
        remapped: &[],
    },
    // As cargo's `trim-paths` tells the compiler.
    Layout {
        name: "trimmed",
        member: "head/depot",
        member_start: "head",
        dependency: REGISTRY,
        dependency_start: REGISTRY,
        is_absolute: true,
        remapped: &[("cargo/registry/src", ""), ("head", ".")],
    },
    Layout {
        name: "bazel",
        member: "cache/_bazel_a/1f/execroot/_main/services/depot",
        member_start: EXECROOT,
        dependency: EXTERNAL,
        dependency_start: EXECROOT,
        is_absolute: false,
        remapped: &[(EXECROOT, ".")],
    },
    Layout {
        name: "bazel-empty",
        member: "cache/_bazel_a/1f/execroot/_main/depot",
        member_start: EXECROOT,
        dependency: EXTERNAL,
        dependency_start: EXECROOT,
        is_absolute: false,
        remapped: &[(EXECROOT, "")],
    },
    Layout {
        name: "bazel-sandbox",
        member: "sandbox/linux-sandbox/7/execroot/_main/depot",
        member_start: SANDBOX,
        dependency: "sandbox/linux-sandbox/7/execroot/_main/external/crate_index__inlined-0.0.0",
        dependency_start: SANDBOX,
        is_absolute: false,
        remapped: &[],
    },
];

/// The tracer's library as cargo has built it.
struct Tracer(PathBuf);

impl Tracer {
    fn build() -> Self {
        let _held = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
        let arguments = [&["build"], &PROGRAM[..], &["--features", "saved"]].concat();
        let place = Place::alone("layouts/tracer");
        let messages = cargo(&place.directory, &arguments, &[]).expect("it is built");
        let path = messages
            .split('"')
            .find(|text| text.contains("/libtracemalloc-") && text.ends_with(".rlib"));
        Self(path.expect("a library").into())
    }
}

/// A place that is laid out so.
struct LaidOut<'t> {
    layout: Layout,
    root: PathBuf,
    tracer: &'t Tracer,
    debug: &'static str,
}

impl LaidOut<'_> {
    /// Compiles a crate to the file `to`. `root`: its root file in the package at `package`.
    fn compile(&self, crate_name: &str, [package, start]: [&str; 2], root: &str, to: &str) {
        let start = self.root.join(start);
        let mut root_file = self.root.join(package).join(root);
        if !(self.layout.is_absolute && crate_name == "inlined") {
            let relative = root_file.strip_prefix(&start).expect("it is below");
            root_file = relative.to_owned();
        }
        let kind = if to.ends_with(".rlib") { "rlib" } else { "bin" };
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command
            .current_dir(&start)
            .arg(root_file)
            .args(["--crate-name", crate_name, "--crate-type", kind])
            .args(["--edition", "2024", "--cfg", "feature=\"saved\""])
            .args(["-C", "opt-level=3", "-C", self.debug])
            .args(["-C", &format!("metadata={to}")])
            .arg("-o")
            .arg(self.root.join(to))
            .arg("-L")
            .arg(format!(
                "dependency={}",
                self.tracer.0.parent().expect("a folder").display()
            ))
            .arg("-L")
            .arg(format!("dependency={}", self.root.display()))
            .args([
                "--extern",
                &format!("tracemalloc={}", self.tracer.0.display()),
            ]);
        for (name, file) in [("inlined", "libinlined.rlib"), ("depot", "libdepot.rlib")] {
            let file = self.root.join(file);
            if file.exists() && crate_name != name || to == "program" {
                command.args(["--extern", &format!("{name}={}", file.display())]);
            }
        }
        for (from, written) in self.layout.remapped {
            let from = self.root.join(from);
            command.arg(format!("--remap-path-prefix={}={written}", from.display()));
        }
        let output = command.output().expect("the compiler runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}\n{errors}");
    }

    /// Builds the program, runs it and gives the snapshot that it has saved.
    #[track_caller]
    fn saved(&self) -> PathBuf {
        let layout = &self.layout;
        let dependency = [layout.dependency, layout.dependency_start];
        let member = [layout.member, layout.member_start];
        {
            let _held = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
            self.compile("inlined", dependency, "src/lib.rs", "libinlined.rlib");
            self.compile("depot", member, "src/lib.rs", "libdepot.rlib");
            self.compile("depot", member, "src/main.rs", "program");
        }
        let file = self.root.join("depot.tmsnap.json.gz");
        let mut command = runner::command(&self.root.join("program"));
        command.env("DEPOT_OUT", &file);
        let files = [&SOURCES[..], &["src/main.rs"]].concat();
        let expected = expected_of(&files, |file| file.replace("inlined/", "inlined-0.0.0/"));
        assert_eq!(output(command), expected, "{}, {}", layout.name, self.debug);
        file
    }
}

#[test]
#[ignore = "builds many programs"]
fn names_are_alike_in_the_layouts_of_build_systems() {
    let tracer = Tracer::build();
    let mut base: [Option<PathBuf>; 2] = [None, None];
    for layout in LAYOUTS {
        let root = Place::new(&format!("layouts/{}", layout.name)).directory;
        copy_folder(&source().join("src"), &root.join(layout.member).join("src"));
        copy_folder(&source().join("inlined"), &root.join(layout.dependency));
        let mut place = LaidOut {
            layout,
            root,
            tracer: &tracer,
            debug: LIMITED,
        };
        for (debug, base) in [LIMITED, LINES].into_iter().zip(&mut base) {
            place.debug = debug;
            let new = place.saved();
            let kept = place.root.join(format!("{debug}.tmsnap.json.gz"));
            fs::rename(&new, &kept).expect("it is moved");
            match base {
                Some(old) => unchanged(old, &kept),
                None => *base = Some(kept),
            }
        }
    }
}
