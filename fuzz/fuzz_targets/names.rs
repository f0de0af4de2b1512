//! Names of functions and files as debug information may hold them: four texts, with a line each.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(4, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (function, path, program, package) = (next(), next(), next(), next());
    let package = (!package.is_empty()).then_some(package);
    tracemalloc::fuzzing::names(path, program, function, package);
});
