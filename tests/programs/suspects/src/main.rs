//! Runs crates that fill caches, keep pools and let maps swing, beside two leaks: a fast one, and one
//! that keeps one block of ten thousand. Takes a snapshot after each round. Ends with an error if a leak
//! is not among the first three suspects, or more than one other group is suspected.
//!
//!     suspects [ROUNDS [without-leaks]]
//!
//! Without the leaks it says what is suspected of crates alone, and fails if that is more than one.

mod leaks;
mod load;
mod random;

use std::error::Error;

use tracemalloc::{Config, GroupBy, TraceAlloc, Trend};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: u64 = arguments.next().map_or(Ok(24), |rounds| rounds.parse())?;
    let leaks = arguments.next().is_none();
    Config::new().frames(25).history(true).start()?;

    let mut load = load::all();
    let (mut fast, mut slow) = (leaks::Fast::new(), leaks::Slow::new());
    let mut trend = Trend::new(GroupBy::Line);
    for round in 0..rounds {
        for load in &mut load {
            load(round);
        }
        if leaks {
            fast.round();
            slow.round();
        }
        trend.push(&tracemalloc::take_snapshot()?)?;
    }
    let suspects = trend.suspects();
    tracemalloc::stop();

    for (rank, suspect) in (1..).zip(&suspects) {
        let frame = suspect.site.traceback.most_recent();
        println!("{rank}  {frame}  {}", frame.function().unwrap_or_default());
        println!("   {suspect}");
    }
    let is_planted = |rank: usize| {
        let place = suspects[rank].site.traceback.most_recent();
        place.filename() == "src/leaks.rs"
    };
    let planted: Vec<usize> = (0..suspects.len())
        .filter(|rank| is_planted(*rank))
        .collect();
    let others = suspects.len() - planted.len();
    let groups = trend.sites().len();
    println!(
        "{groups} groups over {rounds} rounds; {} planted, {others} others",
        planted.len()
    );
    let expected = if leaks { 2 } else { 0 };
    if planted.len() != expected || planted.iter().any(|rank| *rank >= 3) {
        return Err(format!("{expected} leaks should be among the first three suspects").into());
    }
    if others > 1 {
        return Err(format!("{others} groups are suspected that leak nothing").into());
    }
    Ok(())
}
