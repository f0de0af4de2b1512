//! Behaviour of the installed tracer. Every case runs in a process of its own, since there is one
//! global allocator and some cases crash or hang when they fail: a child that does not end in time
//! has failed.
//!
//! `TRACEMALLOC_CASE=NAME` in the environment makes this program that child.

#[cfg(feature = "file")]
mod above;
mod busy;
#[path = "../runner/child.rs"]
mod child;
mod control;
mod domains;
#[cfg(all(unix, feature = "file"))]
#[expect(unsafe_code, reason = "signals and forks")]
mod ending;
mod environment;
#[cfg(feature = "file")]
mod folder;
mod history;
#[expect(unsafe_code, reason = "an allocator, and errno")]
mod hostile;
#[cfg(all(target_os = "linux", feature = "file"))]
#[expect(unsafe_code, reason = "limits of the process")]
mod names;
#[cfg(feature = "file")]
mod panics;
mod program;
mod recording;
#[path = "../runner/mod.rs"]
mod runner;
mod sampling;
mod scopes;
#[cfg(feature = "file")]
mod series;
#[cfg(all(unix, feature = "signal"))]
#[expect(unsafe_code, reason = "signals and forks")]
mod signals;
#[expect(unsafe_code, reason = "forks, signals, and tables given back")]
mod tags;
#[expect(unsafe_code, reason = "fork and exit functions")]
mod teardown;
mod threads;
#[expect(
    unsafe_code,
    unreachable_pub,
    reason = "an allocator's oracle, which programs share"
)]
mod totals;
mod types;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc<hostile::Hostile> = TraceAlloc::new(hostile::Hostile);

/// Whether the tracer's memory is what it uses. Elsewhere the system does not report which pages are in
/// use, and it is what tables could use, many times as much.
const PAGES_ARE_KNOWN: bool = cfg!(any(target_os = "linux", windows));

const CASE: &str = "TRACEMALLOC_CASE";
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// How often a case repeats its work: `full` times in an optimised build, or where the variable asks for it.
/// A quarter of it in a debug build, where each takes ten times as long.
fn repetitions(full: usize) -> usize {
    let all = cfg!(not(debug_assertions)) || env::var_os("TRACEMALLOC_ALL_REPETITIONS").is_some();
    if all { full } else { full / 4 }
}

/// A case: what the child runs, and how.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    run: fn(),
    /// Variables that the child is started with.
    variables: &'static [(&'static str, &'static str)],
}

/// The cases named, each a function of the module that lists them.
macro_rules! cases {
    ($($(#[$($condition:tt)*])* $name:ident $(with $variables:expr)?),* $(,)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[$(
            $(#[$($condition)*])*
            $crate::Case {
                name: concat!(module_path!(), "::", stringify!($name)),
                run: $name,
                variables: cases!(@variables $($variables)?),
            }
        ),*];
    };
    (@variables) => { &[] };
    (@variables $variables:expr) => { $variables };
}
pub(crate) use cases;

fn all() -> impl Iterator<Item = Case> {
    [
        #[cfg(feature = "file")]
        above::CASES,
        control::CASES,
        domains::CASES,
        #[cfg(all(unix, feature = "file"))]
        ending::CASES,
        environment::CASES,
        history::CASES,
        hostile::CASES,
        #[cfg(all(target_os = "linux", feature = "file"))]
        names::CASES,
        #[cfg(feature = "file")]
        panics::CASES,
        program::CASES,
        recording::CASES,
        sampling::CASES,
        scopes::budgets::CASES,
        scopes::carried::CASES,
        scopes::counts::CASES,
        scopes::misuse::CASES,
        scopes::owned::CASES,
        #[cfg(feature = "file")]
        series::CASES,
        #[cfg(all(unix, feature = "signal"))]
        signals::CASES,
        tags::CASES,
        teardown::CASES,
        threads::CASES,
        totals::CASES,
        types::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

fn main() -> ExitCode {
    match env::var(CASE) {
        Ok(name) => {
            let case = all()
                .find(|case| case.name == name)
                .expect("a case of this name");
            (case.run)();
            ExitCode::SUCCESS
        }
        Err(_) => {
            let trials = all()
                .map(|case| {
                    let name = case.name.trim_start_matches("live::");
                    Trial::test(name, move || run_child(case))
                })
                .collect();
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

fn run_child(case: Case) -> Result<(), Failed> {
    let mut command = runner::command(&env::current_exe()?);
    command
        .env(CASE, case.name)
        .env("RUST_BACKTRACE", "0")
        .envs(case.variables.iter().copied());
    let ended = child::run(command, TIME_LIMIT)?;
    if cfg!(tracemalloc_check) {
        // The counts of a build that compares stacks; `.ci/exactness` adds them up.
        for line in ended
            .text
            .lines()
            .filter(|line| line.starts_with("tracemalloc check:"))
        {
            eprintln!("{line}");
        }
    }
    Ok(ended.verdict(TIME_LIMIT)?)
}
