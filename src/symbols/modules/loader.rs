//! The loader's list.
#![expect(
    unsafe_code,
    reason = "the list is C, and build ids are read from memory"
)]

use std::ffi::CStr;
use std::ops::Range;
use std::os::raw::{c_int, c_void};
use std::sync::Arc;

#[cfg(target_pointer_width = "32")]
use libc::Elf32_Phdr as Header;
#[cfg(target_pointer_width = "64")]
use libc::Elf64_Phdr as Header;

use super::{Changes, Loaded, Module};
use crate::symbols::build_id::among;

// The same in every ELF file; not every platform's `libc` has them.
const LOAD: u32 = 1;
const NOTE: u32 = 4;
const READABLE: u32 = 4;

/// Every module that is loaded now.
pub(super) fn modules() -> Vec<Loaded> {
    let mut found: Vec<Loaded> = Vec::new();
    // SAFETY: `visit` has the signature that the loader calls, and gets the pointer given here,
    // which nothing else uses until the call returns. It is `extern "C"`: no panic leaves it.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast::<c_void>()) };
    found
}

/// How many modules have been added and taken away since the process began, without reading the
/// list.
pub(super) fn changes() -> Changes {
    let mut changes = Changes::default();
    // SAFETY: as in `modules`.
    unsafe { libc::dl_iterate_phdr(Some(count), (&raw mut changes).cast::<c_void>()) };
    changes
}

/// Every module has the same counts, so the first one ends the iteration.
///
/// # Safety
///
/// `info` must be a valid record and `changes` valid and used by nothing else.
unsafe extern "C" fn count(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    changes: *mut c_void,
) -> c_int {
    // SAFETY: by this function's contract; the loader's record is valid during the call.
    let info = unsafe { &*info };
    // SAFETY: by this function's contract.
    let changes = unsafe { &mut *changes.cast::<Changes>() };
    *changes = Changes {
        added: info.dlpi_adds,
        removed: info.dlpi_subs,
    };
    1
}

/// Adds one module to the list.
///
/// # Safety
///
/// `info` must be a valid record and `found` a valid `Vec<Loaded>` that nothing else uses.
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut c_void,
) -> c_int {
    // SAFETY: by this function's contract; the loader's record is valid during the call.
    let info = unsafe { &*info };
    // SAFETY: by this function's contract; `modules` lends its vector to the iteration.
    let found = unsafe { &mut *found.cast::<Vec<Loaded>>() };
    let first = found.is_empty();
    if let Some(loaded) = describe(info, first) {
        found.push(loaded);
    }
    0
}

fn describe(info: &libc::dl_phdr_info, first: bool) -> Option<Loaded> {
    let path = path(info, first)?;
    let headers = headers(info);
    let bias = usize::try_from(info.dlpi_addr).ok()?;
    let segments: Vec<Range<usize>> = headers
        .iter()
        .filter(|header| header.p_type == LOAD)
        .filter_map(|header| place(header, bias))
        .collect();
    let build_id = headers
        .iter()
        .filter(|header| header.p_type == NOTE)
        .find_map(|header| noted_build_id(header, headers, bias));
    Some(Loaded {
        module: Arc::new(Module::new(path, build_id)),
        bias,
        segments,
        is_program: first,
    })
}

/// The file of a module. The program itself, first in the list, has no name there, or in a
/// program that musl is linked into that of a link to it; other modules without a name are made
/// by the kernel and have no file.
fn path(info: &libc::dl_phdr_info, first: bool) -> Option<String> {
    let name = if info.dlpi_name.is_null() {
        c""
    } else {
        // SAFETY: a name that is not null is a C string of the loader's, valid during the call.
        unsafe { CStr::from_ptr(info.dlpi_name) }
    };
    match name.to_bytes() {
        b"" if !first => None,
        b"" | b"/proc/self/exe" => Some(crate::symbols::executable::executable()),
        _ => Some(name.to_string_lossy().into_owned()),
    }
}

fn headers(info: &libc::dl_phdr_info) -> &[Header] {
    if info.dlpi_phdr.is_null() {
        return &[];
    }
    // SAFETY: the loader gives the address and the number of the module's program headers,
    // which are mapped read-only for as long as the module is, at least during this call.
    unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
}

/// The build id in a segment of notes, if the segment lies in memory that the module can read.
fn noted_build_id(notes: &Header, headers: &[Header], bias: usize) -> Option<String> {
    let range = place(notes, bias)?;
    let mapped = headers.iter().any(|header| {
        let holds = |outer: Range<usize>| outer.start <= range.start && range.end <= outer.end;
        header.p_type == LOAD
            && header.p_flags & READABLE != 0
            && place(header, bias).is_some_and(holds)
    });
    if !mapped || range.start == 0 {
        return None;
    }
    // SAFETY: the range lies in a readable segment that the loader has mapped, and stays mapped
    // during this call. Nobody writes to it meanwhile: notes are constants. Bytes need no
    // alignment.
    let bytes = unsafe {
        std::slice::from_raw_parts(std::ptr::with_exposed_provenance(range.start), range.len())
    };
    among(bytes, usize::try_from(notes.p_align).ok()?)
}

/// Where a segment is in memory.
fn place(header: &Header, bias: usize) -> Option<Range<usize>> {
    let start = bias.wrapping_add(usize::try_from(header.p_vaddr).ok()?);
    let end = start.checked_add(usize::try_from(header.p_memsz).ok()?)?;
    Some(start..end)
}
