//! Records blocks. Everything here may run inside an allocation of the traced program.
//!
//! Walk it as an allocation: `allocator` asks `tracker` (off? one load) and enters `guard`;
//! `unwind` reads the call stack; `stacks` gives it a number; `live` and `counters` note the block;
//! the pointer is returned.
//!
//! What that forbids: allocating through the program's allocator, panicking, printing, naming a
//! symbol, taking a lock, waiting for another thread. There is no lock in this folder: tables grow
//! by compare-and-swap, a block's record is written only by the thread that owns the block, and a
//! session that has ended is told apart by its number.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[expect(unsafe_code, reason = "implements GlobalAlloc")]
mod allocator;
#[expect(unsafe_code, reason = "maps memory and hands out references into it")]
mod arena;
#[expect(
    unsafe_code,
    reason = "lends out exclusive references to shared memory"
)]
mod buffers;
#[cfg(tracemalloc_check)]
#[expect(unsafe_code, reason = "prints by the C library's functions")]
mod check;
mod counters;
mod errno;
#[cfg(any(test, tracemalloc_failpoints))]
mod failpoints;
#[cfg(all(unix, not(miri)))]
#[expect(unsafe_code, reason = "registers functions with the C library")]
mod fork;
mod guard;
mod ledger;
mod live;
mod origin;
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "the instruction takes a pointer")
)]
mod prefetch;
mod sampler;
mod session;
mod stacks;
#[cfg(test)]
#[expect(unsafe_code, reason = "calls the allocator's methods directly")]
mod tests;
#[expect(
    unsafe_code,
    reason = "lets a thread alone into its own memory, and asks for threads"
)]
mod threads;
mod tracker;
mod unwind;

pub use allocator::TraceAlloc;
#[cfg(tracemalloc_failpoints)]
pub use failpoints::{mappings, refuse_mappings, refused};
pub(crate) use guard::{Guard, probe, this_thread};
#[cfg(test)]
pub(crate) use sampler::Sampler;
pub(crate) use session::{Epoch, NotStarted, Session, Settings};
pub(crate) use stacks::StackId;
pub(crate) use tracker::Tracker;
#[cfg(fuzzing)]
pub(crate) use unwind::fuzzing;
pub(crate) use unwind::{Mark, is_known_code};

/// The state of the one global allocator of a program.
pub(crate) static TRACKER: Tracker = Tracker::new();
