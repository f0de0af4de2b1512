//! The cases, as tests.

use std::env;
use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::faults::{self, Fault};
use crate::{
    accounting, bogus_stacks, child, children, code, coroutines, forks, growth, libraries, limits,
    programs, registered, scopes, signals,
};

const CASE: &str = "TRACEMALLOC_CASE";
/// Long enough for a machine that does much else; what hangs, hangs for ever.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// With numbers in bulk asked for.
const LONG_TIME_LIMIT: Duration = Duration::from_secs(4 * 3600);
const IN_BULK: [&str; 3] = [
    "TRACEMALLOC_FORKS",
    "TRACEMALLOC_STACKS",
    "TRACEMALLOC_BLOCKS",
];
/// With a bug injected a hang is what is expected of some, and is waited for every time.
const INJECTED_TIME_LIMIT: Duration = Duration::from_secs(20);

/// What a child process runs, and the bugs that make it fail.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    pub(crate) faults: &'static [Fault],
}

/// The cases named, each a function of the module that lists them.
macro_rules! cases {
    ($($(#[$($condition:tt)*])* $name:ident $(fails with $($fault:ident)|+)?),* $(,)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[$(
            $(#[$($condition)*])*
            $crate::Case {
                name: concat!(module_path!(), "::", stringify!($name)),
                run: $name,
                faults: &[$($($crate::faults::Fault::$fault),+)?],
            }
        ),*];
    };
}
pub(crate) use cases;

fn all() -> impl Iterator<Item = Case> {
    [
        accounting::CASES,
        bogus_stacks::CASES,
        bogus_stacks::information::CASES,
        children::CASES,
        code::CASES,
        coroutines::CASES,
        forks::CASES,
        growth::CASES,
        libraries::CASES,
        limits::CASES,
        programs::CASES,
        registered::CASES,
        scopes::CASES,
        signals::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

pub(crate) fn main() -> ExitCode {
    match env::var(CASE) {
        Ok(name) => {
            let case = all()
                .find(|case| case.name == name)
                .expect("a case of this name");
            if let Ok(name) = env::var(faults::VARIABLE) {
                Fault::inject(&name);
            }
            (case.run)();
            ExitCode::SUCCESS
        }
        Err(_) => {
            let mut trials = Vec::new();
            for case in all() {
                let name = case.name.trim_start_matches("hostile::");
                trials.push(Trial::test(name, move || passes(case)));
                for fault in case.faults {
                    let name = format!("{name}::notices::{fault:?}");
                    let trial = Trial::test(name, move || notices(case, *fault));
                    // Some of them hang, which takes long to tell: `--include-ignored` runs them too.
                    trials.push(trial.with_ignored_flag(true));
                }
            }
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

/// The number that a variable of the environment asks for, or the one that every run can afford.
pub(crate) fn number(variable: &str, usual: usize) -> usize {
    let asked = env::var(variable);
    asked.map_or(usual, |number| number.parse().expect("a number"))
}

fn command(case: Case) -> Result<Command, Failed> {
    let mut command = Command::new(env::current_exe()?);
    command
        .env(CASE, case.name)
        .env("RUST_BACKTRACE", "0")
        .env_remove(faults::VARIABLE);
    Ok(command)
}

fn passes(case: Case) -> Result<(), Failed> {
    let in_bulk = IN_BULK.iter().any(|name| env::var_os(name).is_some());
    let limit = if in_bulk { LONG_TIME_LIMIT } else { TIME_LIMIT };
    let ended = child::run(command(case)?, limit)?;
    Ok(ended.verdict(limit)?)
}

/// The case must fail, whatever way: by an assertion, a signal or a hang.
fn notices(case: Case, fault: Fault) -> Result<(), Failed> {
    let mut command = command(case)?;
    command.env(faults::VARIABLE, format!("{fault:?}"));
    let ended = child::run(command, INJECTED_TIME_LIMIT)?;
    match ended.verdict(INJECTED_TIME_LIMIT) {
        Ok(()) => Err(format!("passes with {fault:?} injected\n{}", ended.text).into()),
        Err(_) => Ok(()),
    }
}
