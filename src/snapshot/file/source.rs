//! Decompression that stops where a file becomes larger than [`limits`] allow.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::limits;
use crate::error::Error;

/// The decompressed bytes of one gzip member.
pub(super) struct Source<R> {
    gzip: GzDecoder<Compressed<R>>,
    decoded: u64,
}

impl<R: Read> Source<R> {
    /// Refuses what does not begin as a gzip file does: an empty file or a report is no damaged snapshot.
    pub(super) fn new(input: R) -> Result<Self, Error> {
        const MAGIC: [u8; 2] = [0x1f, 0x8b];
        let mut input = BufReader::new(input);
        let begin = input.fill_buf().map_err(describe)?;
        if begin.is_empty() {
            return Err(limits::invalid("not a tracemalloc snapshot: it is empty"));
        }
        if !begin.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic) {
            return Err(limits::invalid(
                "not a tracemalloc snapshot: it does not begin as a gzip file does",
            ));
        }
        Ok(Self {
            gzip: GzDecoder::new(Compressed { input, used: 0 }),
            decoded: 0,
        })
    }

    /// Compressed bytes read so far.
    pub(super) fn compressed(&self) -> u64 {
        self.gzip.get_ref().used
    }

    /// Refuses anything that follows the member. Call it after the member was read to its end, when
    /// its checksum has been compared.
    pub(super) fn expect_end(&mut self) -> Result<(), Error> {
        match self.gzip.get_mut().fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(limits::invalid(format!(
                "more data follow the snapshot, which ends at byte {}",
                self.compressed()
            ))),
            Err(error) => Err(describe(error)),
        }
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.gzip.read(into)?;
        self.decoded += read as u64;
        limits::check_decoded(self.decoded, self.compressed()).map_err(refusal)?;
        Ok(read)
    }
}

/// What went wrong with the bytes: the file's fault or the system's.
pub(super) fn describe(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => limits::invalid("the compressed data end too early"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            limits::invalid(error.to_string())
        }
        _ => Error::io("cannot read", error),
    }
}

fn refusal(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Counts the bytes that the decoder has used, which are fewer than those that were read ahead.
struct Compressed<R> {
    input: BufReader<R>,
    used: u64,
}

impl<R: Read> Read for Compressed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Compressed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used > limits::BYTES {
            let message = format!("more than {} compressed bytes", limits::BYTES);
            return Err(refusal(limits::invalid(message)));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.used += bytes as u64;
        self.input.consume(bytes);
    }
}
