//! A library that has a tracer of its own and is loaded while the program runs, which is traced too.
//! Its thread-local memory is made by the loader when a thread first comes there: in an allocation,
//! in a signal handler, on threads older than the library.
//!
//! `tests/programs/library` holds both, and runs the audit itself.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod runner;

mod programs {
    pub(crate) mod run;
}

use std::path::Path;

use programs::run::{build, run};

#[track_caller]
fn check(profile: &str, arguments: &[&Path]) {
    let output = run(&build("library", profile), arguments);
    assert_eq!(output, "right\n", "{profile}");
}

#[test]
fn a_loaded_library_with_a_tracer_of_its_own_passes_the_audit() {
    check("dev", &[]);
}

#[test]
fn the_same_in_an_optimised_build() {
    check("lines", &[]);
}

#[test]
fn a_library_that_unloads_its_tracer_leaves_no_tables() {
    check("dev", &[Path::new("reload")]);
}
