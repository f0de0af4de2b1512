//! What scopes and tags cost on this machine: `cargo bench --bench scopes`.
//!
//! What a program has once had costs for good, so each row is measured in a process of its own. The processes take
//! turns, and a figure is the median of their fastest batches.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use tracemalloc::{Scope, Tag, TraceAlloc, measure};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Blocks of a batch, and batches of a process.
const BLOCKS: u32 = 1000;
const BATCHES: u32 = 300;
/// Processes of each row.
const TURNS: usize = 9;

/// Nanoseconds.
type Figures = [f64; 2];

/// In which state a program allocates and frees.
struct Row {
    name: &'static str,
    /// What an allocation takes, and a free.
    run: fn() -> Figures,
    /// The row that this one is compared with.
    beside: Option<usize>,
}

const ROWS: &[Row] = &[
    Row {
        name: "off, before the first scope",
        run: events,
        beside: None,
    },
    Row {
        name: "off, after a scope",
        run: || {
            measure(|| ());
            events()
        },
        beside: Some(0),
    },
    Row {
        name: "counted: in a Scope::open",
        run: || {
            let _scope = Scope::open().expect("installed");
            events()
        },
        beside: Some(0),
    },
    Row {
        name: "with sites: in a Scope::recording",
        run: || {
            let _scope = Scope::recording().expect("memory");
            events()
        },
        beside: Some(0),
    },
    Row {
        name: "another thread is in a Scope::recording",
        run: || {
            let (open, done) = (Barrier::new(2), Barrier::new(2));
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    let _scope = Scope::recording().expect("memory");
                    open.wait();
                    done.wait();
                });
                open.wait();
                let figures = events();
                done.wait();
                figures
            })
        },
        beside: Some(1),
    },
    Row {
        name: "traced, 25 frames",
        run: || {
            tracemalloc::start(25).expect("installed");
            events()
        },
        beside: Some(0),
    },
    Row {
        name: "traced, in a tag",
        run: || {
            tracemalloc::start(25).expect("installed");
            let _tag = tracemalloc::tag("bench");
            events()
        },
        beside: Some(5),
    },
];

/// What is called, and what a call takes, in nanoseconds.
type Call = (&'static str, fn() -> f64);

const CALLS: &[Call] = &[
    ("enter and leave a Tag", || {
        let tag = Tag::new("bench");
        fastest(|| drop(black_box(tag).enter()))
    }),
    ("enter and leave a Tag by its name", || {
        fastest(|| drop(tracemalloc::tag(black_box("bench"))))
    }),
    ("measure(|| ())", || fastest(|| measure(|| ()).0)),
    ("enter a scope by its handle, and leave", || {
        let handle = Scope::open().expect("installed").handle();
        fastest(|| handle.enter_in(|| ()))
    }),
    ("Scope::recording, and close it", || {
        fastest(|| {
            Scope::recording().expect("memory").close();
        })
    }),
];

#[inline(never)]
fn below(frames: usize, work: &mut dyn FnMut()) {
    match frames {
        0 => work(),
        _ => below(frames - 1, work),
    }
    black_box(());
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / f64::from(BLOCKS)
}

fn fastest(mut work: impl FnMut()) -> f64 {
    let batch = |_| {
        let start = Instant::now();
        (0..BLOCKS).for_each(|_| work());
        start.elapsed()
    };
    nanoseconds((0..BATCHES).map(batch).min().unwrap_or_default())
}

/// An allocation and a free, ten calls deep.
fn events() -> Figures {
    let mut best = [Duration::MAX; 2];
    let mut blocks: Vec<Box<[u8; 64]>> = Vec::with_capacity(BLOCKS as usize);
    below(10, &mut || {
        for _ in 0..BATCHES {
            let start = Instant::now();
            for _ in 0..BLOCKS {
                blocks.push(black_box(Box::new([0; 64])));
            }
            let allocated = start.elapsed();
            let start = Instant::now();
            blocks.clear();
            let freed = start.elapsed();
            best = [best[0].min(allocated), best[1].min(freed)];
        }
    });
    best.map(nanoseconds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The figures of a process that measures row `row`, and calls after the rows.
fn figures(row: usize) -> Figures {
    let program = env::current_exe().expect("this program");
    let output = Command::new(program).env(ROW, row.to_string()).output();
    let output = output.expect("a process").stdout;
    let text = String::from_utf8(output).expect("numbers");
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>());
    [(); 2].map(|()| numbers.next().expect("two of them").expect("a number"))
}

const ROW: &str = "TRACEMALLOC_BENCH_ROW";

fn main() {
    if let Ok(row) = env::var(ROW) {
        let row: usize = row.parse().expect("a number");
        let [one, two] = match ROWS.get(row) {
            Some(row) => (row.run)(),
            None => [(CALLS[row - ROWS.len()].1)(), 0.0],
        };
        println!("{one} {two}");
        return;
    }
    let mut all: Vec<Vec<Figures>> = vec![Vec::new(); ROWS.len() + CALLS.len()];
    for _ in 0..TURNS {
        for (row, figures_of_row) in all.iter_mut().enumerate() {
            figures_of_row.push(figures(row));
        }
    }
    let of =
        |row: usize| [0, 1].map(|at| median(all[row].iter().map(|figures| figures[at]).collect()));
    println!("{:40} allocation     more    free    more   (ns)", "");
    for (number, row) in ROWS.iter().enumerate() {
        let [allocation, free] = of(number);
        let [before, free_before] = row.beside.map_or([allocation, free], of);
        println!(
            "{:40} {allocation:10.1} {:+8.1} {free:7.1} {:+7.1}",
            row.name,
            allocation - before,
            free - free_before
        );
    }
    println!();
    for (number, (name, _)) in CALLS.iter().enumerate() {
        println!("{name:40} {:10.1}", of(ROWS.len() + number)[0]);
    }
}
