//! Sections of a file, decompressed within bounds.

use std::io::Read;

use object::{CompressedData, CompressionFormat, Object, ObjectSection};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::stash::Stash;

/// Debug information grows 3 to 8 times. What claims to grow much more is no debug information.
const MAX_GROWTH: u64 = 100;
/// Allowed in any case.
const SMALL: u64 = 1 << 20;

/// The contents of a section, decompressed if need be; nothing if the file does not have it or it
/// cannot be decompressed.
pub(super) fn contents<'s>(stash: &'s Stash, object: &object::File<'s>, name: &str) -> &'s [u8] {
    let section = object.section_by_name(name);
    let Some(data) = section.and_then(|section| section.compressed_data().ok()) else {
        return &[];
    };
    if data.format == CompressionFormat::None {
        return data.data;
    }
    match decompressed(&data) {
        Some(data) => stash.sections.add(data),
        None => &[],
    }
}

/// Bytes of all debug information in the file, and of what of it has to be decompressed.
pub(super) fn debug_sizes(object: &object::File<'_>) -> (u64, u64) {
    let (mut all, mut compressed) = (0_u64, 0_u64);
    for section in object.sections() {
        let is_debug = section.name_bytes().is_ok_and(|name| {
            [&b".debug_"[..], b".zdebug_"]
                .iter()
                .any(|start| name.starts_with(start))
        });
        if let (true, Ok(data)) = (is_debug, section.compressed_data()) {
            all = all.saturating_add(data.uncompressed_size);
            if data.format != CompressionFormat::None {
                compressed = compressed.saturating_add(data.uncompressed_size);
            }
        }
    }
    (all, compressed)
}

/// The data, if it is as large as it says and that is not too large.
fn decompressed(data: &CompressedData<'_>) -> Option<Vec<u8>> {
    let len = data.data.len() as u64;
    let most = len.saturating_mul(MAX_GROWTH).max(SMALL);
    if data.uncompressed_size > most {
        return None;
    }
    match data.format {
        CompressionFormat::Zstandard => zstd(data.data, data.uncompressed_size),
        // Fills what is reserved for the size and no more.
        _ => Some(data.decompress().ok()?.into_owned()),
    }
}

/// Frames one after the other, as linkers write them.
fn zstd(mut input: &[u8], size: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(size).ok()?;
    let mut found = Vec::new();
    found.try_reserve_exact(len).ok()?;
    while !input.is_empty() {
        let decoder = match StreamingDecoder::new(&mut input) {
            Ok(decoder) => decoder,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                input = input.get(length as usize..)?;
                continue;
            }
            Err(_) => return None,
        };
        let room = size.checked_sub(found.len() as u64)?.checked_add(1)?;
        decoder.take(room).read_to_end(&mut found).ok()?;
        if found.len() > len {
            return None;
        }
    }
    (found.len() == len).then_some(found)
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn data(format: CompressionFormat, data: &[u8], uncompressed_size: u64) -> CompressedData<'_> {
        CompressedData {
            format,
            data,
            uncompressed_size,
        }
    }

    #[test]
    fn what_is_larger_than_it_says_is_refused() {
        let text: Vec<u8> = (0..20_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let packed = compress_to_vec(&text[..], CompressionLevel::Fastest);
        let zstd =
            |size: usize| decompressed(&data(CompressionFormat::Zstandard, &packed, size as u64));
        assert_eq!(zstd(text.len()).as_deref(), Some(&text[..]));
        for size in [0, 1, text.len() - 1, text.len() + 1] {
            assert_eq!(zstd(size), None, "{size}");
        }
        let twice = [&packed[..], &packed].concat();
        let both = data(CompressionFormat::Zstandard, &twice, 2 * text.len() as u64);
        assert_eq!(
            decompressed(&both).map(|data| data.len()),
            Some(2 * text.len())
        );
        for len in 0..packed.len().min(100) {
            let cut = data(
                CompressionFormat::Zstandard,
                &packed[..len],
                text.len() as u64,
            );
            assert_eq!(decompressed(&cut), None);
        }
    }

    #[test]
    fn sections_that_grow_without_end_are_refused() {
        let zeros = vec![0_u8; 4 << 20];
        let packed = compress_to_vec(&zeros[..], CompressionLevel::Fastest);
        assert!(packed.len() < zeros.len() / 200);
        let bomb = data(CompressionFormat::Zstandard, &packed, zeros.len() as u64);
        assert_eq!(decompressed(&bomb), None);
        for format in [CompressionFormat::Zstandard, CompressionFormat::Zlib] {
            assert_eq!(decompressed(&data(format, &packed, u64::MAX)), None);
            let nothing = decompressed(&data(format, &[], 0));
            assert!(nothing.is_none_or(|data| data.is_empty()));
        }
    }
}
