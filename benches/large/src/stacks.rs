//! Blocks of a program that does not exist: a graph of functions that call each other, and walks
//! through it that share their beginnings, as the stacks of real programs do.

use std::sync::Arc;

use tracemalloc::{Domain, Frame, Module, Snapshot, Trace, Traceback};

const FUNCTIONS: usize = 4_000;
const FILES: usize = 400;
const CRATES: usize = 40;

/// Places in each function that call another one or allocate.
const CALLS: usize = 3;

/// Frames of a stack, at least, and how many more there may be.
const DEPTH: usize = 25;
const DEEPER: usize = 16;

/// A snapshot of `stacks` distinct stacks, every third with blocks of a second size.
pub fn snapshot(stacks: usize) -> Snapshot {
    let mut random = Random(1);
    let program = Program::new(&mut random);
    let mut seen: Vec<Arc<[usize]>> = Vec::with_capacity(stacks);
    let mut traces = Vec::new();
    for number in 0..stacks {
        let places = program.stack(&seen, &mut random);
        let frames = places.iter().map(|&place| program.frames[place].clone());
        let stack = Traceback::from_oldest_first(frames).expect("a stack has frames");
        let mut block = |size| traces.push(Trace::new(Domain::HEAP, size, stack.clone()));
        block(size(&mut random));
        if number % 3 == 0 {
            block(size(&mut random));
        }
        seen.push(places);
    }
    Snapshot::from_traces(traces, (DEPTH + DEEPER) as u16)
}

/// 16 bytes to 64 KiB, small ones far more often.
fn size(random: &mut Random) -> u64 {
    let magnitude = random.below(13).min(random.below(13)) as u32;
    let max = 16_u64 << magnitude;
    (max - random.below(max as usize / 2) as u64) & !7
}

/// Frames by their number, `CALLS` for each function, and the function that each calls.
struct Program {
    frames: Vec<Frame>,
    called: Vec<usize>,
}

impl Program {
    fn new(random: &mut Random) -> Self {
        let module = Arc::new(Module::new(
            "/usr/local/bin/service",
            Some("5eed".repeat(10)),
        ));
        let mut program = Self {
            frames: Vec::new(),
            called: Vec::new(),
        };
        for place in 0..FUNCTIONS * CALLS {
            program.frames.push(frame(place, &module));
            program.called.push(random.below(FUNCTIONS));
        }
        program
    }

    /// The places of one more stack. It leaves an earlier one a few calls before that one's end.
    fn stack(&self, seen: &[Arc<[usize]>], random: &mut Random) -> Arc<[usize]> {
        let depth = DEPTH + random.below(DEEPER);
        let mut places = Vec::with_capacity(depth);
        if !seen.is_empty() {
            let earlier = &seen[random.below(seen.len())];
            let left = 1 + random.below(4) + random.below(4);
            places.extend_from_slice(&earlier[..earlier.len().min(depth) - left]);
        }
        while places.len() < depth {
            let function = places.last().map_or(0, |&place| self.called[place]);
            places.push(function * CALLS + random.below(CALLS));
        }
        places.into()
    }
}

fn frame(place: usize, module: &Arc<Module>) -> Frame {
    let (function, call) = (place / CALLS, place % CALLS);
    let file = function % FILES;
    let krate = file % CRATES;
    let source = format!(
        "library_{krate}-1.{krate}.0/src/part_{}/file_{file}.rs",
        file % 7
    );
    let name = format!(
        "<library_{krate}::part_{}::file_{file}::Type{} as library_{krate}::Service>::call_{function}",
        file % 7,
        function % 11
    );
    Frame::new(
        source.as_str(),
        (function / FILES * 40 + call * 7 + 12) as u32,
    )
    .with_column(9 + call as u32 * 4)
    .with_function(name)
    .with_crate(format!("library_{krate}"))
    .with_path(format!(
        "/home/user/.cargo/registry/src/index.crates.io/{source}"
    ))
    .with_code(Arc::clone(module), 0x11_0000 + place as u64 * 93)
}

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>: the same stacks on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        (word % end as u64) as usize
    }
}
