//! The tracer's own memory: zeroed pages straight from the operating system, counted, bounded,
//! never moved.
//!
//! Large tables are mapped each on their own; small ones are carved from a shared chunk. A page
//! that nobody touches costs address space only, so tables may be generous. Memory is given back
//! only by a thread that lost the race to publish a table: what was published stays for the life of
//! the process, because a thread that is still inside an allocation of an ended session may touch
//! it at any time.

use std::mem::{align_of, size_of};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use once_cell::race::OnceRef;

use super::errno::KeepErrno;

/// Types whose zeroed bytes are a valid, empty value, and that threads may share.
///
/// # Safety
/// The type must be valid when all its bytes are zero, must be `Sync`, and must need no drop.
pub(crate) unsafe trait Zeroed: Sync + 'static {}

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
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}
// SAFETY: `OnceRef` is one atomic pointer and null is its empty state;
// `once_ref_is_empty_when_zeroed` checks it.
unsafe impl<T: Zeroed> Zeroed for OnceRef<'static, T> {}

/// Declares that a struct whose named fields are all [`Zeroed`] is so itself.
macro_rules! zeroed_struct {
    ($type:ident $(<$(const $parameter:ident: $kind:ty),*>)? { $($field:ident),* $(,)? }) => {
        const _: () = {
            // Fails to compile if a field is missing here or is not `Zeroed`.
            #[expect(dead_code, reason = "there to be type-checked")]
            fn fields_are_zeroed$(<$(const $parameter: $kind),*>)?(
                $type { $($field),* }: &$type$(<$($parameter),*>)?,
            ) {
                fn check<T: $crate::engine::arena::Zeroed>(_: &T) {}
                $(check($field);)*
            }
            #[expect(unsafe_code, reason = "the marker is an unsafe trait")]
            // SAFETY: every field is `Zeroed`, which the function above makes the compiler check.
            unsafe impl$(<$(const $parameter: $kind),*>)? $crate::engine::arena::Zeroed
                for $type$(<$($parameter),*>)?
            {
            }
        };
    };
}
pub(super) use zeroed_struct;

/// Allocations of at least this many bytes are mapped on their own.
const OWN_MAPPING: usize = 64 << 10;
const CHUNK: usize = 256 << 10;

/// One published mapping, listed so that its resident pages can be counted.
struct Mapping {
    start: AtomicUsize,
    len: AtomicUsize,
    next: AtomicPtr<Mapping>,
}

// SAFETY: atomics only; null and 0 are empty.
unsafe impl Zeroed for Mapping {}

/// The head of a chunk that small tables are carved from.
struct Chunk {
    used: AtomicUsize,
}

/// The tracer's memory. A value of its own in each tracker.
pub(crate) struct Arena {
    mapped: AtomicUsize,
    limit: AtomicUsize,
    chunk: AtomicPtr<Chunk>,
    mappings: AtomicPtr<Mapping>,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            mapped: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
            chunk: AtomicPtr::new(ptr::null_mut()),
            mappings: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Refuses to map more than `bytes` in all from now on. What is mapped already stays.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
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
            Err(()) if own => unsafe { self.unmap(NonNull::from(table).cast(), size_of::<T>()) },
            // A carved table that lost stays unused in its chunk: such races are rare and small.
            _ => {}
        }
        cell.get()
    }

    /// A zeroed `T` that lives as long as the process. `None` when the limit is reached or the
    /// system refuses.
    fn zeroed<T: Zeroed>(&self) -> Option<&'static T> {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        let start = if size_of::<T>() >= OWN_MAPPING {
            self.map(size_of::<T>())?
        } else {
            self.carve(size_of::<T>(), align_of::<T>())?
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

    /// Bytes of the tracer's tables that take physical memory, in whole pages; where the system
    /// does not tell, the bytes mapped.
    pub(crate) fn resident(&self) -> usize {
        let mut sum = 0;
        let mut next = self.mappings.load(Ordering::Acquire);
        // SAFETY: entries are never unmapped and were filled before they were published.
        while let Some(entry) = unsafe { next.as_ref() } {
            sum += pages::resident(
                entry.start.load(Ordering::Relaxed),
                entry.len.load(Ordering::Relaxed),
            );
            next = entry.next.load(Ordering::Relaxed);
        }
        sum
    }

    /// Carves `len` zeroed bytes from the current chunk, starting a new one when it is full.
    fn carve(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        loop {
            let current = self.chunk.load(Ordering::Acquire);
            if let Some(chunk) = NonNull::new(current) {
                // SAFETY: a published chunk is never unmapped.
                let used = unsafe { &chunk.as_ref().used };
                // Room for the worst alignment is taken with the bytes, so one addition claims
                // both.
                let start = used.fetch_add(len + align, Ordering::Relaxed);
                let aligned = start.next_multiple_of(align.max(1));
                if aligned + len <= CHUNK {
                    // SAFETY: the range lies inside the chunk's mapping.
                    return Some(unsafe { chunk.cast::<u8>().add(aligned) });
                }
                // `used` never runs back, so a full chunk stays full; it cannot overflow before it
                // is replaced.
            }
            let fresh = self.map(CHUNK)?;
            let head = fresh.cast::<Chunk>();
            // SAFETY: zeroed bytes are a valid `Chunk` and nobody else has this mapping.
            unsafe { head.as_ref() }
                .used
                .store(size_of::<Chunk>(), Ordering::Relaxed);
            let published = self.chunk.compare_exchange(
                current,
                head.as_ptr(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match published {
                Ok(_) => self.enlist(fresh.as_ptr().addr(), CHUNK),
                // SAFETY: the chunk was never published.
                Err(_) => unsafe { self.unmap(fresh, CHUNK) },
            }
        }
    }

    /// Maps `len` zeroed bytes, counts and lists them.
    fn map(&self, len: usize) -> Option<NonNull<u8>> {
        let before = self.mapped.fetch_add(len, Ordering::Relaxed);
        let within = before
            .checked_add(len)
            .is_some_and(|sum| sum <= self.limit.load(Ordering::Relaxed));
        let _errno = KeepErrno::new();
        let start = if within { pages::map(len) } else { None };
        if start.is_none() {
            self.mapped.fetch_sub(len, Ordering::Relaxed);
        }
        start
    }

    /// Gives the memory of `table` back, which reads as zeros from then on. Threads may still be
    /// reading or writing there.
    pub(crate) fn empty<T: Zeroed>(&self, table: &'static T) {
        if size_of::<T>() >= OWN_MAPPING {
            let _errno = KeepErrno::new();
            pages::empty(ptr::from_ref(table).addr(), size_of::<T>());
        }
    }

    /// # Safety
    /// `start` and `len` are those of a mapping made by `map` that nobody will touch again.
    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) {
        let _errno = KeepErrno::new();
        // SAFETY: passed on from the caller.
        unsafe { pages::unmap(start, len) };
        self.mapped.fetch_sub(len, Ordering::Relaxed);
    }
}

/// Pages from the operating system.
#[cfg(all(unix, not(miri)))]
mod pages {
    use std::ptr::{self, NonNull};

    pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | NO_RESERVE;
        // SAFETY: a fresh anonymous mapping touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        advise(start, len);
        NonNull::new(start.cast())
    }

    /// # Safety
    /// The range is one mapping made by [`map`] that nobody will touch again.
    pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: passed on from the caller.
        unsafe { libc::munmap(start.as_ptr().cast(), len) };
    }

    /// Only Linux promises that the pages then read as zeros.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn empty(start: usize, len: usize) {
        // SAFETY: whole pages of a mapping of our own, whose contents nobody relies on.
        unsafe { libc::madvise(ptr::without_provenance_mut(start), len, libc::MADV_DONTNEED) };
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn empty(_start: usize, _len: usize) {}

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const NO_RESERVE: libc::c_int = 0;

    /// Sparse tables want small pages, and core dumps do not want the tables.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn advise(start: *mut libc::c_void, len: usize) {
        for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_DONTDUMP] {
            // SAFETY: the range is our own fresh mapping; both hints leave its contents alone.
            // Failure costs nothing.
            unsafe { libc::madvise(start, len, advice) };
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn advise(_start: *mut libc::c_void, _len: usize) {}

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn resident(start: usize, len: usize) -> usize {
        const PAGE: usize = 4096;
        const BATCH: usize = 1024;
        let mut present = [0_u8; BATCH];
        let mut sum = 0;
        let mut offset = 0;
        while offset < len {
            let step = (len - offset).min(BATCH * PAGE);
            // SAFETY: `present` holds a byte for each page of the step; the call only reads the
            // page tables.
            let told = unsafe {
                libc::mincore(
                    ptr::without_provenance_mut(start + offset),
                    step,
                    present.as_mut_ptr().cast(),
                )
            };
            if told != 0 {
                // Larger pages than assumed, or none of the system's business: count what was
                // mapped.
                return len;
            }
            let pages = step.div_ceil(PAGE);
            sum += present
                .iter()
                .take(pages)
                .filter(|page| *page & 1 == 1)
                .count()
                * PAGE;
            offset += step;
        }
        sum
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn resident(_start: usize, len: usize) -> usize {
        len
    }
}

/// Where pages cannot be mapped directly, the system's allocator stands in: it is never the traced
/// one.
#[cfg(not(all(unix, not(miri))))]
mod pages {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::ptr::NonNull;

    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len, 4096).ok()
    }

    pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
        // SAFETY: no table is empty.
        NonNull::new(unsafe { System.alloc_zeroed(layout(len)?) })
    }

    /// # Safety
    /// The range is one mapping made by [`map`] that nobody will touch again.
    pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        if let Some(layout) = layout(len) {
            // SAFETY: passed on from the caller; the layout is the one it was made with.
            unsafe { System.dealloc(start.as_ptr(), layout) };
        }
    }

    pub(super) fn empty(_start: usize, _len: usize) {}

    pub(super) fn resident(_start: usize, len: usize) -> usize {
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    type Big = [AtomicU64; 64 << 10];

    #[test]
    fn once_ref_is_empty_when_zeroed() {
        // What `Zeroed for OnceRef` relies on.
        assert_eq!(size_of::<OnceRef<'static, Big>>(), size_of::<usize>());
        let mut zeroed = 0_usize;
        // SAFETY: the assertion above shows that the sizes agree; the test is whether the meaning
        // does. Nothing else uses the word meanwhile.
        let cell = unsafe { &*(&raw mut zeroed).cast::<OnceRef<'static, Big>>() };
        assert!(cell.get().is_none());
    }

    #[test]
    fn small_tables_do_not_overlap_and_start_zeroed() {
        let arena = Arena::new();
        let tables: Vec<&'static [AtomicU64; 300]> =
            (0..500).map(|_| arena.zeroed().expect("memory")).collect();
        for (number, table) in tables.iter().enumerate() {
            assert!(table.iter().all(|word| word.load(Ordering::Relaxed) == 0));
            table
                .iter()
                .for_each(|word| word.store(number as u64 + 1, Ordering::Relaxed));
        }
        for (number, table) in tables.iter().enumerate() {
            assert!(
                table
                    .iter()
                    .all(|word| word.load(Ordering::Relaxed) == number as u64 + 1)
            );
        }
    }

    #[test]
    fn threads_that_meet_at_a_first_use_share_one_table() {
        let arena = Arena::new();
        let cell: OnceRef<'static, Big> = OnceRef::new();
        let barrier = std::sync::Barrier::new(8);
        let tables: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        ptr::from_ref(arena.first_use(&cell).expect("memory")).addr()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert!(tables.iter().all(|table| *table == tables[0]));
        // The losers gave theirs back: one table and at most the chunk with the list entry remain.
        assert!(arena.mapped.load(Ordering::Relaxed) <= size_of::<Big>() + CHUNK);
    }

    #[test]
    fn the_limit_refuses_and_what_is_mapped_stays() {
        let arena = Arena::new();
        let first: OnceRef<'static, Big> = OnceRef::new();
        assert!(arena.first_use(&first).is_some());
        let mapped = arena.mapped.load(Ordering::Relaxed);
        arena.set_limit(mapped);
        assert!(arena.first_use(&OnceRef::<Big>::new()).is_none());
        assert!(arena.first_use(&first).is_some());
        assert_eq!(arena.mapped.load(Ordering::Relaxed), mapped);
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn resident_counts_touched_pages_only() {
        let arena = Arena::new();
        let cell: OnceRef<'static, Big> = OnceRef::new();
        let table = arena.first_use(&cell).expect("memory");
        let before = arena.resident();
        table
            .iter()
            .take(1024)
            .for_each(|word| word.store(1, Ordering::Relaxed));
        assert_eq!(arena.resident() - before, 8192);
    }
}
