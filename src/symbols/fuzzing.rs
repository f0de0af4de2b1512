//! Ways in for the fuzzer to what reads names from debug information.

use super::crate_names::crate_of;
use super::demangle::demangled;
use super::file::{Mapped, build_id};
use super::files::{FileReader, Wanted};
use super::functions::qualified;
use super::packages::{CompileUnit, Packages};
use super::paths;
use super::runtime::{Role, visible};
use super::stash::Stash;
use crate::snapshot::{Frame, Module};

/// Reads the names of places in a file of machine code.
pub fn code(bytes: &[u8]) {
    let name = format!("tracemalloc-fuzz-{}.so", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).expect("the folder for temporary files");
    let mapped = Mapped::open(&path);
    let id = mapped.ok().and_then(|mapped| build_id(&mapped.object()?));
    let module = Module::new(path.to_string_lossy(), id);
    let places: Vec<u64> = (0x1000..0x1400).step_by(16).collect();
    for is_program in [false, true] {
        let stash = Stash::new();
        let wanted = Wanted {
            module: &module,
            is_program,
            candidates: vec![path.clone().into()],
            folders: &[],
        };
        if let Ok(reader) = FileReader::open(&stash, &wanted, &places) {
            for place in &places {
                let _ = reader.symbols_at(*place);
            }
            let _ = reader.packages();
        }
    }
}

/// Reads the names of one function and of the file that it is in, and trims stacks that it is in.
pub fn names(path: &str, program: &str, function: &str, package: Option<&str>) {
    let unit = CompileUnit::of(path, package.unwrap_or_default());
    let packages = Packages::new(unit, None, true);
    let context = paths::Context {
        packages: &packages,
        unit_crate: package,
        program,
    };
    let file = paths::short(path, &context);
    assert!(path.get(file.unwritten..).is_some());
    demangled(function);
    if let Some(name) = crate_of(function, package) {
        assert!(function.contains(name), "{name} is not in {function}");
    }
    let named = qualified(function, Some(&file.name), package);
    assert!(!named.is_empty() || function.is_empty());
    let frames: Vec<Frame> = [
        Frame::new(file.name.as_str(), 1).with_function(function),
        Frame::named(function).with_function(named.into_owned()),
        Frame::new(path, 0).with_crate(program),
        Frame::named(path),
    ]
    .into();
    for first in 0..frames.len() {
        for last in first..=frames.len() {
            let stack = &frames[first..last];
            let roles: Vec<Role> = stack.iter().map(Role::of).collect();
            let shown = visible(&roles);
            assert!(shown.end <= stack.len());
            assert!(stack.is_empty() || !shown.is_empty(), "{stack:?}");
        }
    }
}
