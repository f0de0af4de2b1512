//! Work whose allocations are known: each function is a site that allocates in a way of its own.
//!
//! Nothing is allocated outside of the sites while [`run`] is on its way, so that every byte belongs to
//! one of them.

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;

/// What a site leaves behind.
type Kept = Box<dyn Any + Send>;

/// A function that allocates.
pub struct Site {
    /// The function's name without its modules.
    pub name: &'static str,
    /// The function, or what calls it.
    run: fn() -> Kept,
}

macro_rules! sites {
    ($($name:ident by $run:ident),* $(,)?) => {
        pub const SITES: &[Site] = &[$(Site { name: stringify!($name), run: $run }),*];
    };
}

sites![
    small by small,
    large by large,
    zeroed by zeroed,
    growth by growth,
    shrinking by shrinking,
    kept by kept,
    temporary by temporary,
    aligned by aligned,
    strings by strings,
    map by map,
    tree by tree,
    dynamic by dynamic,
    shared by shared,
    many_stacks by many_stacks,
    on_threads by two_threads,
    peak by peak,
];

/// The site at which the program's memory is at its highest. It is the last one.
const PEAK: usize = SITES.len() - 1;

thread_local! {
    /// The site that the thread is in. Made without an allocation.
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of the site that the running thread is in.
pub fn current() -> Option<usize> {
    CURRENT.try_with(Cell::get).unwrap_or(None)
}

fn in_site<T>(site: Option<usize>, work: impl FnOnce() -> T) -> T {
    let outer = CURRENT.replace(site);
    let result = work();
    CURRENT.set(outer);
    result
}

/// Runs all sites up to the peak, gives back half of what they left, and runs them again below the peak.
/// `finish` is called while blocks are live.
pub fn run(finish: impl FnOnce()) {
    let mut left: [Option<Kept>; SITES.len()] = [const { None }; SITES.len()];
    for (number, site) in SITES.iter().enumerate() {
        left[number] = Some(in_site(Some(number), site.run));
    }
    left[PEAK] = None;
    left.iter_mut().step_by(2).for_each(|kept| *kept = None);
    for (number, site) in SITES.iter().enumerate().take(PEAK) {
        // Nothing is live twice, so that this round stays below the peak.
        left[number] = None;
        left[number] = Some(in_site(Some(number), site.run));
    }
    left.iter_mut().step_by(3).for_each(|kept| *kept = None);
    finish();
    black_box(&left);
}

#[inline(never)]
fn small() -> Kept {
    let blocks: [Box<[u8; 24]>; 100] = std::array::from_fn(|n| black_box(Box::new([n as u8; 24])));
    Box::new(blocks)
}

#[inline(never)]
fn large() -> Kept {
    let blocks: [Vec<u8>; 3] = std::array::from_fn(|n| black_box(vec![1 + n as u8; 500_000 + n]));
    Box::new(blocks)
}

#[inline(never)]
fn zeroed() -> Kept {
    Box::new([black_box(vec![0_u32; 1000]), black_box(vec![0_u32; 70_000])])
}

#[inline(never)]
fn growth() -> Kept {
    let mut grown: Vec<u64> = Vec::new();
    for n in 0..5000 {
        black_box(&mut grown).push(n);
    }
    Box::new(grown)
}

#[inline(never)]
fn shrinking() -> Kept {
    let mut shrunk: Vec<u8> = Vec::with_capacity(50_000);
    shrunk.extend_from_slice(black_box(&[7; 1000]));
    black_box(&mut shrunk).shrink_to_fit();
    shrunk.truncate(10);
    black_box(&mut shrunk).shrink_to(100);
    Box::new(shrunk)
}

#[inline(never)]
fn kept() -> Kept {
    let mut blocks: Vec<Box<u64>> = Vec::with_capacity(50);
    blocks.extend((0..50).map(|n| black_box(Box::new(n))));
    Box::new(blocks)
}

#[inline(never)]
fn temporary() -> Kept {
    for n in 0..1000 {
        drop(black_box(Box::new([n as u8; 64])));
    }
    Box::new(())
}

#[inline(never)]
fn aligned() -> Kept {
    #[repr(align(256))]
    struct Aligned([u8; 256]);
    let blocks: [Box<Aligned>; 10] =
        std::array::from_fn(|n| black_box(Box::new(Aligned([n as u8; 256]))));
    black_box(
        blocks
            .iter()
            .map(|block| u64::from(block.0[0]))
            .sum::<u64>(),
    );
    Box::new(blocks)
}

#[inline(never)]
fn strings() -> Kept {
    let mut lines: Vec<String> = Vec::with_capacity(200);
    lines.extend((0..200).map(|n| black_box(format!("request {n} of {}", "a client"))));
    let mut text = String::new();
    lines
        .iter()
        .for_each(|line| black_box(&mut text).push_str(line));
    Box::new((lines, text))
}

#[inline(never)]
fn map() -> Kept {
    let mut map: HashMap<u32, u64> = HashMap::new();
    for n in 0..1000 {
        black_box(&mut map).insert(n, u64::from(n));
    }
    map.retain(|n, _| n % 3 == 0);
    black_box(&mut map).shrink_to_fit();
    Box::new(map)
}

#[inline(never)]
fn tree() -> Kept {
    let mut tree: BTreeMap<u32, u64> = BTreeMap::new();
    for n in 0..1000_u32 {
        black_box(&mut tree).insert(n.wrapping_mul(2_654_435_761), u64::from(n));
    }
    tree.retain(|_, n| *n % 2 == 0);
    Box::new(tree)
}

#[inline(never)]
fn dynamic() -> Kept {
    type Task = Box<dyn Fn() -> u64 + Send>;
    let tasks: [Task; 40] = std::array::from_fn(|n| -> Task {
        match n as u64 {
            n if n % 2 == 0 => Box::new(move || n),
            n => Box::new(move || n + black_box([n; 5])[3]),
        }
    });
    black_box(tasks.iter().map(|task| task()).sum::<u64>());
    Box::new(tasks)
}

#[inline(never)]
fn shared() -> Kept {
    let text: Arc<str> = Arc::from(black_box("known to many"));
    let numbers: Arc<[u64]> = Arc::from(black_box([1_u64; 100]).as_slice());
    Box::new((Arc::clone(&text), text, numbers))
}

/// One line, 30 stacks.
#[inline(never)]
fn many_stacks() -> Kept {
    #[inline(never)]
    fn below(depth: usize, blocks: &mut [Option<Box<[u8; 48]>>; 30]) {
        if let Some(block) = blocks.get_mut(depth) {
            *block = black_box(Some(Box::new([depth as u8; 48])));
            below(depth + 1, blocks);
            black_box(depth);
        }
    }
    let mut blocks = [const { None }; 30];
    below(0, &mut blocks);
    Box::new(blocks)
}

/// Two threads, one after the other; what the first has allocated is freed by the second.
fn two_threads() -> Kept {
    let site = current();
    let stage = |given| {
        // Starting a thread allocates in ways that are not this work's.
        outside(|| {
            let thread = thread::spawn(move || in_site(site, || on_threads(given)));
            thread.join().expect("the thread allocates")
        })
    };
    stage(Some(stage(None)))
}

fn outside<T>(work: impl FnOnce() -> T) -> T {
    in_site(None, work)
}

#[inline(never)]
fn on_threads(given: Option<Kept>) -> Kept {
    if given.is_none() {
        let blocks: [Box<[u8; 40]>; 60] =
            std::array::from_fn(|n| black_box(Box::new([n as u8; 40])));
        return Box::new(blocks);
    }
    drop(given);
    let blocks: [Box<[u8; 80]>; 30] = std::array::from_fn(|n| black_box(Box::new([n as u8; 80])));
    Box::new(blocks)
}

#[inline(never)]
fn peak() -> Kept {
    let half = black_box(vec![5_u8; 2_000_000]);
    let other: [Box<[u8; 3000]>; 100] =
        std::array::from_fn(|n| black_box(Box::new([n as u8; 3000])));
    drop(black_box((half, other)));
    Box::new(())
}
