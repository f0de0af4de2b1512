//! What the contestants run: work of real crates on generated or vendored input, the same in every
//! process, each piece with a checksum of what it produced.

pub mod contestant;
mod micro;
mod numbers;
mod threads;

mod boxes;
mod html;
mod idle;
mod json;
mod markdown;
mod regexes;
mod rust_source;
mod script;
mod strings;

/// How much input a workload gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few tenths of a second of work, untraced.
    Full,
    /// A few milliseconds: shows that everything runs, measures nothing.
    Small,
}

impl Size {
    /// One of two numbers.
    const fn of(self, full: usize, small: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Small => small,
        }
    }
}

/// A piece of work that is ready to run. Its input is there already; running it gives a checksum.
pub type Work = Box<dyn Fn() -> u64 + Send + Sync>;

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// As it is chosen on the command line.
    pub name: &'static str,
    /// What it does, for a table.
    pub about: &'static str,
    /// How many threads run it; each does the whole work.
    pub threads: usize,
    /// Makes the input.
    pub prepare: fn(Size) -> Work,
}

/// All of them, in the order of the tables.
pub const WORKLOADS: [Workload; 10] = [
    Workload {
        name: "json",
        about: "`serde_json`: parse a nested document into a tree, drop it",
        threads: 1,
        prepare: json::prepare,
    },
    Workload {
        name: "syn",
        about: "`syn`: parse the sources of four crates, drop the trees",
        threads: 1,
        prepare: rust_source::prepare,
    },
    Workload {
        name: "regex",
        about: "`regex`: compile expressions, match once, drop them",
        threads: 1,
        prepare: regexes::prepare,
    },
    Workload {
        name: "html",
        about: "`ammonia` (html5ever): parse pages, clean the trees, write them",
        threads: 1,
        prepare: html::prepare,
    },
    Workload {
        name: "markdown",
        about: "`comrak`: parse texts and write them as HTML",
        threads: 1,
        prepare: markdown::prepare,
    },
    Workload {
        name: "script",
        about: "`rhai`: compile and run a script of arrays, maps and strings",
        threads: 1,
        prepare: script::prepare,
    },
    Workload {
        name: "strings",
        about: "`HashMap<String, String>`: insert, replace, remove",
        threads: 1,
        prepare: strings::prepare,
    },
    Workload {
        name: "boxes",
        about: "two million boxes held while some are replaced",
        threads: 1,
        prepare: boxes::prepare,
    },
    Workload {
        name: "syn-2",
        about: "`syn` on two threads, each doing the whole work",
        threads: 2,
        prepare: threads::prepare,
    },
    Workload {
        name: "large-idle",
        about: "300,000 blocks of 70 kB one after the other, beside 500 threads that wait",
        threads: 1,
        prepare: idle::prepare,
    },
];

/// The workload of that name.
pub fn by_name(name: &str) -> Option<Workload> {
    WORKLOADS.into_iter().find(|workload| workload.name == name)
}

#[cfg(test)]
mod tests {
    use super::{Size, WORKLOADS};
    use crate::micro::CASES;

    #[test]
    fn every_workload_gives_the_same_again() {
        for workload in WORKLOADS {
            let [first, second] = [0; 2].map(|_| (workload.prepare)(Size::Small)());
            assert_eq!(first, second, "{}", workload.name);
        }
    }

    #[test]
    fn every_case_runs() {
        for case in CASES {
            let mut piece = (case.prepare)(Size::Small);
            assert_eq!(piece.run(), 100, "{}", case.name);
        }
    }
}
