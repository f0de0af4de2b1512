//! The first entry of a compile unit: the unit's name and directory.
//!
//! To read an entry takes its abbreviation. A reader of debug information keeps all abbreviations of a
//! unit, hundreds, and reads its table of lines. Here the others are passed over.

use addr2line::gimli::{
    self, AttributeValue, DebugAbbrev, DebugAbbrevOffset, Dwarf, EndianSlice, LittleEndian,
    Reader as _, Section as _, UnitHeader,
};

use super::debug_info::text;
use super::packages::CompileUnit;
use super::section::Slice;

/// Bytes of abbreviations that are looked through. Those of a large unit have some thousand.
const MAX_LEN: usize = 64 << 10;

/// What the first entry says.
pub(super) struct Root {
    name: String,
    directory: String,
}

impl Root {
    /// The unit, if it is of Rust code.
    pub(super) fn of_rust(&self) -> Option<CompileUnit> {
        CompileUnit::of(&self.name, &self.directory)
    }
}

/// Name and directory of the unit; `None` if they have to be read in another way: they are in another
/// file, or behind an index.
pub(super) fn names(dwarf: &Dwarf<Slice<'_>>, header: &UnitHeader<Slice<'_>>) -> Option<Root> {
    let code = {
        let start = header
            .debug_info_offset()?
            .0
            .checked_add(header.size_of_header())?;
        let mut entry = EndianSlice::new(
            dwarf.debug_info.reader().slice().get(start..)?,
            LittleEndian,
        );
        entry.read_uleb128().ok()?
    };
    let table = dwarf.debug_abbrev.reader();
    let table_start = table.slice().get(header.debug_abbrev_offset().0..)?;
    let mut first = abbreviation(table_start, code)?.to_vec();
    first.push(0);
    let abbreviations = DebugAbbrev::new(&first, table.endian());
    let abbreviations = abbreviations.abbreviations(DebugAbbrevOffset(0)).ok()?;
    let mut entries = header.entries(&abbreviations);
    let entry = entries.next_dfs().ok()??;
    let string = |name| match entry.attr_value(name) {
        Some(AttributeValue::String(string)) => text(string),
        Some(AttributeValue::DebugStrRef(at)) => text(dwarf.debug_str.get_str(at).ok()?),
        Some(AttributeValue::DebugLineStrRef(at)) => text(dwarf.debug_line_str.get_str(at).ok()?),
        _ => None,
    };
    Some(Root {
        name: string(gimli::DW_AT_name)?,
        directory: string(gimli::DW_AT_comp_dir).unwrap_or_default(),
    })
}

/// The abbreviation `code`: the code, a tag, whether there are children, and pairs of an attribute and a
/// form up to a pair of zeros.
fn abbreviation(table: &[u8], code: u64) -> Option<&[u8]> {
    let table = table.get(..MAX_LEN.min(table.len()))?;
    let mut rest = EndianSlice::new(table, LittleEndian);
    loop {
        let start = table.len() - rest.len();
        let found = rest.read_uleb128().ok().filter(|code| *code != 0)?;
        let _tag = rest.read_uleb128().ok()?;
        let _has_children = rest.read_u8().ok()?;
        loop {
            let pair = (rest.read_uleb128().ok()?, rest.read_uleb128().ok()?);
            if pair == (0, 0) {
                break;
            }
            if pair.1 == u64::from(gimli::DW_FORM_implicit_const.0) {
                rest.read_sleb128().ok()?;
            }
        }
        if found == code {
            return table.get(start..table.len() - rest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abbreviation_is_found_among_others() {
        let implicit = gimli::DW_FORM_implicit_const.0 as u8;
        let first = [
            1, 0x11, 1, 0x25, 0x0e, 0x3e, implicit, 0x81, 0x01, 0x03, 0x0e, 0, 0,
        ];
        let second = [0x82, 1, 0x34, 0, 0x03, 0x0e, 0, 0];
        let table = [&first[..], &second, &[0], &[3, 0x34, 0, 0, 0, 0]].concat();
        assert_eq!(abbreviation(&table, 1), Some(&first[..]));
        assert_eq!(abbreviation(&table, 130), Some(&second[..]));
        // Behind the end of the table there is another one.
        assert_eq!(abbreviation(&table, 3), None);
        for len in 0..first.len() {
            assert_eq!(abbreviation(&first[..len], 1), None, "{len} bytes");
        }
        assert_eq!(abbreviation(&[1; 1 << 20], 2), None);
    }
}
