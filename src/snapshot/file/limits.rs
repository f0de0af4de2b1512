//! What a file may hold. The reader refuses what is beyond; the writer refuses to write it, so that
//! a file that could be saved can be loaded.

use crate::error::{Error, ErrorKind};

/// Bytes, compressed and decompressed alike.
pub(super) const BYTES: u64 = 1 << 30;

/// Bytes of one text. Names of Rust functions reach some hundred thousand.
const TEXT: usize = 1 << 20;

/// Frames of one stack. The engine keeps 65,535 calls at most, and a call can stand for several
/// inlined frames.
const DEPTH: u32 = 1 << 17;

/// Decompressed bytes that a file may have before their proportion to its size matters.
const DECODED_BASE: u64 = 16 << 20;

/// Decompressed bytes per compressed byte beyond that. Snapshots of programs have 3 to 20. What is
/// loaded takes at most ten times the decompressed bytes, so this bounds what a reader allocates.
const DECODED_RATIO: u64 = 32;

/// Frames of all stacks together. Stacks share their callers in memory as in the file, so these are
/// no memory; they bound the time that an analysis of all stacks takes. A chain of n calls whose
/// every prefix is a stack has n * n / 2.
const FRAMES_BASE: u64 = 32 << 20;
const FRAMES_RATIO: u64 = 256;

/// Maximum number of decompressed bytes that `compressed` bytes may become.
pub(super) fn decoded(compressed: u64) -> u64 {
    BYTES.min(DECODED_BASE + compressed.saturating_mul(DECODED_RATIO))
}

pub(super) fn check_decoded(bytes: u64, compressed: u64) -> Result<(), Error> {
    let max = decoded(compressed);
    if bytes > max {
        return Err(invalid(format!(
            "the first {compressed} compressed bytes expand to more than {max} bytes"
        )));
    }
    Ok(())
}

pub(super) fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > TEXT {
        let len = text.len();
        return Err(invalid(format!(
            "{what} is {len} bytes long; a text has {TEXT} at most"
        )));
    }
    Ok(())
}

/// Adds up the frames of the stacks, refusing each stack before it is built.
#[derive(Default)]
pub(super) struct Frames(u64);

impl Frames {
    pub(super) fn add(&mut self, stack: usize, depth: u32) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(invalid(format!(
                "stack {stack} has {depth} frames; a stack has {DEPTH} at most"
            )));
        }
        self.0 += u64::from(depth);
        Ok(())
    }

    pub(super) fn check(&self, compressed: u64) -> Result<(), Error> {
        let max = FRAMES_BASE + compressed.saturating_mul(FRAMES_RATIO);
        if self.0 > max {
            return Err(invalid(format!(
                "the stacks have more than {max} frames together, too many \
                 for a file of {compressed} bytes"
            )));
        }
        Ok(())
    }
}

/// Adds up the runs, so that no sum over blocks can overflow later. What the blocks of a sample
/// stand for may be beyond that: estimates stop at the greatest number.
#[derive(Default)]
pub(super) struct Totals {
    blocks: u64,
    bytes: u64,
}

impl Totals {
    pub(super) fn add(&mut self, run: usize, size: u64, count: u64) -> Result<(), Error> {
        self.blocks = self
            .blocks
            .checked_add(count)
            .filter(|blocks| i64::try_from(*blocks).is_ok())
            .ok_or_else(|| {
                invalid(format!(
                    "the blocks up to run {run} are more than can be counted"
                ))
            })?;
        self.bytes = size
            .checked_mul(count)
            .and_then(|bytes| self.bytes.checked_add(bytes))
            .ok_or_else(|| {
                invalid(format!(
                    "the bytes up to run {run} are more than can be counted"
                ))
            })?;
        Ok(())
    }
}

#[cold]
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidFile, message)
}
