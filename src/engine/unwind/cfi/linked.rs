//! Which modules the program was started with.
//!
//! The loader lists modules in the order in which it has loaded them: the program, the libraries
//! that it was linked with and theirs, among them the loader itself, and after all of these what
//! `dlopen` has added. It never unloads those of the start. Where they end in the list it does not
//! say, but what comes before the loader itself was there at the start, and behind it what a module
//! of the start has asked for by name. The first that is neither was added.

use std::ffi::{CStr, c_char};

/// The dynamic section of a loaded file.
#[derive(Clone, Copy)]
struct Dynamic {
    entries: &'static [Entry],
    strings: usize,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    tag: i64,
    value: usize,
}

// Of the generic ABI for ELF files, "Dynamic Section".
const END: i64 = 0;
const NEEDED: i64 = 1;
const STRINGS: i64 = 5;
const OWN_NAME: i64 = 14;

/// Modules from the start that are looked at; further ones count as added.
pub(super) const MAX_MODULES: usize = 128;

/// The modules from the start, as far as the list has been read.
pub(super) struct Linked {
    /// Where in the list the loader itself is.
    loader: Option<usize>,
    sections: [Option<Dynamic>; MAX_MODULES],
    seen: usize,
    /// What was added comes after all others, so there are none of the start behind it.
    ended: bool,
}

impl Linked {
    /// `loader`: where in the list the loader itself is, if it is there.
    pub(super) fn new(loader: Option<usize>) -> Self {
        Self {
            loader,
            sections: [None; MAX_MODULES],
            seen: 0,
            ended: false,
        }
    }

    /// Whether the next module of the list was there at the start, and so stays.
    pub(super) fn holds(&mut self, info: &libc::dl_phdr_info) -> bool {
        if self.ended {
            return false;
        }
        let section = Dynamic::of(info);
        let before_loader = self.loader.is_some_and(|loader| self.seen <= loader);
        let was_there =
            self.seen == 0 || before_loader || self.is_asked_for(file_name(info), section);
        match self.sections.get_mut(self.seen) {
            Some(place) if was_there => *place = section,
            _ => self.ended = true,
        }
        self.seen += 1;
        !self.ended
    }

    /// True if one of the modules before has asked for a file of this name, or for one that calls
    /// itself so: as the loader compares.
    fn is_asked_for(&self, file: &[u8], section: Option<Dynamic>) -> bool {
        let own = section.and_then(|section| section.texts(OWN_NAME).next());
        let sections = self.sections.iter().flatten();
        sections
            .flat_map(|section| section.texts(NEEDED))
            .any(|wanted| last_part(wanted) == file || Some(wanted) == own)
    }
}

/// The name of a module's file, without its folder.
fn file_name(info: &libc::dl_phdr_info) -> &[u8] {
    if info.dlpi_name.is_null() {
        return &[];
    }
    // SAFETY: the loader passes a text that ends in 0.
    last_part(unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes())
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

impl Dynamic {
    fn of(info: &libc::dl_phdr_info) -> Option<Self> {
        let headers = headers(info)?;
        let dynamic = headers
            .iter()
            .find(|header| header.p_type == libc::PT_DYNAMIC)?;
        let base = info.dlpi_addr as usize;
        let entries =
            std::ptr::with_exposed_provenance(base.wrapping_add(dynamic.p_vaddr as usize));
        let len = dynamic.p_memsz as usize / size_of::<Entry>();
        // SAFETY: the section is a readable part of a loaded module. What is kept of it belongs to
        // modules that stay, and is not used otherwise.
        let entries: &[Entry] = unsafe { std::slice::from_raw_parts(entries, len) };
        let strings = entries.iter().find(|entry| entry.tag == STRINGS)?.value;
        // Some loaders put the address there, some leave what the linker wrote.
        let strings = if strings < base {
            base.wrapping_add(strings)
        } else {
            strings
        };
        Some(Self { entries, strings })
    }

    fn texts(self, tag: i64) -> impl Iterator<Item = &'static [u8]> {
        let entries = self.entries.iter().take_while(|entry| entry.tag != END);
        entries
            .filter(move |entry| entry.tag == tag)
            .map(move |entry| {
                let text = std::ptr::with_exposed_provenance::<c_char>(
                    self.strings.wrapping_add(entry.value),
                );
                // SAFETY: an entry of this kind is the place of a text in the section's strings,
                // which ends in 0.
                unsafe { CStr::from_ptr(text) }.to_bytes()
            })
    }
}

/// What the loader says of the parts of a module.
pub(super) fn headers(info: &libc::dl_phdr_info) -> Option<&[libc::Elf64_Phdr]> {
    if info.dlpi_phdr.is_null() {
        return None;
    }
    // SAFETY: the loader passes that many program headers.
    Some(unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    /// A module as the loader describes it, at address 0: its path, what it calls itself, and what
    /// it asks for.
    fn module(path: &str, own: &str, needed: &[&str]) -> libc::dl_phdr_info {
        let mut strings = vec![0];
        let mut entries = Vec::new();
        let names = needed.iter().map(|name| (NEEDED, *name));
        for (tag, name) in names.chain([(OWN_NAME, own)]) {
            if !name.is_empty() {
                let value = strings.len();
                entries.push(Entry { tag, value });
                strings.extend(name.bytes().chain([0]));
            }
        }
        let value = strings.leak().as_ptr().expose_provenance();
        entries.push(Entry {
            tag: STRINGS,
            value,
        });
        entries.push(Entry { tag: END, value: 0 });
        // What follows the end is not looked at.
        entries.push(Entry {
            tag: NEEDED,
            value: usize::MAX,
        });
        let entries = entries.leak();
        // SAFETY: both are valid when zero.
        let (mut header, mut info): (libc::Elf64_Phdr, libc::dl_phdr_info) =
            unsafe { std::mem::zeroed() };
        header.p_type = libc::PT_DYNAMIC;
        header.p_vaddr = entries.as_ptr().expose_provenance() as u64;
        header.p_memsz = size_of_val(entries) as u64;
        info.dlpi_name = CString::new(path).unwrap().into_raw();
        info.dlpi_phdr = Box::leak(Box::new(header));
        info.dlpi_phnum = 1;
        info
    }

    /// The numbers of the modules that were there at the start.
    fn check(loader: Option<usize>, modules: &[libc::dl_phdr_info], expect: &[usize]) {
        let mut linked = Linked::new(loader);
        let holds = (0..modules.len()).filter(|at| linked.holds(&modules[*at]));
        assert_eq!(holds.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn what_the_program_and_its_libraries_ask_for_was_there_at_the_start() {
        let program = || module("", "", &["liba.so.1", "ld.so", "./far/libp.so"]);
        let a = || module("/lib/liba.so.1", "liba.so.1", &["libb.so"]);
        let p = || module("./far/libp.so", "", &["libq.so.2"]);
        let loader = || module("/lib/ld.so", "ld.so", &[]);
        // Found by the name of its file, as it has none of its own, or by its own.
        let b = || module("/lib/libb.so", "", &["libc.so"]);
        let q = || module("/other/q", "libq.so.2", &[]);
        let c = || module("/lib/libc.so", "libc.so", &[]);
        let added = || module("/lib/added.so", "added.so", &["libd.so"]);
        let d = || module("/lib/libd.so", "libd.so", &[]);

        check(
            Some(2),
            &[program(), a(), loader(), p(), b(), q(), c()],
            &[0, 1, 2, 3, 4, 5, 6],
        );
        check(
            Some(1),
            &[program(), loader(), a(), added(), d()],
            &[0, 1, 2],
        );
        // Behind what was added nothing is from the start, whatever it is called.
        check(
            Some(1),
            &[program(), loader(), a(), added(), b()],
            &[0, 1, 2],
        );
        // Loaded because the environment says so: nobody asks for it by name.
        check(
            Some(2),
            &[program(), added(), loader(), a(), d(), c()],
            &[0, 1, 2, 3, 4],
        );
        // Without a loader in the list only names tell.
        check(None, &[program(), a(), added()], &[0, 1]);
        check(None, &[program(), added(), a()], &[0]);
    }

    #[test]
    fn more_modules_than_there_is_room_for_count_as_added() {
        let modules: Vec<_> = (0..MAX_MODULES + 2)
            .map(|_| module("a", "", &["a"]))
            .collect();
        check(None, &modules, &(0..MAX_MODULES).collect::<Vec<_>>());
    }
}
