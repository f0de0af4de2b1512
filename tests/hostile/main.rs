//! The tracer among everything that a process can do to it. Every case runs in a process of its
//! own, which fails if it does not end in time, and the allocator inside the tracer does what the
//! case has scripted.
//!
//! With `--include-ignored` most cases also run with a bug injected around the tracer, and must then
//! fail: a case that does not notice watches nothing. docs/RELIABILITY.md says which case stands for
//! what.
//!
//! `TRACEMALLOC_CASE=NAME` in the environment makes this program one case,
//! `TRACEMALLOC_FAULT=BUG` injects a bug. `TRACEMALLOC_FORKS`, `TRACEMALLOC_STACKS` and
//! `TRACEMALLOC_BLOCKS` set how much some cases do.

#![cfg_attr(
    all(target_os = "linux", target_arch = "x86_64", not(miri)),
    expect(unsafe_code, reason = "an allocator, signals and forks")
)]

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod accounting;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod allocator;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod audit;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod bogus_stacks;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
#[path = "../runner/child.rs"]
mod child;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod children;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod code;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod coroutines;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod faults;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod forks;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod growth;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod libraries;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod limits;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod pool;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod programs;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod registered;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod scopes;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod signals;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod stepping;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod suite;

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
use suite::{Case, cases, main};

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
#[global_allocator]
static ALLOC: faults::Faulty = faults::Faulty(tracemalloc::TraceAlloc::new(allocator::Scripted));

/// Signals, system calls and instructions are those of Linux on x86_64.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(miri))))]
fn main() {}
