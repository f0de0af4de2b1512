//! Where debug information lies that is not in the file of machine code itself.
//!
//! The places are those that gdb searches: by build id and by the name that the file gives
//! (`.gnu_debuglink`), below `/usr/lib/debug` and beside the file. A file counts only if it is of
//! the same build.

use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

use super::file::{Mapped, build_id};
use super::stash::Stash;

const DEBUG: &str = "/usr/lib/debug";

/// The separate file of debug information of a module, and its path. `object`: a file of the module
/// that names its debug information, and where that file is.
pub(super) fn find<'s>(
    stash: &'s Stash,
    id: Option<&str>,
    object: Option<(&object::File<'s>, &Path)>,
    folders: &[PathBuf],
) -> Option<(object::File<'s>, PathBuf)> {
    let mut folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    folders.push(Path::new(DEBUG));
    let by_id = id.and_then(|id| {
        let mut places = folders.iter().filter_map(|folder| by_build_id(folder, id));
        places.find_map(|path| {
            let found = stash.files.add(Mapped::open(&path).ok()?).object()?;
            (build_id(&found).as_deref() == Some(id)).then_some((found, path))
        })
    });
    let (object, path) = match (by_id, object) {
        (Some(found), _) => return Some(found),
        (None, object) => object?,
    };
    by_link(stash, path, id, object, &folders)
}

fn by_build_id(folder: &Path, id: &str) -> Option<PathBuf> {
    let (first, rest) = id.split_at_checked(2)?;
    let file = format!("{rest}.debug");
    Some(folder.join(".build-id").join(first).join(file))
}

fn by_link<'s>(
    stash: &'s Stash,
    path: &Path,
    id: Option<&str>,
    object: &object::File<'s>,
    folders: &[&Path],
) -> Option<(object::File<'s>, PathBuf)> {
    let (name, checksum) = object.gnu_debuglink().ok().flatten()?;
    let name = std::str::from_utf8(name).ok()?;
    let folder = path.parent()?;
    let below = folder.strip_prefix("/").unwrap_or(folder);
    let mut places = vec![folder.join(name), folder.join(".debug").join(name)];
    for folder in folders {
        places.extend([folder.join(below).join(name), folder.join(name)]);
    }
    places.into_iter().find_map(|place| {
        let mapped = Mapped::open(&place).ok()?;
        let is_same = match id {
            Some(id) => build_id(&mapped.object()?).as_deref() == Some(id),
            None => crc32(mapped.bytes()) == checksum,
        };
        let found = is_same.then(|| stash.files.add(mapped))?.object()?;
        has_debug_info(&found).then_some((found, place))
    })
}

/// True if the file itself has debug information, compressed or not.
pub(super) fn has_debug_info(object: &object::File<'_>) -> bool {
    let section = object.section_by_name(".debug_info");
    section.is_some_and(|section| section.size() > 0)
}

/// The package of split debug information beside the file at `path`: `app.dwp`, `libapp.so.dwp`.
pub(super) fn package(path: &Path) -> PathBuf {
    let mut package = path.as_os_str().to_owned();
    package.push(".dwp");
    package.into()
}

/// The file of one unit's split debug information.
pub(super) fn unit(directory: Option<&str>, name: &str) -> Option<String> {
    let path: PathBuf = directory
        .map_or_else(PathBuf::new, PathBuf::from)
        .join(name);
    path.to_str().map(str::to_owned)
}

/// The checksum of `.gnu_debuglink`, which identifies files without a build id.
fn crc32(bytes: &[u8]) -> u32 {
    const fn entry(mut value: u32) -> u32 {
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (0xedb8_8320 & (value & 1).wrapping_neg());
            bit += 1;
        }
        value
    }
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            table[at] = entry(at as u32);
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum: u32, byte| {
        TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value that the standard gives for this checksum.
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn files_are_named_after_what_they_belong_to() {
        let folder = Path::new("/usr/lib/debug");
        let found = by_build_id(folder, "ab0123");
        let expected = Path::new("/usr/lib/debug/.build-id/ab/0123.debug");
        assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(by_build_id(folder, "a"), None);
        let package = package(Path::new("/opt/libapp.so"));
        assert_eq!(package, Path::new("/opt/libapp.so.dwp"));
        assert_eq!(unit(Some("/w"), "a.dwo").as_deref(), Some("/w/a.dwo"));
        assert_eq!(unit(Some("/w"), "/t/a.dwo").as_deref(), Some("/t/a.dwo"));
        assert_eq!(unit(None, "a.dwo").as_deref(), Some("a.dwo"));
    }
}
