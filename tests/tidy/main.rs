//! The laws of this code base, each a function from text to violations. Every law is first shown
//! to find what it forbids, then put to the sources.

mod circles;
mod documented;
mod engine;
mod faults;
mod layers;
mod length;
mod manifest;
mod named;
mod repository;
mod source;
mod unsafety;
mod workplace;

/// Fails with all violations, one to a line.
#[track_caller]
fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
