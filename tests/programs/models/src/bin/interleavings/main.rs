//! The engine as a whole, under a scheduler that switches threads at random before every atomic
//! step. Memory is sequentially consistent here; `memory` looks at what is weaker.
//!
//! Takes the name of a model and how many executions to try of each kind.
#![allow(dead_code, reason = "the engine's sources are used in part")]
#![allow(unused_imports, reason = "as above")]
#![allow(
    unfulfilled_lint_expectations,
    reason = "those of the crate's own lints"
)]

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

mod atomic;
mod heap;
mod models;
#[path = "../../once_ref.rs"]
mod once_ref;
mod owner;
#[path = "../../pages.rs"]
mod pages;
mod scopes;

use std::env;

fn main() {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let executions: usize = arguments
        .next()
        .map_or(2000, |count| count.parse().expect("a number of executions"));
    let chosen: Vec<_> = models::ALL
        .iter()
        .filter(|(model, _)| name.is_empty() || *model == name)
        .collect();
    assert!(!chosen.is_empty(), "no model is called {name}");
    for (name, model) in chosen {
        let run = move || {
            pages::free_all();
            owner::reset();
            model();
        };
        shuttle::check_random(run, executions);
        // Schedules with few switches, which uniform ones hardly ever are.
        for depth in 2..5 {
            shuttle::check_pct(run, executions / 2, depth);
        }
        println!(
            "interleavings {name}: {} executions",
            executions + 3 * (executions / 2)
        );
    }
}
