//! Where the call-frame information of the program is.
//!
//! Only modules that stay until the process ends: the program itself, the libraries that it was
//! linked with and theirs, and the kernel's, to which signal handlers may return. And the one that
//! the tracer is in, if the program has loaded that: when it goes, so does all that is known of its
//! code. Another library that is loaded and unloaded may give its place in memory to the next one,
//! and what is known of its code would then be wrong: see `loaded.rs`.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::linked::{Linked, MAX_MODULES, headers};
use super::probe::are_readable;

/// A loaded file that stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    /// Its addresses, from the first segment to the end of the last.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where `.eh_frame_hdr` is.
    pub(super) header: usize,
    /// The readable segment that holds it, and as linkers lay it out the frames too.
    pub(super) segment: usize,
    pub(super) segment_end: usize,
    /// The first segment of code that may be read; empty if there is none.
    pub(super) code: usize,
    pub(super) code_end: usize,
}

const WORDS: usize = 7;

/// The modules, found once.
pub(super) struct Modules {
    /// 0: not looked for yet; else one more than there are.
    found: AtomicUsize,
    slots: [[AtomicUsize; WORDS]; MAX_MODULES],
}

impl Modules {
    pub(super) const fn new() -> Self {
        Self {
            found: AtomicUsize::new(0),
            slots: [const { [const { AtomicUsize::new(0) }; WORDS] }; MAX_MODULES],
        }
    }

    /// Asks the loader. Takes its lock, so not to be called inside an allocation of a running
    /// session. Threads that come here together all write equal values.
    pub(super) fn prepare(&self) {
        if self.found.load(Ordering::Acquire) != 0 {
            return;
        }
        let mut position = Position::default();
        // SAFETY: the callback gets this value, and nothing else touches it while the call lasts.
        unsafe { libc::dl_iterate_phdr(Some(look_for_loader), (&raw mut position).cast()) };
        let mut list = List {
            modules: self,
            linked: Linked::new(position.loader),
            len: 0,
        };
        // SAFETY: as above.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut list).cast()) };
        self.found.store(list.len + 1, Ordering::Release);
    }

    /// The module that the code at `address` belongs to.
    pub(super) fn find(&self, address: usize) -> Option<Module> {
        let found = self.found.load(Ordering::Acquire).saturating_sub(1);
        let modules = self.slots.iter().take(found).map(|slot| {
            Module::from_words(std::array::from_fn(|at| {
                slot.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
            }))
        });
        modules
            .into_iter()
            .find(|module| (module.start..module.end).contains(&address))
    }
}

impl Module {
    fn words(&self) -> [usize; WORDS] {
        [
            self.start,
            self.end,
            self.header,
            self.segment,
            self.segment_end,
            self.code,
            self.code_end,
        ]
    }

    fn from_words(
        [start, end, header, segment, segment_end, code, code_end]: [usize; WORDS],
    ) -> Self {
        Self {
            start,
            end,
            header,
            segment,
            segment_end,
            code,
            code_end,
        }
    }

    /// True for the module that this code is in.
    fn is_tracers(&self) -> bool {
        let code = describe as fn(&libc::dl_phdr_info) -> Option<Self>;
        (self.start..self.end).contains(&(code as usize))
    }

    /// A module whose call-frame information, the header first, is `bytes`.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(super) fn with_information(bytes: &'static [u8], code: std::ops::Range<usize>) -> Self {
        let header = bytes.as_ptr().expose_provenance();
        Self {
            start: code.start,
            end: code.end,
            header,
            segment: header,
            segment_end: header + bytes.len(),
            code: 0,
            code_end: 0,
        }
    }

    pub(super) fn header_bytes(&self) -> &'static [u8] {
        self.bytes_from(self.header).unwrap_or_default()
    }

    /// The bytes from `address` to the end of the segment with the call-frame information.
    pub(super) fn bytes_from(&self, address: usize) -> Option<&'static [u8]> {
        if !(self.segment..self.segment_end).contains(&address) {
            return None;
        }
        let start = std::ptr::with_exposed_provenance(address);
        // SAFETY: the range lies in a readable segment of a module that stays loaded. Nobody writes
        // there: it holds constants.
        Some(unsafe { std::slice::from_raw_parts(start, self.segment_end - address) })
    }

    /// True if the machine code at `address` is `expected`. False if it cannot be read: code may be
    /// mapped for execution alone, or its pages may have changed since.
    pub(super) fn code_is(&self, address: usize, expected: &[u8]) -> bool {
        let inside = (self.code..self.code_end).contains(&address)
            && self.code_end - address >= expected.len();
        if !inside || !are_readable(address, expected.len()) {
            return false;
        }
        let start = std::ptr::with_exposed_provenance(address);
        // SAFETY: just found readable, in a segment of a loaded module that may not be written to.
        let code: &[u8] = unsafe { std::slice::from_raw_parts(start, expected.len()) };
        code == expected
    }
}

/// How far the loader's list has been read, and where in it the loader itself is.
#[derive(Default)]
struct Position {
    next: usize,
    loader: Option<usize>,
}

/// # Safety
/// To be called by `dl_iterate_phdr` alone, with the position that [`Modules::prepare`] passes to
/// it.
unsafe extern "C" fn look_for_loader(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    position: *mut c_void,
) -> c_int {
    // SAFETY: the loader passes a valid description.
    let info = unsafe { &*info };
    // SAFETY: `prepare` passes its position and waits.
    let position = unsafe { &mut *position.cast::<Position>() };
    // SAFETY: reads what the kernel gave the process at its start.
    let loader = unsafe { libc::getauxval(libc::AT_BASE) };
    if loader != 0 && info.dlpi_addr == loader {
        position.loader = Some(position.next);
    }
    position.next += 1;
    0
}

/// The modules that stay, while the loader's list is read.
struct List<'a> {
    modules: &'a Modules,
    linked: Linked,
    len: usize,
}

/// Notes one module if it stays.
///
/// # Safety
/// To be called by `dl_iterate_phdr` alone, with the list that [`Modules::prepare`] passes to it.
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    list: *mut c_void,
) -> c_int {
    // SAFETY: the loader passes a valid description.
    let info = unsafe { &*info };
    // SAFETY: `prepare` passes its list and waits.
    let list = unsafe { &mut *list.cast::<List>() };
    // Asked of every module, since it counts them.
    let was_there = list.linked.holds(info);
    if let Some(module) = describe(info)
        && (was_there || is_kernels(info) || module.is_tracers())
        && let Some(slot) = list.modules.slots.get(list.len)
    {
        for (word, value) in slot.iter().zip(module.words()) {
            word.store(value, Ordering::Relaxed);
        }
        list.len += 1;
    }
    0
}

/// True for the module that the kernel maps into every process.
fn is_kernels(info: &libc::dl_phdr_info) -> bool {
    // SAFETY: reads what the kernel gave the process at its start.
    let start = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    start != 0 && info.dlpi_addr == start
}

pub(super) fn describe(info: &libc::dl_phdr_info) -> Option<Module> {
    let headers = headers(info)?;
    let range = |header: &libc::Elf64_Phdr| {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        (start, start.wrapping_add(header.p_memsz as usize))
    };
    let loaded = || {
        headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD)
    };
    let frames = headers
        .iter()
        .find(|header| header.p_type == libc::PT_GNU_EH_FRAME)?;
    let (header, _) = range(frames);
    let constant =
        || loaded().filter(|header| header.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R);
    let (segment, segment_end) = constant()
        .map(range)
        .find(|(start, end)| (*start..*end).contains(&header))?;
    let (code, code_end) = constant()
        .find(|header| header.p_flags & libc::PF_X != 0)
        .map_or((0, 0), range);
    Some(Module {
        start: loaded().map(|header| range(header).0).min()?,
        end: loaded().map(|header| range(header).1).max()?,
        header,
        segment,
        segment_end,
        code,
        code_end,
    })
}
