//! Limits for a test.

use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::panic::Location;

use super::future::InScope;
use super::guard::{Scope, ScopeHandle, open_or_panic};
use super::sites::Sites;
use super::usage::{Narrow, Usage, counted};
use crate::error::Error;
use crate::snapshot::Size;

/// Limits of what a section may allocate, for tests.
///
/// A budget counts the events of its own threads only ([`Scope`]): tests of one binary that run side by side
/// do not see each other. A limit that was not set does not exist. A failure names the lines that
/// allocated most.
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
/// Budget::new().no_leak().check(|| drop(text.clone()));
/// let error = Budget::new().max_net(5).measure(|| text.clone()).unwrap_err();
/// assert!(error.to_string().contains("net          12 B, at most 5 B"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "a budget does nothing until it checks"]
pub struct Budget {
    allocations: Option<u64>,
    bytes: Option<u64>,
    peak: Option<u64>,
    net: Option<u64>,
    leaked: Option<u64>,
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

    /// No block that the section allocated may be live when it has ended, whichever thread had to free it. The
    /// result of the section is live then, so it must not hold memory. Frees of older blocks do not make up
    /// for a leak. In a session that samples, leaks are unknown, so the budget fails.
    pub fn no_leak(mut self) -> Self {
        self.leaked = Some(0);
        self
    }

    /// Runs `task` and returns its result.
    ///
    /// # Panics
    /// If a limit is exceeded: the message has all limits that are exceeded, the figures, and the lines that
    /// allocated most. Also if the thread cannot count, if blocks cannot be recorded ([`Scope::recording`]),
    /// or if a limit needs the blocks and tracing was started, stopped or cleared during the task. So a budget
    /// never passes because nothing was counted.
    #[track_caller]
    pub fn check<T>(&self, task: impl FnOnce() -> T) -> T {
        match self.measure(task) {
            Ok((result, _)) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs `future` and returns its result: [`check`](Self::check) for a task that may change its thread.
    ///
    /// The scope begins with the first poll. If the future is dropped half way, nothing is judged.
    ///
    /// # Panics
    /// When it is polled, as `check`.
    #[track_caller]
    pub fn check_async<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let (budget, caller) = (*self, Location::caller());
        async move {
            let scope = open_or_panic(Scope::recording(), caller).detach();
            let result = future.in_scope(&scope.0).await;
            if let Err(error) = budget.judge(&scope.0) {
                panic!("{error}\nat {caller}");
            }
            result
        }
    }

    /// Runs `task` and says what it used, without a panic for a limit.
    ///
    /// # Errors
    /// The limits that were exceeded, or why that is not known. The result of `task` is dropped then.
    ///
    /// # Panics
    /// If the thread cannot count, as [`check`](Self::check).
    #[track_caller]
    pub fn measure<T>(&self, task: impl FnOnce() -> T) -> Result<(T, Usage), BudgetError> {
        let scope = open_or_panic(Scope::recording(), Location::caller());
        let result = black_box(task());
        // What judging allocates is not the section's.
        let scope = scope.detach();
        Ok((result, self.judge(&scope.0)?))
    }

    fn judge(&self, scope: &ScopeHandle) -> Result<Usage, BudgetError> {
        let usage = scope.known_usage();
        let unknown = |error| BudgetError {
            usage: usage.unwrap_or_default(),
            reason: Reason::Unknown(error),
        };
        let usage = usage.map_err(|busy| unknown(busy.into()))?;
        let leaked = match self.leaked {
            Some(_) => leaked(scope).map_err(unknown)?,
            None => 0,
        };
        let excesses = self.excesses(usage, leaked);
        if excesses.is_empty() {
            return Ok(usage);
        }
        let sites = Sites::of(scope, excesses.iter().any(|excess| excess.is_about_live()));
        Err(BudgetError {
            usage,
            reason: Reason::Exceeded { excesses, sites },
        })
    }

    fn excesses(&self, usage: Usage, leaked: u64) -> Vec<Excess> {
        let calls = usage.allocations.saturating_add(usage.reallocations);
        let net = usage.net_bytes().max(0) as u64;
        let figures = [
            (Measure::Allocations, calls, self.allocations),
            (Measure::Bytes, usage.allocated, self.bytes),
            (Measure::Peak, usage.peak, self.peak),
            (Measure::Net, net, self.net),
            (Measure::Leaked, leaked, self.leaked),
        ];
        let excesses = figures.into_iter().filter_map(|(measure, figure, limit)| {
            let limit = limit.filter(|&limit| figure > limit)?;
            Some(Excess {
                measure,
                figure,
                limit,
            })
        });
        excesses.collect()
    }
}

/// Blocks of the scope that are live.
fn leaked(scope: &ScopeHandle) -> Result<u64, Error> {
    scope.owned(|recording, guard| {
        let live = recording.live(guard)?;
        Ok(live.values().map(|live| live.blocks).sum())
    })
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Allocations,
    Bytes,
    Peak,
    Net,
    Leaked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Excess {
    measure: Measure,
    figure: u64,
    limit: u64,
}

impl Excess {
    /// True if the blocks that are live tell where it comes from, rather than all allocations.
    fn is_about_live(&self) -> bool {
        matches!(self.measure, Measure::Net | Measure::Leaked)
    }
}

/// Why a [`Budget`] does not hold. `Display` writes a line for each limit that is exceeded, the whole usage, and
/// the lines of code that allocated most.
#[derive(Debug)]
pub struct BudgetError {
    usage: Usage,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Exceeded {
        excesses: Vec<Excess>,
        sites: Result<Sites, Error>,
    },
    /// The section's blocks are not known.
    Unknown(Error),
}

impl BudgetError {
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
            Measure::Leaked => write!(
                out,
                "leaked       {}, at most {}",
                counted(self.figure, "block"),
                self.limit
            ),
        }
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Exceeded { excesses, sites } => {
                writeln!(out, "the memory budget is exceeded")?;
                for excess in excesses {
                    writeln!(out, "  {excess}")?;
                }
                writeln!(out, "used: {}", Narrow(self.usage))?;
                match sites {
                    Ok(sites) => write!(out, "{sites}"),
                    Err(error) => write!(out, "where is not known: {error}"),
                }
            }
            Reason::Unknown(error) => {
                writeln!(out, "the memory budget cannot be judged: {error}")?;
                write!(out, "used: {}", Narrow(self.usage))
            }
        }
    }
}

impl std::error::Error for BudgetError {}
