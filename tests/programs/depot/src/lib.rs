//! Allocates in functions of every kind. `// SIZE: NAME` marks a line that allocates SIZE bytes in
//! the function NAME.

mod shelf;

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tracemalloc::{Filter, GroupBy, Snapshot, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

pub type Kept = Vec<Box<dyn std::any::Any>>;

#[inline(never)]
fn outlined() -> Vec<u8> {
    black_box(vec![1; 1_001]) // 1001: depot::outlined
}

#[inline(never)]
fn closure() -> Vec<Vec<u8>> {
    let numbers = black_box(0_u8..1);
    numbers
        .map(|n| {
            vec![n; 1_002] // 1002: depot::closure::{closure}
        })
        .collect()
}

#[inline(never)]
fn nested() -> Vec<Vec<Vec<u8>>> {
    let numbers = black_box(0_u8..1);
    let inner = |n| black_box(n..n + 1);
    numbers
        .map(|n| {
            let inner = inner(n);
            inner
                .map(|n| {
                    vec![n; 1_003] // 1003: depot::nested::{closure}
                })
                .collect()
        })
        .collect()
}

/// A closure in a variable, which another function calls.
#[inline(never)]
fn handed_over() -> Vec<u8> {
    let make = |n: usize| {
        vec![1_u8; n + 1_000] // 1004: depot::handed_over::{closure}
    };
    call(make, 4)
}

#[inline(always)]
fn call(make: impl Fn(usize) -> Vec<u8>, n: usize) -> Vec<u8> {
    make(black_box(n))
}

async fn load_users() -> Vec<u8> {
    std::future::ready(()).await;
    let names = black_box(0_u8..1).map(|n| vec![n; 8]);
    black_box(names.count());
    vec![1; 1_005] // 1005: depot::load_users::{closure}
}

/// Keeps a text while it waits, so that there is code to drop it unfinished.
async fn load_orders(size: usize) -> Vec<u8> {
    let kept = black_box(String::from("orders"));
    Later(false).await;
    let orders = vec![1; size + 1_000]; // 1009: depot::load_orders::{closure}
    drop(black_box(kept));
    orders
}

async fn load_each(size: usize) -> Vec<u8> {
    let kept = black_box(String::from("each"));
    let make = |n: usize| {
        vec![1_u8; n + 1_000] // 1010: depot::load_each::{closure}
    };
    Later(false).await;
    let made = call(make, size);
    drop(black_box(kept));
    made
}

/// Ready when it is polled again.
struct Later(bool);

impl Future for Later {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

type Task = Pin<Box<dyn Future<Output = Vec<u8>>>>;

#[inline(never)]
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

macro_rules! of_macro {
    ($name:ident) => {
        #[inline(never)]
        fn $name() -> Vec<u8> {
            black_box(vec![1; 1_006]) // 1006: depot::made
        }
    };
}

of_macro!(made);

#[inline(never)]
fn by_macro() -> Vec<u8> {
    inlined::grown!(black_box(1_015)) // 1015: depot::by_macro
}

#[inline(never)]
fn generic<T: Clone>(value: T) -> Vec<T> {
    black_box(vec![value; 1_007]) // 1007: depot::generic
}

/// Allocates in each of the functions.
#[inline(never)]
pub fn fill() -> Kept {
    let mut kept: Kept = Vec::with_capacity(100);
    kept.push(Box::new(outlined()));
    kept.push(Box::new(closure()));
    kept.push(Box::new(nested()));
    kept.push(Box::new(handed_over()));
    kept.push(Box::new(run(load_users())));
    let task: Task = Box::pin(async { load_orders(9).await });
    kept.push(Box::new(run(task)));
    let task: Task = Box::pin(async { load_each(10).await });
    kept.push(Box::new(run(task)));
    kept.push(Box::new(made()));
    kept.push(Box::new(by_macro()));
    kept.push(Box::new(generic(1_u8)));
    kept.push(Box::new(inlined::filled(1_u8)));
    shelf::fill(&mut kept);
    kept
}

/// Prints what is known of each of the blocks: size, line, function, crate, whose code it is, and how many of its size are left
/// by filters for its file as `file!()` spells it. `file`: the target's own.
pub fn print(snapshot: &Snapshot, file: &str) {
    let files = [file, file!(), shelf::FILE, inlined::FILE].map(Filter::include);
    let of_file = snapshot.filter_traces(files);
    let count = |size| {
        let traces = of_file.traces().expect("single blocks");
        traces
            .into_iter()
            .filter(|trace| trace.size == size)
            .count()
    };
    let mut lines: Vec<String> = Vec::new();
    for size in 1_001..1_020 {
        let blocks = snapshot.traces().expect("single blocks");
        for block in blocks.into_iter().filter(|block| block.size == size) {
            let name = |group| {
                let one = Snapshot::from_traces([block.clone()], 25);
                one.statistics(group)[0].traceback.most_recent().to_string()
            };
            let names = [GroupBy::Line, GroupBy::Function, GroupBy::Crate].map(name);
            let origin = block.traceback.most_recent().origin();
            let origin = origin.map_or_else(String::new, |origin| format!("{origin:?}"));
            let names = names.join("\t");
            lines.push(format!("{size}\t{names}\t{origin}\t{}", count(size)));
        }
    }
    println!("{}", lines.join("\n"));
    #[cfg(feature = "saved")]
    if let Some(path) = std::env::var_os("DEPOT_OUT") {
        snapshot.dump(path).expect("it is saved");
    }
}

/// What the program does, for one that loads this as a library.
#[unsafe(no_mangle)]
extern "C" fn depot_print() {
    tracemalloc::start(25).expect("the allocator is installed");
    let kept = fill();
    let snapshot = tracemalloc::take_snapshot().expect("it traces");
    print(&snapshot, file!());
    drop(kept);
}
