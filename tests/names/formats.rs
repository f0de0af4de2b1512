//! One source with debug information in every format, from every linker, in the program's file and in others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::places::{LIMITED, LINES, Place};
use crate::{Built, PROGRAM, build, expected, run};

/// Linkers, by the option that chooses them: the compiler's own, then those of the system.
const LINKERS: [&str; 4] = [
    "link-arg=-Wl,--gc-sections",
    "link-arg=-fuse-ld=bfd",
    "link-arg=-fuse-ld=lld",
    "link-arg=-fuse-ld=mold",
];

/// Formats: options of the compiler, and the linkers that can write such a format; all of them if none is listed.
const FORMATS: [(&[&str], &[&str]); 11] = [
    (&["dwarf-version=4"], &[]),
    (&["dwarf-version=5"], &["bfd"]),
    (
        &["link-arg=-Wl,--compress-debug-sections=zlib"],
        &["bfd", "mold"],
    ),
    (
        &["link-arg=-Wl,--compress-debug-sections=zlib-gnu"],
        &["bfd"],
    ),
    (
        &["link-arg=-Wl,--compress-debug-sections=zstd"],
        &["bfd", "lld", "mold"],
    ),
    (&["split-debuginfo=packed", "dwarf-version=4"], &["bfd"]),
    (&["split-debuginfo=packed", "dwarf-version=5"], &["lld"]),
    (&["split-debuginfo=unpacked", "dwarf-version=4"], &["mold"]),
    (&["split-debuginfo=unpacked", "dwarf-version=5"], &["bfd"]),
    (&["link-arg=-Wl,--icf=all"], &["lld", "mold"]),
    (
        &["relocation-model=static", "link-arg=-Wl,--build-id=none"],
        &["bfd"],
    ),
];

/// The flags of the compiler for these settings.
fn flags<'f>(settings: &[&'f str]) -> Vec<&'f str> {
    settings
        .iter()
        .flat_map(|setting| ["-C", setting])
        .collect()
}

#[test]
#[ignore = "needs other linkers, builds many programs"]
fn names_are_alike_in_every_format() {
    let place = Place::alone("formats");
    for (format, linkers) in FORMATS {
        let is_wanted = |linker: &str| {
            let mut names = linkers.iter();
            linkers.is_empty() || names.any(|name| linker.ends_with(name))
        };
        for linker in LINKERS.into_iter().filter(|linker| is_wanted(linker)) {
            for debug in [LIMITED, LINES] {
                let flags = flags(&[&[debug, linker], format].concat());
                let program = build(&place.directory, &PROGRAM, &flags).expect("it is built");
                assert_eq!(run(&program.path), expected("src/main.rs"), "{flags:?}");
            }
        }
    }
}

/// Runs a tool that works on files of machine code.
#[track_caller]
fn tool(name: &str, arguments: &[&str], files: &[&Path]) {
    let mut command = Command::new(name);
    let status = command.args(arguments).args(files).status();
    assert!(status.expect("it is installed").success(), "{command:?}");
}

/// A program without debug information, which is in another file.
struct Stripped {
    program: PathBuf,
    debug: PathBuf,
}

impl Stripped {
    /// `how`: what `strip` takes away.
    fn of(built: &Built, how: &str) -> Self {
        let folder = built.folder.path();
        let [program, debug] = [how, &format!("{how}.debug")].map(|name| folder.join(&name[2..]));
        tool("objcopy", &["--only-keep-debug"], &[&built.path, &debug]);
        tool("strip", &[how, "-o"], &[&program, &built.path]);
        let link = format!("--add-gnu-debuglink={}", debug.display());
        tool("objcopy", &[&link], &[&program]);
        Self { program, debug }
    }

    /// Moves the file of debug information.
    fn moved(&mut self, to: PathBuf) {
        fs::create_dir_all(to.parent().expect("a folder")).expect("it is made");
        fs::rename(&self.debug, &to).expect("it is moved");
        self.debug = to;
    }
}

/// The program gives the name of its file of debug information, and there is a build id or a checksum to know it by.
#[test]
#[ignore = "builds many programs"]
fn names_are_alike_with_debug_information_in_a_file_beside_the_program() {
    let place = Place::alone("separate");
    for id in ["link-arg=-Wl,--build-id", "link-arg=-Wl,--build-id=none"] {
        for debug in [LIMITED, LINES] {
            let flags = flags(&[debug, id]);
            let built = build(&place.directory, &PROGRAM, &flags).expect("it is built");
            for how in ["--strip-all", "--strip-debug"] {
                let mut stripped = Stripped::of(&built, how);
                let expected = expected("src/main.rs");
                assert_eq!(run(&stripped.program), expected, "{flags:?}, {how}");
                let name = stripped.debug.file_name().expect("a name").to_owned();
                stripped.moved(built.folder.path().join(".debug").join(&name));
                assert_eq!(run(&stripped.program), expected, "{flags:?}, {how}");

                // All that is in it is right, but nothing says that it is of this build.
                tool(
                    "objcopy",
                    &["--remove-section", ".note.gnu.build-id"],
                    &[&stripped.debug],
                );
                let mut bytes = fs::read(&stripped.debug).expect("it is there");
                bytes.push(0);
                fs::write(&stripped.debug, bytes).expect("it is written");
                let other = run(&stripped.program);
                assert_eq!(other.len(), expected.len());
                let lines = other.iter().filter(|line| line.contains(".rs:"));
                assert_eq!(lines.count(), 0, "{flags:?}, {how}: {other:?}");
            }
        }
    }
}
