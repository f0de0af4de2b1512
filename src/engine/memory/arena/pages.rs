//! Pages from the operating system.

#[cfg(all(windows, not(miri)))]
pub(super) use committed::*;
#[cfg(all(unix, not(miri)))]
pub(super) use mapped::*;
#[cfg(not(all(any(unix, windows), not(miri))))]
pub(super) use stand_in::*;

#[cfg(all(unix, not(miri)))]
mod mapped {
    use std::ptr::{self, NonNull};

    pub(in crate::engine::memory::arena) fn map(len: usize) -> Option<NonNull<u8>> {
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

    /// As [`map`], aligned to `len`, on large pages if the system has them.
    pub(in crate::engine::memory::arena) fn map_large(len: usize) -> Option<NonNull<u8>> {
        let around = map(2 * len)?;
        let before = around.addr().get().next_multiple_of(len) - around.addr().get();
        // SAFETY: `before` is less than `len`: all of it lies in the mapping.
        let start = unsafe { around.add(before) };
        // SAFETY: as above.
        let after = unsafe { start.add(len) };
        for (part, size) in [(around, before), (after, len - before)] {
            if size > 0 {
                // SAFETY: a part of a fresh mapping, in whole pages, that nobody uses.
                unsafe { unmap(part, size) };
            }
        }
        prefer_large(start, len);
        Some(start)
    }

    /// # Safety
    /// The range is made of pages of mappings made by [`map`] that nobody will touch again.
    pub(in crate::engine::memory::arena) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: passed on from the caller.
        unsafe { libc::munmap(start.as_ptr().cast(), len) };
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn prefer_large(start: NonNull<u8>, len: usize) {
        // SAFETY: a mapping of our own; the hint leaves its contents alone. Failure costs nothing.
        unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn prefer_large(_start: NonNull<u8>, _len: usize) {}

    /// Nanoseconds that it took to give pages memory. `None` if the system cannot: Linux before
    /// 5.14.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(in crate::engine::memory::arena) fn populate(start: usize, len: usize) -> Option<u64> {
        let begin = now();
        // SAFETY: a mapping of our own, whose contents stay as they are.
        let result = unsafe {
            libc::madvise(
                ptr::without_provenance_mut(start),
                len,
                libc::MADV_POPULATE_WRITE,
            )
        };
        (result == 0 && len > 0).then(|| now().saturating_sub(begin))
    }

    /// The clock that is read without entering the system: a sandbox does not see it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn now() -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the structure may be written. The clock exists on every Linux.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(in crate::engine::memory::arena) fn populate(_start: usize, _len: usize) -> Option<u64> {
        None
    }

    /// Only Linux promises that the pages then read as zeros.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(in crate::engine::memory::arena) fn empty(start: usize, len: usize) {
        // SAFETY: whole pages of a mapping of our own, whose contents nobody relies on.
        unsafe { libc::madvise(ptr::without_provenance_mut(start), len, libc::MADV_DONTNEED) };
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(in crate::engine::memory::arena) fn empty(_start: usize, _len: usize) {}

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
    pub(in crate::engine::memory::arena) fn resident(start: usize, len: usize) -> usize {
        const PAGE: usize = 4096;
        const BATCH: usize = 1024;
        let mut present = [0_u8; BATCH];
        let mut sum = 0;
        let mut offset = 0;
        while offset < len {
            let step = (len - offset).min(BATCH * PAGE);
            // SAFETY: `present` holds a byte for each page of the step; the call only reads the
            // page tables.
            let answer = unsafe {
                libc::mincore(
                    ptr::without_provenance_mut(start + offset),
                    step,
                    present.as_mut_ptr().cast(),
                )
            };
            if answer != 0 {
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
    pub(in crate::engine::memory::arena) fn resident(_start: usize, len: usize) -> usize {
        len
    }
}

/// Windows sets room aside in its paging file for all that is mapped; a page takes memory when it
/// is first touched.
#[cfg(all(windows, not(miri)))]
mod committed {
    use std::ffi::c_void;
    use std::ptr::{self, NonNull};

    const MEM_COMMIT: u32 = 0x1000;
    const MEM_RESERVE: u32 = 0x2000;
    const MEM_RELEASE: u32 = 0x8000;
    const PAGE_READWRITE: u32 = 4;

    /// What the system says of a page: bit 0 of `attributes` is set if it is in memory.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Page {
        address: *mut c_void,
        attributes: usize,
    }

    // SAFETY: the system's functions of these names have these types.
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn VirtualAlloc(start: *mut c_void, len: usize, kind: u32, access: u32) -> *mut c_void;
        fn VirtualFree(start: *mut c_void, len: usize, kind: u32) -> i32;
        safe fn GetCurrentProcess() -> *mut c_void;
        fn K32QueryWorkingSetEx(process: *mut c_void, pages: *mut Page, bytes: u32) -> i32;
    }

    pub(in crate::engine::memory::arena) fn map(len: usize) -> Option<NonNull<u8>> {
        let kind = MEM_RESERVE | MEM_COMMIT;
        // SAFETY: fresh pages touch nothing that exists.
        let start = unsafe { VirtualAlloc(ptr::null_mut(), len, kind, PAGE_READWRITE) };
        NonNull::new(start.cast())
    }

    pub(in crate::engine::memory::arena) fn map_large(len: usize) -> Option<NonNull<u8>> {
        map(len)
    }

    /// # Safety
    /// The range is one mapping made by [`map`] that nobody will touch again.
    pub(in crate::engine::memory::arena) unsafe fn unmap(start: NonNull<u8>, _len: usize) {
        // SAFETY: passed on from the caller. A mapping is released as a whole, by a length of 0.
        unsafe { VirtualFree(start.as_ptr().cast(), 0, MEM_RELEASE) };
    }

    /// Memory that is given back may not be touched here until it is asked for again.
    pub(in crate::engine::memory::arena) fn empty(_start: usize, _len: usize) {}

    pub(in crate::engine::memory::arena) fn populate(_start: usize, _len: usize) -> Option<u64> {
        None
    }

    pub(in crate::engine::memory::arena) fn resident(start: usize, len: usize) -> usize {
        const PAGE: usize = 4096;
        const BATCH: usize = 256;
        let end = start + len;
        let mut sum = 0;
        for from in (start..end).step_by(BATCH * PAGE) {
            let mut pages = [Page {
                address: ptr::null_mut(),
                attributes: 0,
            }; BATCH];
            let addresses = (from..end).step_by(PAGE);
            let asked = pages.iter_mut().zip(addresses).map(|(page, address)| {
                page.address = ptr::without_provenance_mut(address);
            });
            let bytes = (asked.count() * size_of::<Page>()) as u32;
            // SAFETY: there is a byte for each page that is asked about, which the call fills in. It touches none.
            if unsafe { K32QueryWorkingSetEx(GetCurrentProcess(), pages.as_mut_ptr(), bytes) } == 0
            {
                // The system does not tell: count what was mapped.
                return len;
            }
            sum += pages.iter().filter(|page| page.attributes & 1 != 0).count() * PAGE;
        }
        sum
    }
}

/// Where pages cannot be mapped directly, the system's allocator stands in: it is never the traced
/// one.
#[cfg(not(all(any(unix, windows), not(miri))))]
mod stand_in {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::ptr::NonNull;

    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len, 4096).ok()
    }

    pub(in crate::engine::memory::arena) fn map(len: usize) -> Option<NonNull<u8>> {
        // SAFETY: no table is empty.
        NonNull::new(unsafe { System.alloc_zeroed(layout(len)?) })
    }

    pub(in crate::engine::memory::arena) fn map_large(len: usize) -> Option<NonNull<u8>> {
        map(len)
    }

    /// # Safety
    /// The range is one mapping made by [`map`] that nobody will touch again.
    pub(in crate::engine::memory::arena) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        if let Some(layout) = layout(len) {
            // SAFETY: passed on from the caller; the layout is the one it was made with.
            unsafe { System.dealloc(start.as_ptr(), layout) };
        }
    }

    pub(in crate::engine::memory::arena) fn empty(_start: usize, _len: usize) {}

    pub(in crate::engine::memory::arena) fn populate(_start: usize, _len: usize) -> Option<u64> {
        None
    }

    pub(in crate::engine::memory::arena) fn resident(_start: usize, len: usize) -> usize {
        len
    }
}
