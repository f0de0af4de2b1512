//! The functions that a program calls: start, stop, ask, take.

mod growth;
mod memory;
mod tracked;
mod trend;
mod unload;

use std::hint::black_box;

use crate::collect::Collector;
use crate::config::Config;
use crate::engine::{self, Guard, Mark, NotStarted, Session, Settings, TRACKER};
use crate::error::{Error, ErrorKind};
use crate::external::{External, Region};
use crate::object::HeapBlock;
use crate::sections::{self, Busy};
use crate::snapshot::{Domain, Snapshot, Trace, Traceback};
use crate::symbols::{Symbols, program_file, was_started_by_loader};

pub use growth::Growth;
pub use memory::{TracedMemory, TracedMemoryDiff};
pub use tracked::Tracked;
pub use trend::Trend;
pub use unload::unload;

static EXTERNAL: External = External::new();
static SYMBOLS: Symbols = Symbols::new();

pub(crate) fn collector() -> Collector<'static> {
    Collector {
        tracker: &TRACKER,
        external: &EXTERNAL,
        symbols: &SYMBOLS,
    }
}

fn session() -> Result<Session, Error> {
    TRACKER.session().ok_or_else(|| {
        Error::new(
            ErrorKind::NotTracing,
            "tracing is off: call tracemalloc::start first",
        )
    })
}

impl Config {
    /// Starts tracing with these settings.
    ///
    /// Blocks allocated from now on are recorded. While tracing is on already, nothing changes: the
    /// first settings stay and so do the recorded blocks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFrameCount`] and [`ErrorKind::InvalidSamplingPeriod`], also while
    /// tracing; [`ErrorKind::NotInstalled`] if [`TraceAlloc`](crate::TraceAlloc) is not the
    /// program's global allocator, which a probe allocation shows; [`ErrorKind::OutOfMemory`] if
    /// the tables cannot be made.
    pub fn start(&self) -> Result<(), Error> {
        let settings = Settings {
            limit: self.valid_frames()?,
            runtime_frames: self.runtime_frames(),
            sample_every: self.valid_sample_every()?,
            history: self.has_history(),
            thread_names: self.records_thread_names(),
            names_later: self.names_later(),
            counts_mapped: !self.asks_resident_memory(),
            only_scopes: false,
        };
        sections::prepare();
        // Asked of the system once: before a sandbox forbids it, and before a relative path leads elsewhere.
        if settings.counts_mapped || was_started_by_loader() {
            program_file();
        }
        TRACKER
            .start_if_installed(settings, self.memory_limit_bytes(), is_installed)
            .map_err(|reason| match reason {
                NotStarted::NoMemory => Error::new(
                    ErrorKind::OutOfMemory,
                    "there is no memory for the tracer's tables",
                ),
                NotStarted::NotInstalled => Error::not_installed(),
            })
    }
}

/// Whether an allocation of this program arrives at this crate's tracer.
fn is_installed() -> bool {
    engine::probe(|| black_box(Box::new(0_u8)))
}

/// Starts tracing, keeping the `nframe` most recent frames per block, 1 to 65535.
///
/// Blocks allocated from now on are recorded, with their size and the call stack that allocated
/// them; frames are counted after those of the allocator and the standard library were trimmed.
/// While tracing is on already, nothing changes: the first limit stays. See [`Config`] for more
/// settings.
///
/// # Errors
/// Those of [`Config::start`].
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(25)?;
/// let kept = vec![1_u8; 1000];
/// assert_eq!(tracemalloc::get_traced_memory().current, 1000);
/// tracemalloc::stop();
/// # drop(kept);
/// # Ok(())
/// # }
/// ```
pub fn start(nframe: usize) -> Result<(), Error> {
    Config::new().frames(nframe).start()
}

/// Stops tracing and removes all records. Has no effect while tracing is off.
///
/// A block that is freed later is simply freed.
pub fn stop() {
    TRACKER.stop();
}

/// Whether tracing is on, in the whole program.
///
/// ```
/// assert!(!tracemalloc::is_tracing());
/// ```
pub fn is_tracing() -> bool {
    TRACKER.session().is_some()
}

/// Removes the records of all domains, and sets current and peak to 0. Tracing continues
/// with the same limit. Has no effect while tracing is off.
pub fn clear_traces() {
    TRACKER.clear();
}

/// Bytes live now and at most, in all domains; both 0 when tracing is off.
///
/// A block counts from before its allocation returns until its return begins. A block that is being
/// moved counts once.
///
/// Current is exact whenever no allocation is under way. The peak is exact as long as one thread
/// allocates. With several, each thread adds its part to a shared sum after every 64 KiB that it has
/// moved: the peak may then be off by up to 64 KiB for each thread, in either direction.
/// In a session that samples both are estimates
/// ([`Config::sample_every`](crate::Config::sample_every)).
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(1)?;
/// drop(vec![1_u8; 5000]);
/// let kept = vec![1_u8; 100];
/// let memory = tracemalloc::get_traced_memory();
/// assert_eq!((memory.current, memory.peak), (100, 5000));
/// tracemalloc::reset_peak();
/// assert_eq!(tracemalloc::get_traced_memory().peak, 100);
/// # drop(kept);
/// # Ok(())
/// # }
/// ```
pub fn get_traced_memory() -> TracedMemory {
    let (current, peak) = TRACKER
        .session()
        .map_or((0, 0), |session| TRACKER.traced_memory(session));
    TracedMemory { current, peak }
}

/// Sets the peak of [`get_traced_memory`] to the bytes live now. Has no effect while tracing is
/// off.
pub fn reset_peak() {
    if let Some(session) = TRACKER.session() {
        TRACKER.reset_peak(session);
    }
}

/// Bytes that the tracer itself holds: physical memory of its tables, and the names that snapshots
/// share.
///
/// The tables stay after [`stop`] and are used again by the next session. Memory is counted in
/// whole pages; where the system does not tell what is resident, or [is not
/// asked](Config::resident_memory), mapped bytes are. The names are estimated.
pub fn get_tracemalloc_memory() -> u64 {
    (TRACKER.own_memory() + SYMBOLS.memory()) as u64
}

/// Maximum number of frames kept per block in the current session; `None` while tracing is off.
pub fn get_traceback_limit() -> Option<u16> {
    TRACKER.session().map(Session::limit)
}

/// The traceback of the block behind `object`: where it was allocated, or last reallocated.
///
/// `None` when tracing is off or the block is not traced. See [`HeapBlock`] for what can be asked
/// about. A raw pointer is looked up and never read; it must point at the block's first byte.
/// [`block_of`] also returns the size.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(5)?;
/// let boxed = Box::new([0_u8; 100]);
/// let traceback = tracemalloc::get_object_traceback(&boxed).expect("the block is traced");
/// println!("allocated at {}", traceback.most_recent());
/// assert!(tracemalloc::get_object_traceback(&std::ptr::null::<u8>()).is_none());
/// # Ok(())
/// # }
/// ```
pub fn get_object_traceback<T: HeapBlock + ?Sized>(object: &T) -> Option<Traceback> {
    traceback_of(Domain::HEAP, object.block_address())
}

/// The block behind `object`: its size and its traceback, as in a snapshot.
///
/// `None` when tracing is off or the block is not traced. See [`HeapBlock`] for what can be asked
/// about. The size is the one that was requested from the allocator.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(5)?;
/// let buffer = Vec::<u8>::with_capacity(100);
/// let block = tracemalloc::block_of(&buffer).expect("the block is traced");
/// assert_eq!(block.size, 100);
/// println!("{} bytes from {}", block.size, block.traceback.most_recent());
/// # Ok(())
/// # }
/// ```
pub fn block_of<T: HeapBlock + ?Sized>(object: &T) -> Option<Trace> {
    block_at(Domain::HEAP, object.block_address())
}

/// The traceback of the block that starts at `address` in `domain`; `None` when tracing is off or
/// there is none. The address is looked up and never read.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// use tracemalloc::Domain;
///
/// tracemalloc::start(5)?;
/// tracemalloc::track(Domain(1), 0xd000, 4096)?;
/// assert!(tracemalloc::traceback_of(Domain(1), 0xd000).is_some());
/// assert!(tracemalloc::traceback_of(Domain(2), 0xd000).is_none());
/// # Ok(())
/// # }
/// ```
pub fn traceback_of(domain: Domain, address: usize) -> Option<Traceback> {
    Some(block_at(domain, address)?.traceback)
}

fn block_at(domain: Domain, address: usize) -> Option<Trace> {
    let session = TRACKER.session()?;
    let (size, stack) = if domain == Domain::HEAP {
        TRACKER.block_at(session, address)?
    } else {
        let region = EXTERNAL.get(session, (domain.0, address))?;
        (region.size, region.stack)
    };
    let guard = Guard::enter()?;
    let traceback = collector().traceback(session, &guard, stack).ok()?;
    Some(Trace::new(domain, size, traceback))
}

/// A copy of every live block, with its call stack named.
///
/// Other threads continue to run. A block that they allocate or free while the copy is made may or
/// may not be in it, and one that `realloc` moves may be in it at both places. Names are looked up
/// after the copy and shared by all snapshots, so that only the first one reads debug information. The
/// snapshot's own memory is not traced. The order of the blocks is not specified.
///
/// # Errors
/// [`ErrorKind::NotTracing`] when tracing is off; [`ErrorKind::Busy`] in a signal handler that
/// interrupted the tracer, and in a process that was forked from one while another thread took a
/// snapshot.
///
/// A process that forks while another thread is here waits until the names have been looked up, so
/// that its child can take snapshots too.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// use tracemalloc::GroupBy;
///
/// tracemalloc::start(25)?;
/// let kept = vec![1_u8; 1000];
/// let snapshot = tracemalloc::take_snapshot()?;
/// for line in snapshot.statistics(GroupBy::Line).iter().take(10) {
///     println!("{line}");
/// }
/// assert_eq!(snapshot.total_size(), 1000);
/// # drop(kept);
/// # Ok(())
/// # }
/// ```
pub fn take_snapshot() -> Result<Snapshot, Error> {
    let session = session()?;
    let guard = Guard::enter().ok_or(Busy)?;
    Ok(collector().snapshot(session, &guard)?)
}

/// Reads the names that a snapshot would show now, so that the next one has little left to read.
///
/// A snapshot reads each name once, and keeps it for the next ones. The first one opens the program's file
/// and reads its debug information, which takes most of its time and memory; a program calls this when it
/// has time for that, as after its start. Calls that allocate later are read by the next snapshot.
///
/// Names that could not be read are no error here: a snapshot asks for them again, and says what has none.
/// Has no effect in a session whose names are read [later](Config::names).
///
/// # Errors
/// [`ErrorKind::NotTracing`] when tracing is off; [`ErrorKind::Busy`] as for [`take_snapshot`].
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(25)?;
/// let routes = vec![1_u8; 1000];
/// tracemalloc::load_names()?;
/// // Quick: the names are there.
/// let snapshot = tracemalloc::take_snapshot()?;
/// # drop((routes, snapshot));
/// # Ok(())
/// # }
/// ```
pub fn load_names() -> Result<(), Error> {
    let session = session()?;
    let guard = Guard::enter().ok_or(Busy)?;
    Ok(collector().load_names(session, &guard)?)
}

/// Records `size` bytes at `address` in one of the program's own domains, with the stack of the
/// caller: memory that does not come from the global allocator, such as a mapped file or an arena.
///
/// An address that is tracked in the same domain already is replaced. The address is a key and
/// never read. [`Tracked`] untracks when it is dropped.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
/// use tracemalloc::{Domain, Filter};
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// const GPU: Domain = Domain(1);
/// tracemalloc::start(10)?;
/// tracemalloc::track(GPU, 0xd000, 4096)?;
/// let gpu = tracemalloc::take_snapshot()?.filter_traces([Filter::include_domain(GPU)]);
/// assert_eq!(gpu.total_size(), 4096);
/// tracemalloc::untrack(GPU, 0xd000)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::NotTracing`] when tracing is off; [`ErrorKind::ReservedDomain`] for
/// [`Domain::HEAP`], which is the global allocator's; [`ErrorKind::Busy`] in a signal handler that
/// interrupted the tracer.
#[inline(never)]
pub fn track(domain: Domain, address: usize, size: usize) -> Result<(), Error> {
    let session = own_domain(domain)?;
    let frame = 0_u8;
    let mark = Mark::above(black_box(&frame));
    let stack = {
        let mut guard = Guard::enter().ok_or(Busy)?;
        TRACKER.stack_here(session, &mut guard, mark)
    };
    let region = Region {
        size: size as u64,
        stack,
    };
    Ok(EXTERNAL.track(&TRACKER, session, (domain.0, address), region)?)
}

/// Removes the record that [`track`] made at `address`. Has no effect if nothing is tracked there.
///
/// # Errors
/// Those of [`track`].
pub fn untrack(domain: Domain, address: usize) -> Result<(), Error> {
    let session = own_domain(domain)?;
    Ok(EXTERNAL.untrack(&TRACKER, session, (domain.0, address))?)
}

fn own_domain(domain: Domain) -> Result<Session, Error> {
    if domain == Domain::HEAP {
        return Err(Error::new(
            ErrorKind::ReservedDomain,
            "domain 0 is the global allocator's own: use another number",
        ));
    }
    session()
}

impl From<Busy> for Error {
    fn from(_: Busy) -> Self {
        Self::new(
            ErrorKind::Busy,
            "the tracer was interrupted: not possible in this signal handler, or in a process that \
             was forked from one",
        )
    }
}
