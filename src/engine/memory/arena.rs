//! The tracer's own memory: zeroed pages straight from the operating system, counted, bounded,
//! never moved.
//!
//! Large tables are mapped each on their own. Small ones are carved from a shared chunk. A page
//! that nobody touches costs address space only, so tables may be generous.
//!
//! Memory is given back only by a thread that has lost the race to publish a table. A published table
//! stays for the life of the process: a thread that is still inside an allocation of an ended session
//! may touch it at any time. A library that is about to be unloaded is the exception
//! ([`Arena::unmap_all`]).

mod pages;
mod policy;

use std::mem::{align_of, size_of};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use once_cell::race::OnceRef;

use crate::engine::memory::budget::Budget;
use crate::engine::memory::errno::KeepErrno;
#[cfg(any(test, tracemalloc_failpoints))]
use crate::engine::memory::refusals::Refusals;
use policy::PagePolicy;

/// Types whose zeroed bytes are a valid, empty value, and that threads may share.
///
/// # Safety
/// The type must be valid when all its bytes are zero, must be `Sync`, and must need no drop.
pub(crate) unsafe trait Zeroed: Sync + 'static {
    /// True for tables of which only few pages are ever touched, and so few that they do not count
    /// for the limit: those that lead to other tables.
    const IS_DIRECTORY: bool = false;
}

// SAFETY: plain integers behind atomics.
unsafe impl Zeroed for std::sync::atomic::AtomicU64 {}
// SAFETY: as above.
unsafe impl Zeroed for std::sync::atomic::AtomicI64 {}
// SAFETY: as above.
unsafe impl Zeroed for std::sync::atomic::AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for std::sync::atomic::AtomicU8 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicUsize {}
// SAFETY: an array of valid values.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {
    const IS_DIRECTORY: bool = T::IS_DIRECTORY;
}
// SAFETY: `OnceRef` is one atomic pointer and null is its empty state;
// `once_ref_is_empty_when_zeroed` checks it.
unsafe impl<T: Zeroed> Zeroed for OnceRef<'static, T> {
    const IS_DIRECTORY: bool = true;
}

/// Declares that a struct whose named fields are all [`Zeroed`] is so itself; behind
/// `#[directory]`, that it is one.
macro_rules! zeroed_struct {
    ($(#[$kind_of:ident])? $type:ident $(<$(const $parameter:ident: $kind:ty),*>)? { $($field:ident),* $(,)? }) => {
        const _: () = {
            // Fails to compile if a field is missing here or is not `Zeroed`.
            #[expect(dead_code, reason = "there to be type-checked")]
            fn fields_are_zeroed$(<$(const $parameter: $kind),*>)?(
                $type { $($field),* }: &$type$(<$($parameter),*>)?,
            ) {
                fn check<T: $crate::engine::memory::arena::Zeroed>(_: &T) {}
                $(check($field);)*
            }
            #[expect(unsafe_code, reason = "the marker is an unsafe trait")]
            // SAFETY: every field is `Zeroed`, which the function above makes the compiler check.
            unsafe impl$(<$(const $parameter: $kind),*>)? $crate::engine::memory::arena::Zeroed
                for $type$(<$($parameter),*>)?
            {
                $(const IS_DIRECTORY: bool = { stringify!($kind_of); true };)?
            }
        };
    };
}
pub(in crate::engine) use zeroed_struct;

/// Allocations of at least this many bytes are mapped on their own.
const OWN_MAPPING: usize = 64 << 10;
const CHUNK: usize = 256 << 10;
const PAGE: usize = 4096;
/// A chunk on a large page, aligned to its size.
const LARGE_CHUNK: usize = policy::LARGE as usize * PAGE;

/// What a chunk is for.
#[derive(Clone, Copy)]
enum Kind {
    Small,
    Large,
}

/// One published mapping, listed so that its resident pages can be counted.
struct Mapping {
    start: AtomicUsize,
    len: AtomicUsize,
    next: AtomicPtr<Mapping>,
}

// SAFETY: atomics only; null and 0 are empty.
unsafe impl Zeroed for Mapping {}

/// A chunk that tables are carved from.
struct Chunk {
    start: AtomicPtr<u8>,
    used: AtomicUsize,
}

// SAFETY: atomics only; null and 0 are empty.
unsafe impl Zeroed for Chunk {}

/// The tracer's memory. A value of its own in each tracker.
pub(crate) struct Arena {
    mapped: AtomicUsize,
    limit: AtomicUsize,
    chunk: AtomicPtr<Chunk>,
    large_chunk: AtomicPtr<Chunk>,
    mappings: AtomicPtr<Mapping>,
    policy: PagePolicy,
    budget: Budget,
    /// True once [`Arena::unmap_all`] has begun.
    unmapped: AtomicBool,
    #[cfg(any(test, tracemalloc_failpoints))]
    refusals: Refusals,
}

impl Chunk {
    /// `len` bytes of the `size` that the chunk has. `None` if it is full.
    fn claim(&self, size: usize, len: usize, align: usize) -> Option<NonNull<u8>> {
        let mut used = self.used.load(Ordering::Relaxed);
        let at = loop {
            let at = used.checked_next_multiple_of(align)?;
            let end = at.checked_add(len).filter(|end| *end <= size)?;
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => break at,
                Err(now) => used = now,
            }
        };
        let start = NonNull::new(self.start.load(Ordering::Relaxed))?;
        // SAFETY: the range lies inside the chunk's mapping, as has just been checked.
        Some(unsafe { start.add(at) })
    }
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            mapped: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
            chunk: AtomicPtr::new(ptr::null_mut()),
            large_chunk: AtomicPtr::new(ptr::null_mut()),
            mappings: AtomicPtr::new(ptr::null_mut()),
            policy: PagePolicy::new(),
            budget: Budget::new(),
            unmapped: AtomicBool::new(false),
            #[cfg(any(test, tracemalloc_failpoints))]
            refusals: Refusals::new(),
        }
    }

    #[cfg(any(test, tracemalloc_failpoints))]
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// What threads have reserved to touch of memory that is mapped for them.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Refuses to map more than `bytes` in all from now on. What is mapped already stays.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes mapped that count for the limit.
    pub(crate) fn counted(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    /// The table in `cell`, made now if this is its first use. `None` when there is no memory for
    /// it.
    ///
    /// No thread waits for another: two that meet here both make a table and the loser gives its
    /// own back.
    #[inline]
    pub(crate) fn first_use<T: Zeroed>(&self, cell: &OnceRef<'static, T>) -> Option<&'static T> {
        match cell.get() {
            Some(table) => Some(table),
            None => self.make(cell),
        }
    }

    #[cold]
    fn make<T: Zeroed>(&self, cell: &OnceRef<'static, T>) -> Option<&'static T> {
        let table = self.zeroed::<T>()?;
        let own = size_of::<T>() >= OWN_MAPPING;
        match cell.set(table) {
            Ok(()) if own => self.enlist(ptr::from_ref(table).addr(), size_of::<T>()),
            // SAFETY: `set` failed, so this is the only reference to a mapping of exactly this
            // size.
            Err(()) if own => unsafe {
                self.unmap(
                    NonNull::from(table).cast(),
                    size_of::<T>(),
                    !T::IS_DIRECTORY,
                )
            },
            // A carved table that lost stays unused in its chunk: such races are rare and small.
            _ => {}
        }
        cell.get()
    }

    /// The table in `cell`, made now if this is its first use. For tables that will soon be written
    /// all over: their memory is populated now, on the pages that have proved cheaper.
    #[inline]
    pub(crate) fn first_use_dense<T: Zeroed>(
        &self,
        cell: &OnceRef<'static, T>,
    ) -> Option<&'static T> {
        match cell.get() {
            Some(table) => Some(table),
            None => self.make_dense(cell),
        }
    }

    #[cold]
    fn make_dense<T: Zeroed>(&self, cell: &OnceRef<'static, T>) -> Option<&'static T> {
        const { assert!(size_of::<T>() * 8 <= LARGE_CHUNK) };
        if let Some(start) = self.carve_large(size_of::<T>(), align_of::<T>()) {
            // SAFETY: as in `zeroed`.
            let table = unsafe { start.cast::<T>().as_ref() };
            // One that lost a race stays unused.
            let _ = cell.set(table);
            return cell.get();
        }
        let table = self.make(cell)?;
        let start = ptr::from_ref(table).addr().next_multiple_of(PAGE);
        let end = (ptr::from_ref(table).addr() + size_of::<T>()) / PAGE * PAGE;
        if let Some(nanoseconds) = populate(start, end.saturating_sub(start)) {
            self.policy
                .record_small(((end - start) / PAGE) as u32, nanoseconds);
        }
        Some(table)
    }

    /// Carves from a chunk on a large page. `None` if large pages are not worth it now.
    fn carve_large(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        // SAFETY: a published chunk is never unmapped.
        let current = unsafe { self.large_chunk.load(Ordering::Acquire).as_ref() };
        if let Some(start) = current.and_then(|chunk| chunk.claim(LARGE_CHUNK, len, align)) {
            return Some(start);
        }
        if self.policy.prefers_large() {
            self.carve(Kind::Large, len, align)
        } else {
            None
        }
    }

    /// A zeroed `T` that lives as long as the process. `None` when the limit is reached or the
    /// system refuses.
    fn zeroed<T: Zeroed>(&self) -> Option<&'static T> {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        let start = if size_of::<T>() >= OWN_MAPPING {
            self.map(Kind::Small, size_of::<T>(), !T::IS_DIRECTORY)?
        } else {
            self.carve(Kind::Small, size_of::<T>(), align_of::<T>())?
        };
        // SAFETY: the bytes are zero (fresh pages, each handed out once), aligned, never unmapped
        // once published, and `Zeroed` makes them a valid `T` that may be shared.
        Some(unsafe { start.cast::<T>().as_ref() })
    }

    /// Puts a published mapping on the list that [`Arena::resident`] walks. Without memory for the
    /// entry the mapping goes uncounted.
    fn enlist(&self, start: usize, len: usize) {
        let Some(entry) = self.zeroed::<Mapping>() else {
            return;
        };
        entry.start.store(start, Ordering::Relaxed);
        entry.len.store(len, Ordering::Relaxed);
        let mut head = self.mappings.load(Ordering::Relaxed);
        loop {
            entry.next.store(head, Ordering::Relaxed);
            let pushed = self.mappings.compare_exchange_weak(
                head,
                ptr::from_ref(entry).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match pushed {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    /// Calls `visit` with the address and the bytes of each listed mapping.
    fn each_mapping(&self, mut visit: impl FnMut(usize, usize)) {
        let mut next = self.mappings.load(Ordering::Acquire);
        // SAFETY: entries were filled before they were published. They are unmapped only by
        // `unmap_all`, which empties the list first.
        while let Some(entry) = unsafe { next.as_ref() } {
            visit(
                entry.start.load(Ordering::Relaxed),
                entry.len.load(Ordering::Relaxed),
            );
            next = entry.next.load(Ordering::Relaxed);
        }
    }

    /// Bytes of the tracer's tables that take physical memory, in whole pages; where the system
    /// does not tell, the bytes mapped.
    pub(crate) fn resident(&self) -> usize {
        let mut sum = 0;
        self.each_mapping(|start, len| sum += pages::resident(start, len));
        sum
    }

    /// Gives every listed mapping back to the system, and maps nothing from then on. Keeps them all
    /// if the system has no memory for the list of what to unmap.
    ///
    /// # Safety
    /// Nobody will touch a table of this arena again.
    pub(crate) unsafe fn unmap_all(&self) {
        let _errno = KeepErrno::new();
        self.unmapped.store(true, Ordering::Relaxed);
        let mut count = 0;
        self.each_mapping(|_, _| count += 1);
        // The list's entries lie in the mappings that go, so it is copied first.
        let size = (count * size_of::<(usize, usize)>()).max(1);
        let Some(pages) = pages::map(size) else {
            return;
        };
        let copy = pages.cast::<(usize, usize)>();
        let mut copied = 0;
        self.each_mapping(|start, len| {
            if copied < count {
                // SAFETY: the copy has room for `count` pairs.
                let pair = unsafe { copy.add(copied) };
                // SAFETY: it lies in a fresh mapping, and pages are aligned.
                unsafe { pair.write((start, len)) };
                copied += 1;
            }
        });
        self.mappings.store(ptr::null_mut(), Ordering::Relaxed);
        self.chunk.store(ptr::null_mut(), Ordering::Relaxed);
        self.large_chunk.store(ptr::null_mut(), Ordering::Relaxed);
        for index in 0..copied {
            // SAFETY: within the copy.
            let pair = unsafe { copy.add(index) };
            // SAFETY: written above.
            let (start, len) = unsafe { pair.read() };
            if let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(start)) {
                // SAFETY: a listed mapping, unmapped once; the caller's promise for the rest.
                unsafe { pages::unmap(start, len) };
            }
        }
        // SAFETY: a mapping made above, which only this function knows.
        unsafe { pages::unmap(pages, size) };
        self.mapped.store(0, Ordering::Relaxed);
    }

    /// True once the tables may be gone.
    pub(crate) fn is_unmapped(&self) -> bool {
        self.unmapped.load(Ordering::Relaxed)
    }

    /// Carves `len` zeroed bytes from the current chunk of a `kind`, starting a new one when it is
    /// full.
    fn carve(&self, kind: Kind, len: usize, align: usize) -> Option<NonNull<u8>> {
        let (place, size) = match kind {
            Kind::Small => (&self.chunk, CHUNK),
            Kind::Large => (&self.large_chunk, LARGE_CHUNK),
        };
        loop {
            let current = place.load(Ordering::Acquire);
            // SAFETY: a published chunk is never unmapped.
            if let Some(chunk) = unsafe { current.as_ref() }
                && let Some(start) = chunk.claim(size, len, align)
            {
                return Some(start);
            }
            self.start_chunk(kind, size, place, current)?;
        }
    }

    /// Puts a fresh chunk in the place of `full`, unless another thread was first.
    fn start_chunk(
        &self,
        kind: Kind,
        size: usize,
        place: &AtomicPtr<Chunk>,
        full: *mut Chunk,
    ) -> Option<()> {
        let fresh = self.map(kind, size, true)?;
        if let Kind::Large = kind
            && let Some(nanoseconds) = populate(fresh.addr().get(), size)
        {
            self.policy.record_large(nanoseconds);
        }
        let head = match kind {
            Kind::Small => Some(fresh.cast::<Chunk>()),
            // Elsewhere, so that all of a large page is there to be carved.
            Kind::Large => self.zeroed::<Chunk>().map(NonNull::from),
        };
        if let Some(head) = head {
            // SAFETY: zeroed bytes are a valid `Chunk`, and nobody else has these.
            let chunk = unsafe { head.as_ref() };
            let used = match kind {
                Kind::Small => size_of::<Chunk>(),
                Kind::Large => 0,
            };
            chunk.start.store(fresh.as_ptr(), Ordering::Relaxed);
            chunk.used.store(used, Ordering::Relaxed);
            let published =
                place.compare_exchange(full, head.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
            if published.is_ok() {
                self.enlist(fresh.as_ptr().addr(), size);
                return Some(());
            }
        }
        // SAFETY: the mapping was never published.
        unsafe { self.unmap(fresh, size, true) };
        head.map(drop)
    }

    /// Maps `len` zeroed bytes and counts them if they are to be.
    fn map(&self, kind: Kind, len: usize, counts: bool) -> Option<NonNull<u8>> {
        let _errno = KeepErrno::new();
        let counted = if counts { len } else { 0 };
        let before = self.mapped.fetch_add(counted, Ordering::Relaxed);
        let within = before
            .checked_add(counted)
            .is_some_and(|sum| sum <= self.limit.load(Ordering::Relaxed))
            && !self.is_unmapped();
        #[cfg(any(test, tracemalloc_failpoints))]
        let within = !self.refusals.refuses_next() && within;
        let start = match kind {
            _ if !within => None,
            Kind::Small => pages::map(len),
            Kind::Large => pages::map_large(len),
        };
        if start.is_none() {
            self.mapped.fetch_sub(counted, Ordering::Relaxed);
        }
        start
    }

    /// Gives the memory of `table` back as far as it has pages to itself; they read as zeros from
    /// then on. Threads may still be reading or writing there.
    pub(crate) fn empty<T: Zeroed>(&self, table: &'static T) {
        self.empty_pages_at(ptr::from_ref(table).addr(), size_of::<T>());
    }

    /// Gives back the memory of a `table` that nobody else uses, as [`empty`](Self::empty) does.
    pub(crate) fn empty_pages<T: Zeroed>(&self, table: &mut T) {
        self.empty_pages_at(ptr::from_mut(table).addr(), size_of::<T>());
    }

    fn empty_pages_at(&self, start: usize, len: usize) {
        let (start, end) = (start.next_multiple_of(PAGE), (start + len) / PAGE * PAGE);
        if start < end {
            let _errno = KeepErrno::new();
            pages::empty(start, end - start);
        }
    }

    /// # Safety
    /// `start` and `len` are those of a mapping made by `map` that nobody will touch again.
    unsafe fn unmap(&self, start: NonNull<u8>, len: usize, counted: bool) {
        let _errno = KeepErrno::new();
        // SAFETY: passed on from the caller.
        unsafe { pages::unmap(start, len) };
        if counted {
            self.mapped.fetch_sub(len, Ordering::Relaxed);
        }
    }
}

/// Has the system give memory to pages of a table now, rather than one by one when they are
/// written. The nanoseconds that it took; `None` if the system did not do it.
fn populate(start: usize, len: usize) -> Option<u64> {
    let _errno = KeepErrno::new();
    pages::populate(start, len)
}

#[cfg(test)]
mod tests;
