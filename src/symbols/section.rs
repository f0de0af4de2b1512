//! A section of debug information as it is read.
//!
//! The section of texts is the largest of all, and of an inlined function's name nothing is wanted unless a
//! stack goes through it. So a text ends where somebody reads it: to pass it on touches no memory.

use std::borrow::Cow;

use addr2line::gimli::{self, EndianSlice, Reader, ReaderOffsetId, RunTimeEndian};

/// A part of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice<'s> {
    bytes: EndianSlice<'s, RunTimeEndian>,
    /// Begins with a text, and more may follow behind its zero.
    is_text: bool,
}

impl<'s> Slice<'s> {
    pub(super) fn new(bytes: &'s [u8], endian: RunTimeEndian) -> Self {
        Self {
            bytes: EndianSlice::new(bytes, endian),
            is_text: false,
        }
    }

    /// A section of texts, each ending with a zero.
    pub(super) fn texts(bytes: &'s [u8], endian: RunTimeEndian) -> Self {
        Self {
            is_text: true,
            ..Self::new(bytes, endian)
        }
    }

    /// What is read; nothing of a text without an end.
    pub(super) fn slice(&self) -> &'s [u8] {
        let bytes = self.bytes.slice();
        match self.is_text {
            true => {
                let end = self.bytes.find(0).unwrap_or(0);
                &bytes[..end]
            }
            false => bytes,
        }
    }

    pub(super) fn to_string_lossy(self) -> Cow<'s, str> {
        String::from_utf8_lossy(self.slice())
    }
}

impl Reader for Slice<'_> {
    type Endian = RunTimeEndian;
    type Offset = usize;

    #[inline]
    fn endian(&self) -> RunTimeEndian {
        self.bytes.endian()
    }

    #[inline]
    fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn empty(&mut self) {
        self.bytes.empty();
    }

    #[inline]
    fn truncate(&mut self, len: usize) -> gimli::Result<()> {
        self.bytes.truncate(len)
    }

    #[inline]
    fn offset_from(&self, base: &Self) -> usize {
        self.bytes.offset_from(base.bytes)
    }

    #[inline]
    fn offset_id(&self) -> ReaderOffsetId {
        self.bytes.offset_id()
    }

    #[inline]
    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.bytes.lookup_offset_id(id)
    }

    #[inline]
    fn find(&self, byte: u8) -> gimli::Result<usize> {
        Reader::find(&self.bytes, byte)
    }

    #[inline]
    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        self.bytes.skip(len)
    }

    #[inline]
    fn split(&mut self, len: usize) -> gimli::Result<Self> {
        let bytes = self.bytes.split(len)?;
        Ok(Self { bytes, ..*self })
    }

    /// Of a section of texts all that is left: nothing is read behind a text there.
    #[inline]
    fn read_null_terminated_slice(&mut self) -> gimli::Result<Self> {
        if self.is_text {
            let text = *self;
            self.empty();
            return Ok(text);
        }
        let bytes = self.bytes.read_null_terminated_slice()?;
        Ok(Self { bytes, ..*self })
    }

    #[inline]
    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        Ok(self.slice().into())
    }

    #[inline]
    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        let text = str::from_utf8(self.slice());
        Ok(text.map_err(|_| gimli::Error::BadUtf8)?.into())
    }

    #[inline]
    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        Ok((*self).to_string_lossy())
    }

    #[inline]
    fn read_slice(&mut self, buf: &mut [u8]) -> gimli::Result<()> {
        Reader::read_slice(&mut self.bytes, buf)
    }

    #[inline]
    fn read_u8(&mut self) -> gimli::Result<u8> {
        self.bytes.read_u8()
    }
}

#[cfg(test)]
mod tests {
    use addr2line::gimli::{DebugStr, DebugStrOffset};

    use super::*;

    #[test]
    fn a_text_ends_where_its_zero_is() {
        let texts = DebugStr::from(Slice::texts(b"ab\0c\0end", RunTimeEndian::Little));
        let text = |at| {
            let text = texts.get_str(DebugStrOffset(at)).ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        assert_eq!(text(0).as_deref(), Some("ab"));
        assert_eq!(text(1).as_deref(), Some("b"));
        assert_eq!(text(2).as_deref(), Some(""));
        assert_eq!(text(3).as_deref(), Some("c"));
        // Without an end, and behind the section.
        assert_eq!(text(5).as_deref(), Some(""));
        assert_eq!(text(9), None);
    }

    #[test]
    fn a_text_among_other_data_is_read_up_to_its_zero() {
        let mut section = Slice::new(b"ab\0c", RunTimeEndian::Little);
        let text = section
            .read_null_terminated_slice()
            .expect("there is a zero");
        assert_eq!(text.slice(), b"ab");
        assert_eq!(section.read_u8(), Ok(b'c'));
        assert!(section.read_null_terminated_slice().is_err());
    }
}
