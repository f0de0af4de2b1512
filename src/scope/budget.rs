//! Limits for a test.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;

use super::future::InScope;
use super::guard::{Scope, open_or_panic};
use super::usage::Usage;
use crate::snapshot::Size;

/// Limits of what a section may allocate, for tests.
///
/// A budget counts the events of its own threads only ([`Scope`](super::Scope)): tests of one binary that run
/// side by side do not see each other. A limit that was not set does not exist.
///
/// ```standalone_crate
/// use tracemalloc::Budget;
///
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let text = Budget::new()
///     .max_allocations(1)
///     .max_peak(1000)
///     .check(|| "a small text".to_owned());
/// let exceeded = Budget::new().max_net(5).measure(|| text.clone()).unwrap_err();
/// assert!(exceeded.to_string().contains("net          12 B, at most 5 B"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "a budget does nothing until it checks"]
pub struct Budget {
    allocations: Option<u64>,
    bytes: Option<u64>,
    peak: Option<u64>,
    net: Option<u64>,
}

impl Budget {
    /// Without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most `count` allocations and reallocations together.
    pub fn max_allocations(mut self, count: u64) -> Self {
        self.allocations = Some(count);
        self
    }

    /// At most `bytes` allocated in all, whatever was freed.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// At most `bytes` held at one time beyond what was held before. With several threads at one time the
    /// peak is an [upper bound](Usage::peak).
    pub fn max_peak(mut self, bytes: u64) -> Self {
        self.peak = Some(bytes);
        self
    }

    /// At most `bytes` more allocated than freed at the end, the result's memory included.
    pub fn max_net(mut self, bytes: u64) -> Self {
        self.net = Some(bytes);
        self
    }

    /// Runs `task` and returns its result.
    ///
    /// # Panics
    /// If a limit is exceeded, with all limits that are, and the figures. If the thread cannot count
    /// ([`Scope::open`](super::Scope::open)): a budget never passes with zeros that nobody counted.
    #[track_caller]
    pub fn check<T>(&self, task: impl FnOnce() -> T) -> T {
        let scope = open_or_panic(Location::caller());
        let result = task();
        self.enforce(scope);
        result
    }

    /// Runs `future` and returns its result: [`check`](Self::check) for a task that may change its thread.
    ///
    /// # Panics
    /// When it is polled, as `check`.
    #[track_caller]
    pub fn check_async<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let (budget, caller) = (*self, Location::caller());
        async move {
            let handle = open_or_panic(caller).handle();
            let result = future.in_scope(&handle).await;
            if let Err(exceeded) = budget.judge(handle.usage()) {
                panic!("{exceeded}\nat {caller}");
            }
            result
        }
    }

    /// Runs `task` and says what it used, without a panic.
    ///
    /// # Errors
    /// The limits that were exceeded. The result of `task` is dropped then.
    ///
    /// # Panics
    /// If the thread cannot count, as [`check`](Self::check).
    #[track_caller]
    pub fn measure<T>(&self, task: impl FnOnce() -> T) -> Result<(T, Usage), Exceeded> {
        let scope = open_or_panic(Location::caller());
        let result = task();
        let usage = scope.close();
        self.judge(usage)?;
        Ok((result, usage))
    }

    #[track_caller]
    fn enforce(&self, scope: Scope) {
        if let Err(exceeded) = self.judge(scope.close()) {
            panic!("{exceeded}");
        }
    }

    fn judge(&self, usage: Usage) -> Result<(), Exceeded> {
        let calls = usage.allocations.saturating_add(usage.reallocations);
        let net = usage.net_bytes().max(0) as u64;
        let figures = [
            (Measure::Allocations, calls, self.allocations),
            (Measure::Bytes, usage.allocated, self.bytes),
            (Measure::Peak, usage.peak, self.peak),
            (Measure::Net, net, self.net),
        ];
        let excesses = figures.into_iter().filter_map(|(measure, figure, limit)| {
            let limit = limit.filter(|&limit| figure > limit)?;
            Some(Excess {
                measure,
                figure,
                limit,
            })
        });
        let excesses: Vec<Excess> = excesses.collect();
        if excesses.is_empty() {
            Ok(())
        } else {
            Err(Exceeded { excesses, usage })
        }
    }
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Allocations,
    Bytes,
    Peak,
    Net,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Excess {
    measure: Measure,
    figure: u64,
    limit: u64,
}

/// The limits of a [`Budget`] that were exceeded. `Display` writes a line for each, and the whole usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    excesses: Vec<Excess>,
    usage: Usage,
}

impl Exceeded {
    /// What was used.
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figure, limit) = (Size(self.figure), Size(self.limit));
        match self.measure {
            Measure::Allocations => {
                write!(out, "allocations  {}, at most {}", self.figure, self.limit)
            }
            Measure::Bytes => write!(out, "bytes        {figure}, at most {limit}"),
            Measure::Peak => write!(out, "peak         {figure}, at most {limit}"),
            Measure::Net => write!(out, "net          {figure}, at most {limit}"),
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "the memory budget is exceeded")?;
        for excess in &self.excesses {
            writeln!(out, "  {excess}")?;
        }
        write!(out, "used: {}", self.usage)
    }
}

impl Error for Exceeded {}
