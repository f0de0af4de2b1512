//! Behaviour of the installed tracer. Every case runs in a process of its own, since there is one
//! global allocator and some cases crash or hang when they fail: a child that does not end in time
//! has failed.
//!
//! `TRACEMALLOC_CASE=NAME` in the environment makes this program that child.

mod control;
mod domains;
mod environment;
#[expect(unsafe_code, reason = "an allocator, and errno")]
mod hostile;
mod program;
mod recording;
#[path = "../runner/mod.rs"]
mod runner;
mod sampling;
#[expect(unsafe_code, reason = "fork and exit functions")]
mod teardown;
mod threads;

use std::env;
use std::io::Read;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc<hostile::Hostile> = TraceAlloc::new(hostile::Hostile);

/// Whether the tracer's memory is what it uses. Elsewhere the system does not tell which pages are in
/// use, and it is what tables could use, many times as much.
const PAGES_ARE_KNOWN: bool = cfg!(any(target_os = "linux", windows));

const CASE: &str = "TRACEMALLOC_CASE";
const TIME_LIMIT: Duration = Duration::from_secs(300);

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
        control::CASES,
        domains::CASES,
        environment::CASES,
        hostile::CASES,
        program::CASES,
        recording::CASES,
        sampling::CASES,
        teardown::CASES,
        threads::CASES,
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
    let mut child = runner::command(&env::current_exe()?)
        .env(CASE, case.name)
        .env("RUST_BACKTRACE", "0")
        .envs(case.variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut outputs = [
        Box::new(child.stdout.take().expect("piped")) as Box<dyn Read + Send>,
        Box::new(child.stderr.take().expect("piped")),
    ]
    .map(|mut pipe| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    })
    .into_iter();
    let end = Instant::now() + TIME_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut output = || {
        outputs
            .next()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    let text = format!("{}{}", output(), output());
    if cfg!(tracemalloc_check) {
        // What a build that compares stacks has counted, for whoever adds it up.
        for line in text
            .lines()
            .filter(|line| line.starts_with("tracemalloc check:"))
        {
            eprintln!("{line}");
        }
    }
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{text}").into()),
        None => Err(format!("did not end within {TIME_LIMIT:?}\n{text}").into()),
    }
}
