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

/// The separate file of debug information of the module at `path`.
pub(super) fn find<'s>(
    stash: &'s Stash,
    path: &str,
    id: Option<&str>,
    object: Option<&object::File<'s>>,
) -> Option<object::File<'s>> {
    let by_id = id.and_then(by_build_id).and_then(|candidate| {
        let found = stash.files.add(Mapped::open(&candidate).ok()?).object()?;
        (build_id(&found).as_deref() == id).then_some(found)
    });
    by_id.or_else(|| by_link(stash, path, id, object?))
}

fn by_build_id(id: &str) -> Option<String> {
    let (folder, file) = id.split_at_checked(2)?;
    Some(format!("{DEBUG}/.build-id/{folder}/{file}.debug"))
}

fn by_link<'s>(
    stash: &'s Stash,
    path: &str,
    id: Option<&str>,
    object: &object::File<'s>,
) -> Option<object::File<'s>> {
    let (name, checksum) = object.gnu_debuglink().ok().flatten()?;
    let name = std::str::from_utf8(name).ok()?;
    let folder = Path::new(path).parent()?;
    let below = folder.strip_prefix("/").unwrap_or(folder);
    let places = [
        folder.join(name),
        folder.join(".debug").join(name),
        Path::new(DEBUG).join(below).join(name),
    ];
    places.into_iter().find_map(|place| {
        let mapped = Mapped::open(place.to_str()?).ok()?;
        let is_same = match id {
            Some(id) => build_id(&mapped.object()?).as_deref() == Some(id),
            None => crc32(mapped.bytes()) == checksum,
        };
        let found = is_same.then(|| stash.files.add(mapped))?.object()?;
        has_debug_info(&found).then_some(found)
    })
}

/// True if the file itself has debug information, compressed or not.
pub(super) fn has_debug_info(object: &object::File<'_>) -> bool {
    let section = object.section_by_name(".debug_info");
    section.is_some_and(|section| section.size() > 0)
}

/// The package of split debug information beside the file at `path`: `app.dwp`, `libapp.so.dwp`.
pub(super) fn package(path: &str) -> String {
    format!("{path}.dwp")
}

/// The file of one unit's split debug information.
pub(super) fn unit(directory: Option<&str>, name: &str) -> Option<String> {
    let path: PathBuf = directory
        .map_or_else(PathBuf::new, PathBuf::from)
        .join(name);
    path.to_str().map(str::to_owned)
}

/// The checksum of `.gnu_debuglink`, which files without a build id are told apart by.
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
        let found = by_build_id("ab0123");
        assert_eq!(
            found.as_deref(),
            Some("/usr/lib/debug/.build-id/ab/0123.debug")
        );
        assert_eq!(by_build_id("a"), None);
        assert_eq!(package("/opt/libapp.so"), "/opt/libapp.so.dwp");
        assert_eq!(unit(Some("/w"), "a.dwo").as_deref(), Some("/w/a.dwo"));
        assert_eq!(unit(Some("/w"), "/t/a.dwo").as_deref(), Some("/t/a.dwo"));
        assert_eq!(unit(None, "a.dwo").as_deref(), Some("a.dwo"));
    }
}
