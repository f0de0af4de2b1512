//! The files of machine code in this process: where each is loaded, and its build id.
//!
//! The list is read from the loader when an address is looked up that the last list does not hold,
//! so libraries loaded later are found. On platforms without `dl_iterate_phdr` it is empty, and
//! names come from the symbol reader alone.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use crate::snapshot::Module;

/// The modules known so far.
pub(super) struct Modules(RwLock<Vec<Loaded>>);

/// A module at its place in memory.
#[derive(Clone, Debug)]
struct Loaded {
    module: Arc<Module>,
    /// What the loader added to the linker's addresses.
    bias: usize,
    /// Addresses of the module's segments.
    segments: Vec<Range<usize>>,
}

impl Loaded {
    fn holds(&self, address: usize) -> bool {
        self.segments.iter().any(|range| range.contains(&address))
    }
}

impl Modules {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    /// The module that holds `address`, and the address as the linker numbered it.
    pub(super) fn find(&self, address: usize) -> Option<(Arc<Module>, u64)> {
        self.known(address).or_else(|| {
            self.refresh();
            self.known(address)
        })
    }

    fn known(&self, address: usize) -> Option<(Arc<Module>, u64)> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = list.iter().find(|loaded| loaded.holds(address))?;
        let offset = u64::try_from(address.wrapping_sub(found.bias)).ok()?;
        Some((Arc::clone(&found.module), offset))
    }

    /// Reads the list anew. A module that is still there stays the same value, so that frames share
    /// it.
    fn refresh(&self) {
        // Outside of the lock: the loader holds one of its own meanwhile.
        let mut new = loader::modules();
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for loaded in &mut new {
            if let Some(old) = list.iter().find(|old| old.module == loaded.module) {
                loaded.module = Arc::clone(&old.module);
            }
        }
        *list = new;
    }
}

/// The build id among the notes of a segment, in lower-case hexadecimal. `alignment` is that of the
/// segment.
#[cfg_attr(
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        test
    )),
    expect(dead_code, reason = "no list of modules on this platform")
)]
fn build_id(notes: &[u8], alignment: usize) -> Option<String> {
    const GNU_BUILD_ID: u32 = 3;
    let alignment = if alignment == 8 { 8 } else { 4 };
    let mut rest = notes;
    loop {
        let (name_len, tail) = word(rest)?;
        let (content_len, tail) = word(tail)?;
        let (kind, _) = word(tail)?;
        // Both parts are padded; the padding counts from the start of the note.
        let name_end = 12_usize.checked_add(usize::try_from(name_len).ok()?)?;
        let start = name_end.checked_next_multiple_of(alignment)?;
        let end = start.checked_add(usize::try_from(content_len).ok()?)?;
        let name = rest.get(12..name_end)?;
        let content = rest.get(start..end)?;
        if kind == GNU_BUILD_ID && name == b"GNU\0" && !content.is_empty() {
            return Some(content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        rest = rest.get(end.checked_next_multiple_of(alignment)?..)?;
    }
}

/// The first word of a note and what follows it.
fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_ne_bytes(*word), rest))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
#[expect(
    unsafe_code,
    reason = "the loader's list of modules is C, and their build ids are read from memory"
)]
mod loader {
    //! The loader's list.

    use std::ffi::CStr;
    use std::ops::Range;
    use std::os::raw::{c_int, c_void};
    use std::sync::Arc;

    #[cfg(target_pointer_width = "32")]
    use libc::Elf32_Phdr as Header;
    #[cfg(target_pointer_width = "64")]
    use libc::Elf64_Phdr as Header;

    use super::{Loaded, Module, build_id};

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
            b"" | b"/proc/self/exe" => Some(crate::symbols::resolve::executable()),
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
        build_id(bytes, usize::try_from(notes.p_align).ok()?)
    }

    /// Where a segment is in memory.
    fn place(header: &Header, bias: usize) -> Option<Range<usize>> {
        let start = bias.wrapping_add(usize::try_from(header.p_vaddr).ok()?);
        let end = start.checked_add(usize::try_from(header.p_memsz).ok()?)?;
        Some(start..end)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod loader {
    //! No list of modules on this platform.

    use super::Loaded;

    pub(super) fn modules() -> Vec<Loaded> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, content: &[u8], alignment: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [name.len() as u32, content.len() as u32, kind] {
            bytes.extend(word.to_ne_bytes());
        }
        for part in [name, content] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
        }
        bytes
    }

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        for alignment in [4, 8] {
            let mut notes = note(b"GNU\0", 5, &[1, 2, 3, 4, 5], alignment);
            notes.extend(note(b"Android\0", 3, &[9, 9], alignment));
            notes.extend(note(b"GNU\0", 3, &[0xde, 0xad, 0x00, 0x0f], alignment));
            assert_eq!(build_id(&notes, alignment).as_deref(), Some("dead000f"));
        }
    }

    /// Lengths that lead out of the segment end the search; nothing behind the bytes is read.
    #[test]
    fn damaged_notes_hold_no_build_id() {
        let whole = note(b"GNU\0", 3, &[0xab; 20], 4);
        for len in 0..whole.len() {
            assert_eq!(build_id(&whole[..len], 4), None, "cut to {len} bytes");
        }
        let mut huge = whole.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(build_id(&huge, 4), None);
        let mut long_name = whole;
        long_name[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(build_id(&long_name, 4), None);
        assert_eq!(build_id(&note(b"GNU\0", 3, &[], 4), 4), None);
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    mod loaded {
        use super::*;

        fn code() -> usize {
            code as fn() -> usize as usize
        }

        #[test]
        fn the_program_and_its_libraries_are_found() {
            let modules = Modules::new();
            let (program, offset) = modules.find(code()).expect("this program is loaded");
            let executable = std::env::current_exe().expect("a test has a file");
            assert_eq!(program.path, executable.to_string_lossy());
            assert!(offset > 0);

            let (library, _) = modules
                .find(libc::getpid as unsafe extern "C" fn() -> libc::pid_t as usize)
                .expect("the C library is loaded");
            if cfg!(not(target_feature = "crt-static")) {
                assert_ne!(library.path, program.path);
            }
        }

        #[test]
        fn an_address_of_no_module_is_not_found() {
            let modules = Modules::new();
            let boxed = Box::new(0_u8);
            assert_eq!(modules.find(0), None);
            assert_eq!(modules.find(usize::MAX), None);
            assert_eq!(modules.find(&raw const *boxed as usize), None);
        }

        #[test]
        fn a_module_stays_one_value_when_the_list_is_read_anew() {
            let modules = Modules::new();
            let (before, _) = modules.find(code()).expect("this program is loaded");
            modules.refresh();
            let (after, _) = modules.find(code()).expect("this program is still loaded");
            assert!(Arc::ptr_eq(&before, &after));
        }
    }
}
