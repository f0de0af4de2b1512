//! Memory of the program's own that is tracked as long as a value lives.

use super::{track, untrack};
use crate::error::{Error, ErrorKind};
use crate::snapshot::Domain;

/// Memory of one of the program's own domains, [tracked](crate::track) until this is dropped.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
/// use tracemalloc::{Domain, Tracked};
///
/// const GPU: Domain = Domain(1);
///
/// struct Texture {
///     address: usize,
///     _tracked: Tracked,
/// }
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(10)?;
/// let texture = Texture { address: 0xd000, _tracked: Tracked::new(GPU, 0xd000, 4096)? };
/// assert!(tracemalloc::traceback_of(GPU, texture.address).is_some());
/// drop(texture);
/// assert!(tracemalloc::traceback_of(GPU, 0xd000).is_none());
/// # Ok(())
/// # }
/// ```
#[must_use = "the memory is untracked when this is dropped"]
#[derive(Debug)]
pub struct Tracked {
    domain: Domain,
    address: usize,
    recorded: bool,
}

impl Tracked {
    /// Tracks `size` bytes at `address`, with the stack of the caller. Has no effect while tracing
    /// is off: memory that exists when tracing starts is not recorded later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedDomain`] for [`Domain::HEAP`], which is the global allocator's;
    /// [`ErrorKind::Busy`] in a signal handler that interrupted the tracer.
    #[inline(never)]
    pub fn new(domain: Domain, address: usize, size: usize) -> Result<Self, Error> {
        let recorded = match track(domain, address, size) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotTracing => false,
            Err(error) => return Err(error),
        };
        Ok(Self {
            domain,
            address,
            recorded,
        })
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if self.recorded {
            // Without tracing there is no record. In a signal handler that interrupted the tracer
            // the record stays until the session ends.
            let _ = untrack(self.domain, self.address);
        }
    }
}
