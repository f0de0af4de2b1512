//! The file of the running program, however it was started.
//!
//! The system tells which file it has started, which is the program's but for one way: the dynamic
//! loader given as the command, as in `ld.so ./app`. The loader then puts the program's path where the
//! system had put its own.

use std::path::PathBuf;

use once_cell::race::OnceBox;

/// Path of the running program; empty if the system does not tell. The system is asked once.
pub(super) fn executable() -> String {
    static PATH: OnceBox<String> = OnceBox::new();
    let ask = || {
        let started = loader::path().or_else(|| std::env::current_exe().ok());
        let path = started.unwrap_or_default();
        let path = path.to_string_lossy();
        // What Linux appends when the file was replaced, as by a new build.
        Box::new(path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned())
    };
    PATH.get_or_init(ask).clone()
}

/// True if the dynamic loader was given as the command. Makes no system call.
pub(crate) fn was_started_by_loader() -> bool {
    loader::is_command()
}

/// The file that is mapped at `address`, as the system tells it; `None` if there is none.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(super) fn mapped_at(address: usize) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| file_of(line, address))
}

/// The file of one line of `/proc/self/maps`, if the line is about `address`.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn file_of(line: &str, address: usize) -> Option<PathBuf> {
    let (range, _) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    let holds = (number(start)?..number(end)?).contains(&address);
    let file = line.find('/').filter(|_| holds)?;
    Some(line.get(file..)?.into())
}

/// The name of the executable file without its folder, if the system tells it.
pub(crate) fn program_file() -> Option<String> {
    let path = executable();
    let name = base_name(&path);
    (!name.is_empty()).then(|| name.to_owned())
}

pub(super) fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(all(target_os = "linux", not(miri)))]
mod loader {
    #![expect(
        unsafe_code,
        reason = "what the system tells a new program lies in memory"
    )]

    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    #[cfg(target_pointer_width = "32")]
    use libc::Elf32_Phdr as Header;
    #[cfg(target_pointer_width = "64")]
    use libc::Elf64_Phdr as Header;

    fn auxiliary(kind: libc::c_ulong) -> usize {
        // SAFETY: reads a list that never changes after the program has begun.
        let value = unsafe { libc::getauxval(kind) };
        usize::try_from(value).unwrap_or(0)
    }

    /// The system has loaded no interpreter for this program, which asks for one.
    pub(super) fn is_command() -> bool {
        const INTERPRETER: u32 = libc::PT_INTERP;
        if auxiliary(libc::AT_BASE) != 0 || auxiliary(libc::AT_PHENT) != size_of::<Header>() {
            return false;
        }
        let headers = std::ptr::with_exposed_provenance::<Header>(auxiliary(libc::AT_PHDR));
        if headers.is_null() {
            return false;
        }
        // SAFETY: the system, or after it the loader, gives address and number of the program's
        // headers, which are mapped read-only for as long as the program runs.
        let headers = unsafe { std::slice::from_raw_parts(headers, auxiliary(libc::AT_PHNUM)) };
        headers.iter().any(|header| header.p_type == INTERPRETER)
    }

    /// The path that the loader was given; `None` if the program was started otherwise.
    pub(super) fn path() -> Option<PathBuf> {
        if !is_command() {
            return None;
        }
        let name = std::ptr::with_exposed_provenance::<libc::c_char>(auxiliary(libc::AT_EXECFN));
        if name.is_null() {
            return None;
        }
        // SAFETY: the loader gives a C string, which is one of the program's arguments.
        let name = unsafe { CStr::from_ptr(name) };
        std::path::absolute(OsStr::from_bytes(name.to_bytes())).ok()
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod loader {
    //! Where the system's answer is always the program's file, or nobody knows better.

    use std::path::PathBuf;

    pub(super) fn is_command() -> bool {
        false
    }

    pub(super) fn path() -> Option<PathBuf> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_have_no_folder() {
        assert_eq!(base_name("/usr/bin/myapp"), "myapp");
        assert_eq!(base_name(r"C:\bin\myapp.exe"), "myapp.exe");
        assert_eq!(base_name("myapp"), "myapp");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_mapped_file_is_on_the_line_of_the_address() {
        let line = "7f00-7f20 r-xp 00000000 fe:00 17        /w/my app";
        assert_eq!(file_of(line, 0x7f1f), Some("/w/my app".into()));
        assert_eq!(file_of(line, 0x7f20), None);
        assert_eq!(
            file_of("7f00-7f20 rw-p 00000000 00:00 0 [heap]", 0x7f00),
            None
        );
        assert_eq!(file_of("", 0), None);
    }

    /// Tests are started as themselves.
    #[cfg(target_os = "linux")]
    #[test]
    fn this_program_is_what_the_system_says_it_has_started() {
        assert!(!was_started_by_loader());
        let code = this_program_is_what_the_system_says_it_has_started as fn() as usize;
        let started = std::env::current_exe().expect("a test has a file");
        assert_eq!(mapped_at(code), Some(started.clone()));
        assert_eq!(executable(), started.to_string_lossy());
    }
}
