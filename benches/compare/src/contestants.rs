//! Who takes part, and how each is run.

use crate::arguments::Arguments;

/// A program that runs a workload under some allocator, and how it is started.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    /// As it is chosen on the command line and as it heads a column.
    pub name: &'static str,
    /// What it does, for the notes.
    pub about: &'static str,
    pub program: Program,
    /// The contestant that its times are divided by.
    pub baseline: &'static str,
    pub environment: &'static [(&'static str, &'static str)],
    /// Whether it lets the program wait for another process, so that only the wall clock includes all of the time.
    pub waits: bool,
    /// Whether it is another tool.
    pub is_peer: bool,
}

/// Where a program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// This workspace: the package, and the program in it.
    Here(&'static str, &'static str),
    /// The workspace in the folder `heapscope`, built by another compiler and with frame pointers.
    Framed(&'static str),
    /// The untraced program, started by `heaptrack`.
    UnderHeaptrack,
}

/// What the others are compared with.
pub const UNTRACED: &str = "untraced";

/// Counts allocations and takes part in no comparison.
pub const COUNT: &str = "count";

const PLAIN: Contestant = Contestant {
    name: UNTRACED,
    about: "the operating system's allocator alone",
    program: Program::Here("contestants", UNTRACED),
    baseline: UNTRACED,
    environment: &[],
    waits: false,
    is_peer: false,
};

const PEER: Contestant = Contestant {
    is_peer: true,
    ..PLAIN
};

const ALL: [Contestant; 12] = [
    Contestant {
        name: COUNT,
        about: "counts allocations",
        program: Program::Here("contestants", COUNT),
        ..PLAIN
    },
    PLAIN,
    Contestant {
        name: "off",
        about: "tracemalloc installed, not started",
        program: Program::Here("contestants", "off"),
        ..PLAIN
    },
    Contestant {
        name: "traced",
        about: "tracemalloc, every allocation, 32 frames",
        program: Program::Here("contestants", "traced"),
        ..PLAIN
    },
    Contestant {
        name: "history",
        about: "tracemalloc, every allocation, 32 frames, with the history of each stack: totals, peak, \
                lifetimes",
        program: Program::Here("contestants", "history"),
        ..PLAIN
    },
    Contestant {
        name: "sampled",
        about: "tracemalloc, a record per 512 KiB allocated, 32 frames",
        program: Program::Here("contestants", "sampled"),
        ..PLAIN
    },
    Contestant {
        name: "dhat",
        about: "dhat 0.3.3, every allocation, 32 frames; no file written",
        program: Program::Here("peer-dhat", "peer-dhat"),
        ..PEER
    },
    Contestant {
        name: "heaptrack",
        about: "heaptrack --raw around the untraced program, every allocation, 64 frames; writes \
                through a pipe to a compressor, which may use the other core",
        program: Program::UnderHeaptrack,
        waits: true,
        ..PEER
    },
    Contestant {
        name: "framed",
        about: "untraced, by a nightly compiler with -C force-frame-pointers=yes",
        program: Program::Framed("framed"),
        ..PEER
    },
    Contestant {
        name: "heapscope",
        about: "heapscope 0.3.0, every allocation, 32 frames, built like `framed`",
        program: Program::Framed("heapscope"),
        baseline: "framed",
        ..PEER
    },
    Contestant {
        name: "jemalloc",
        about: "tikv-jemallocator 0.7.0 with its profiler built in, not active",
        program: Program::Here("peer-jemalloc", "peer-jemalloc"),
        ..PEER
    },
    Contestant {
        name: "jemalloc-prof",
        about: "jemalloc with prof:true, which samples every 512 KiB",
        program: Program::Here("peer-jemalloc", "peer-jemalloc"),
        baseline: "jemalloc",
        environment: &[("_RJEM_MALLOC_CONF", "prof:true")],
        ..PEER
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
        [COUNT, UNTRACED].contains(&contestant.name)
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
