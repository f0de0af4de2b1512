//! Libraries that were loaded later, found without a lock.
//!
//! The loader's own list can only be read under its lock. glibc 2.35 and newer have
//! `_dl_find_object`, which looks an address up without one, in an allocation, a signal handler or
//! the child of a fork. Elsewhere such libraries are not found, and stacks end in them.
//!
//! What is found here is never kept: when a library is unloaded, another one may take its place.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::modules::{Module, describe};
use super::probe::are_readable;

/// glibc's `struct dl_find_object` on processors that need no bases for data.
#[repr(C)]
struct Object {
    flags: u64,
    start: *mut c_void,
    end: *mut c_void,
    link_map: *mut c_void,
    frames: *mut c_void,
    reserved: [u64; 7],
}

type FindObject = unsafe extern "C" fn(*mut c_void, *mut Object) -> i32;

/// The loader's look-up.
pub(super) struct Loaded {
    /// A [`FindObject`]; 0 if there is none.
    find_object: AtomicUsize,
}

impl Loaded {
    pub(super) const fn new() -> Self {
        Self {
            find_object: AtomicUsize::new(0),
        }
    }

    /// Asks the loader for its look-up. Takes its lock, so not to be called inside an allocation of
    /// a running session.
    pub(super) fn prepare(&self) {
        // A static program has no loader to ask.
        if cfg!(all(target_env = "gnu", not(target_feature = "crt-static"))) {
            // SAFETY: a name that ends in 0, looked for in all of the program.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
            // Relaxed: the function is there as long as the process.
            self.find_object
                .store(found.expose_provenance(), Ordering::Relaxed);
        }
    }

    /// The library that the code at `address` belongs to, as it is now.
    pub(super) fn find(&self, address: usize) -> Option<Module> {
        let find_object = match self.find_object.load(Ordering::Relaxed) {
            0 => return None,
            function => std::ptr::with_exposed_provenance::<c_void>(function),
        };
        // SAFETY: `prepare` has it from the loader, under the name of a function of this type.
        let find_object: FindObject = unsafe { std::mem::transmute(find_object) };
        let mut object = MaybeUninit::<Object>::uninit();
        let place = std::ptr::without_provenance_mut(address);
        // SAFETY: takes any address, takes no lock, and fills the structure if it answers 0.
        let found = unsafe { find_object(place, object.as_mut_ptr()) };
        if found != 0 {
            return None;
        }
        // SAFETY: filled.
        let object = unsafe { object.assume_init() };
        let module = read(object.start.addr())?;
        // What is in memory is the file that the loader speaks of.
        (module.header == object.frames.addr() && (module.start..module.end).contains(&address))
            .then_some(module)
    }
}

/// Describes the file whose first segment is at `start`, by the headers at its beginning.
fn read(start: usize) -> Option<Module> {
    const PROGRAM_HEADER: usize = size_of::<libc::Elf64_Phdr>();
    if !are_readable(start, size_of::<libc::Elf64_Ehdr>()) {
        return None;
    }
    let file = std::ptr::with_exposed_provenance::<libc::Elf64_Ehdr>(start);
    // SAFETY: just found readable; the loader maps files at whole pages.
    let file = unsafe { &*file };
    let headers_at = usize::try_from(file.e_phoff).ok()?;
    let count = usize::from(file.e_phnum);
    let is_file = file.e_ident.starts_with(b"\x7fELF")
        && usize::from(file.e_phentsize) == PROGRAM_HEADER
        && headers_at.is_multiple_of(8);
    let headers_at = start.checked_add(headers_at)?;
    if !is_file || !are_readable(headers_at, count * PROGRAM_HEADER) {
        return None;
    }
    let first = std::ptr::with_exposed_provenance::<libc::Elf64_Phdr>(headers_at);
    // SAFETY: just found readable, and aligned.
    let headers = unsafe { std::slice::from_raw_parts(first, count) };
    let loaded = headers
        .iter()
        .find(|header| header.p_type == libc::PT_LOAD)?;
    if loaded.p_offset != 0 {
        return None;
    }
    // SAFETY: zeros are a valid description: null pointers and numbers.
    let mut info: libc::dl_phdr_info = unsafe { std::mem::zeroed() };
    info.dlpi_addr = (start as u64).wrapping_sub(loaded.p_vaddr);
    info.dlpi_phdr = first;
    info.dlpi_phnum = file.e_phnum;
    describe(&info)
}
