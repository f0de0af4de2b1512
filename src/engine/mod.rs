//! The engine records blocks. Everything here may run inside an allocation of the traced program.
//!
//! Its layers, each of which imports only from those below it:
//!
//! ```text
//! allocator     TraceAlloc: records each call and forwards it
//! tracker       what an event does, and in which order
//! fork          what the child of a fork takes back
//! history       sums of each stack beside its live blocks: at the peak, in all
//! scopes        what a thread has done since it is in a scope
//! capture       call context of an allocation: its stack and its thread's slot
//! thread        re-entrancy guard, sampler, thread slots, per-thread counters
//! stack_cache   a thread's last stacks: exact by construction
//! unwind        from registers to return addresses
//! blocks        live table: from an address to a block's record
//! stacks        calling-context tree: from return addresses to one number
//! session       the switch, and sums that belong to one session
//! memory        arena, pages, buffers, errno
//! ```
//!
//! What runs inside an allocation may not allocate through the program's allocator, panic, print, name
//! a symbol, take a lock, or wait for another thread. There is no lock in this folder: tables grow by
//! compare-and-swap, a block's record is written only by the thread that owns the block, and records
//! of an ended session are known by its number.

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
mod blocks;
mod capture;
#[cfg(tracemalloc_failpoints)]
mod failpoints;
#[cfg(all(unix, not(miri)))]
#[expect(unsafe_code, reason = "registers functions with the C library")]
mod fork;
#[expect(unsafe_code, reason = "asks the C library for the time")]
mod history;
mod memory;
pub(crate) mod scopes;
mod session;
#[cfg(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
))]
#[expect(unsafe_code, reason = "reads the stack again")]
mod stack_cache;
#[cfg(not(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little",
    not(miri)
)))]
#[expect(unsafe_code, reason = "promises that nothing is valid when zero")]
#[path = "stack_cache/none.rs"]
mod stack_cache;
mod stacks;
#[cfg(test)]
#[expect(unsafe_code, reason = "calls the allocator's methods directly")]
mod tests;
mod thread;
mod tracker;
mod unwind;

pub use allocator::TraceAlloc;
#[cfg(tracemalloc_failpoints)]
pub use failpoints::{mappings, refuse_mappings, refused};
pub(crate) use history::{Amount, StackHistory};
#[cfg(all(unix, feature = "file"))]
pub(crate) use memory::errno::KeepErrno;
pub(crate) use memory::this_thread::this_thread;
#[cfg(feature = "file")]
pub(crate) use session::Wake;
pub(crate) use session::{NotStarted, Session, SessionNumber, Settings};
pub(crate) use stacks::{Labels, MAX_NAME, NameId, StackId};
pub(crate) use thread::guard::{Guard, probe};
#[cfg(test)]
pub(crate) use thread::sampler::Sampler;
pub(crate) use thread::tag::{
    OpenTag, TagId, close as close_tag, open as open_tag, set_owner, tag as current_tag,
};
pub(crate) use tracker::{TRACKER, Tracker};
pub(crate) use unwind::Mark;
#[cfg(fuzzing)]
pub(crate) use unwind::fuzzing;
