//! The build id of a module, as it is in memory.

/// The build id among the notes of a segment, in lower-case hexadecimal. `alignment` is that of the
/// segment.
pub(super) fn among(notes: &[u8], alignment: usize) -> Option<String> {
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
            assert_eq!(among(&notes, alignment).as_deref(), Some("dead000f"));
        }
    }

    /// Lengths that lead out of the segment end the search; nothing behind the bytes is read.
    #[test]
    fn damaged_notes_hold_no_build_id() {
        let whole = note(b"GNU\0", 3, &[0xab; 20], 4);
        for len in 0..whole.len() {
            assert_eq!(among(&whole[..len], 4), None, "cut to {len} bytes");
        }
        let mut huge = whole.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(among(&huge, 4), None);
        let mut long_name = whole;
        long_name[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(among(&long_name, 4), None);
        assert_eq!(among(&note(b"GNU\0", 3, &[], 4), 4), None);
    }
}
