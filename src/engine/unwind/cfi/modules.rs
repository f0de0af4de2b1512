//! Where the call-frame information of the program is.
//!
//! Only modules that stay until the process ends: the program itself, the C library's parts that it
//! was linked with, and the kernel's, to which signal handlers may return. A library that the
//! program loads and unloads may give its place in memory to another one, and what is known of its
//! code would then be wrong; stacks that lead through it are left to the platform's unwinder.

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

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

const MOST: usize = 8;
const WORDS: usize = 7;

/// How the names of the files begin whose code stays.
const PERMANENT: [&[u8]; 7] = [
    b"libc.so",
    b"libgcc_s.so",
    b"libm.so",
    b"libpthread.so",
    b"ld-linux",
    b"ld-musl",
    b"linux-vdso",
];

/// The modules, found once.
pub(super) struct Modules {
    /// 0: not looked for yet; else one more than there are.
    found: AtomicUsize,
    slots: [[AtomicUsize; WORDS]; MOST],
}

impl Modules {
    pub(super) const fn new() -> Self {
        Self {
            found: AtomicUsize::new(0),
            slots: [const { [const { AtomicUsize::new(0) }; WORDS] }; MOST],
        }
    }

    /// Asks the loader. Takes its lock, so not to be called inside an allocation of a running
    /// session. Threads that come here together all write the same.
    pub(super) fn prepare(&self) {
        if self.found.load(Ordering::Acquire) != 0 {
            return;
        }
        let mut list = List::default();
        // SAFETY: the callback gets this list, and nothing else touches it while the call lasts.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut list).cast()) };
        for (slot, module) in self.slots.iter().zip(list.modules.iter().take(list.len)) {
            for (word, value) in slot.iter().zip(module.words()) {
                word.store(value, Ordering::Relaxed);
            }
        }
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

    /// The machine code from `address` to the end of the segment.
    pub(super) fn code_from(&self, address: usize) -> Option<&'static [u8]> {
        if !(self.code..self.code_end).contains(&address) {
            return None;
        }
        let start = std::ptr::with_exposed_provenance(address);
        // SAFETY: the range lies in a readable segment of a module that stays loaded, and that may
        // not be written to.
        Some(unsafe { std::slice::from_raw_parts(start, self.code_end - address) })
    }
}

#[derive(Default)]
struct List {
    modules: [Module; MOST],
    len: usize,
    seen: usize,
}

/// Notes one module. The first one that the loader names is the program.
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
    let is_program = list.seen == 0;
    list.seen += 1;
    if (is_program || is_permanent(info))
        && let Some(module) = describe(info)
        && let Some(slot) = list.modules.get_mut(list.len)
    {
        *slot = module;
        list.len += 1;
    }
    0
}

fn is_permanent(info: &libc::dl_phdr_info) -> bool {
    if info.dlpi_name.is_null() {
        return false;
    }
    // SAFETY: the loader passes a text that ends in 0.
    let path = unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes();
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    PERMANENT.iter().any(|name| file.starts_with(name))
}

pub(super) fn describe(info: &libc::dl_phdr_info) -> Option<Module> {
    if info.dlpi_phdr.is_null() {
        return None;
    }
    // SAFETY: the loader passes that many program headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
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
