//! Who takes part, and how each is run.

use crate::arguments::Arguments;

/// A program that runs a workload under some allocator, and how it is started.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    /// As it is chosen on the command line and as it heads a column.
    pub name: &'static str,
    /// What it does, for the notes.
    pub about: &'static str,
    /// The package that holds the program.
    pub package: &'static str,
    /// The program.
    pub program: &'static str,
    /// The contestant that its times are divided by.
    pub baseline: &'static str,
    /// Whether it lets the program wait for another process, so that only the wall clock tells all.
    pub waits: bool,
    /// Whether it is another tool.
    pub is_peer: bool,
}

/// The package of this crate's own contestants.
pub const OWN: &str = "contestants";

/// What the others are compared with.
pub const UNTRACED: &str = "untraced";

/// Counts allocations and takes part in no comparison.
pub const COUNT: &str = "count";

const ALL: [Contestant; 4] = [
    Contestant {
        name: COUNT,
        about: "counts allocations",
        package: OWN,
        program: "count",
        baseline: UNTRACED,
        waits: false,
        is_peer: false,
    },
    Contestant {
        name: UNTRACED,
        about: "the operating system's allocator alone",
        package: OWN,
        program: UNTRACED,
        baseline: UNTRACED,
        waits: false,
        is_peer: false,
    },
    Contestant {
        name: "off",
        about: "tracemalloc installed, not started",
        package: OWN,
        program: "off",
        baseline: UNTRACED,
        waits: false,
        is_peer: false,
    },
    Contestant {
        name: "traced",
        about: "tracemalloc, every allocation, 32 frames",
        package: OWN,
        program: "traced",
        baseline: UNTRACED,
        waits: false,
        is_peer: false,
    },
];

/// Those that the command line asks for, and why others are not among them.
pub fn chosen(arguments: &Arguments) -> (Vec<Contestant>, Vec<String>) {
    let mut left_out = Vec::new();
    let is_wanted = |contestant: &Contestant| match &arguments.contestants {
        Some(names) => names.iter().any(|name| name == contestant.name),
        None => arguments.with_peers || !contestant.is_peer,
    };
    let wanted: Vec<Contestant> = ALL.into_iter().filter(is_wanted).collect();
    let is_needed = |contestant: &Contestant| {
        let mut wanted = wanted.iter();
        contestant.name == COUNT
            || wanted.any(|wanted| [wanted.name, wanted.baseline].contains(&contestant.name))
    };
    for contestant in ALL.iter().filter(|contestant| !is_needed(contestant)) {
        left_out.push(format!("{}: not asked for", contestant.name));
    }
    (ALL.into_iter().filter(is_needed).collect(), left_out)
}

/// Those of these names.
pub fn named(names: &[&str]) -> Vec<Contestant> {
    let is_named = |contestant: &Contestant| names.contains(&contestant.name);
    ALL.into_iter().filter(is_named).collect()
}
