//! Which lines, files and callers hold the memory, and how many frames does that answer need?
//!
//!     cargo run --release --example first_steps

use std::collections::HashMap;

use tracemalloc::{Counting, Error, GroupBy, Size, TraceAlloc, TracedMemory};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// Called for users and for orders: the line that allocates does not say for whom.
fn table(rows: usize, columns: usize) -> Vec<Vec<usize>> {
    let mut table = Vec::with_capacity(rows);
    for row in 0..rows {
        table.push(vec![row; columns]);
    }
    table
}

fn users() -> Vec<Vec<usize>> {
    table(100, 10_000)
}

fn orders() -> Vec<Vec<usize>> {
    table(1_000, 500)
}

fn index() -> HashMap<String, usize> {
    (0..100_000).map(|id| (id.to_string(), id)).collect()
}

fn main() -> Result<(), Error> {
    tracemalloc::start(25)?;
    tracemalloc::start(3)?; // Tracing is on: without effect, the first limit stays.
    assert_eq!(tracemalloc::get_traceback_limit(), Some(25));
    let data = (users(), orders(), index());
    let snapshot = tracemalloc::take_snapshot()?;
    let TracedMemory { current, peak, .. } = tracemalloc::get_traced_memory();
    println!("Now {}, at most {}", Size(current), Size(peak));

    println!("\nBy line: which calls?");
    let lines = snapshot.statistics(GroupBy::Line);
    for line in lines.iter().take(3) {
        println!("  {line}");
    }
    println!("\nBy file:");
    for file in snapshot.statistics(GroupBy::File).iter().take(3) {
        println!("  {file}");
    }
    println!("\nBy function of this program, callers included: for whom?");
    let own_code = snapshot.own_code(); // Without frames of the standard library and of dependencies.
    let functions = own_code.statistics_with(GroupBy::Function, Counting::Inclusive)?;
    for function in functions.iter().take(5) {
        println!("  {function}");
    }
    println!("\nThe largest stack, oldest call first:");
    let stacks = snapshot.statistics(GroupBy::Traceback);
    for line in stacks[0].traceback.format(None, false) {
        println!("  {line}");
    }
    tracemalloc::stop();

    println!("\nDistinct stacks:");
    let (mut stacks_of, mut earlier) = (Vec::new(), data);
    for frames in [1, 3, 25] {
        tracemalloc::start(frames)?;
        drop(earlier); // Counts start at 0: the blocks of an earlier session do not count.
        let data = (users(), orders(), index());
        assert_eq!(tracemalloc::get_traced_memory().current, current);
        let stacks = tracemalloc::take_snapshot()?.stack_count();
        let own = Size(tracemalloc::get_tracemalloc_memory());
        println!("  {frames:2} frames: {stacks}; tracer's own memory: {own}");
        tracemalloc::stop();
        earlier = data;
        stacks_of.push(stacks);
    }

    // The rows are the largest line, to the byte; the tables' owner is known from three frames on.
    assert_eq!(lines[0].size, (100 * 10_000 + 1_000 * 500) * 8);
    assert_eq!(lines[0].count, 1_100);
    assert!(stacks_of[0] < stacks_of[1] && stacks_of[1] == stacks_of[2]);
    Ok(())
}
