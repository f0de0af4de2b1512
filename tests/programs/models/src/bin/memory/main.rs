//! The protocols between a few words, under all executions that the memory model of C11 allows for
//! them, as far as loom knows it.
//!
//! Takes the name of a model.
#![allow(dead_code, reason = "the engine's sources are used in part")]
#![allow(unused_imports, reason = "as above")]
#![allow(
    unfulfilled_lint_expectations,
    reason = "those of the crate's own lints"
)]

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

mod atomic;
mod models;
#[path = "../../once_ref.rs"]
mod once_ref;
mod owner;
#[path = "../../pages.rs"]
mod pages;

use std::env;

fn main() {
    let name = env::args().nth(1).unwrap_or_default();
    let chosen: Vec<_> = models::ALL
        .iter()
        .filter(|(model, _)| name.is_empty() || *model == name)
        .collect();
    assert!(!chosen.is_empty(), "no model is called {name}");
    for (name, model) in chosen {
        let executions = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = std::sync::Arc::clone(&executions);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
        println!("memory {name}: {executions} executions");
    }
}
