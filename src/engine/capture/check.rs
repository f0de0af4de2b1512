//! Compares captured stacks with what the system unwinder reads, in builds made for that alone:
//! `RUSTFLAGS="--cfg tracemalloc_check"`.
//!
//! A process that has compared any prints two lines when it exits, and fails if any were different:
//!
//! ```text
//! tracemalloc check: 5234 stacks compared, 0 different
//! tracemalloc check: ended in unknown code: 17 stacks
//! ```
//!
//! Where nothing is known of the code, the tracer ends the stack and marks it. The system unwinder
//! may know more, for frames that were registered with it. Up to there it must have read equal frames.
//!
//! Everything here runs inside allocations of the traced program, so numbers are written by hand.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use crate::engine::memory::arena::Arena;
use crate::engine::memory::buffers::Buffers;
use crate::engine::memory::errno::KeepErrno;
use crate::engine::stacks::{StackId, Stacks};
use crate::engine::unwind::{DEEPEST, Mark, StackEnd, SystemUnwinder};

/// The first [`FIRST`] stacks of a process are compared, and one in [`ONE_IN`] of the others.
const FIRST: u64 = 2000;
const ONE_IN: u64 = 7;
/// Differences that are shown frame by frame.
const SHOWN: u64 = 3;
/// What a process with differences exits with.
const FAILURE: i32 = 101;

static SEEN: AtomicU64 = AtomicU64::new(0);
static COMPARED: AtomicU64 = AtomicU64::new(0);
static DIFFERENT: AtomicU64 = AtomicU64::new(0);
/// Stacks that the tracer has marked as ending in unknown code.
static INCOMPLETE: AtomicU64 = AtomicU64::new(0);
/// The process that prints: one that was forked has inherited the counts of its parent.
static PROCESS: AtomicI32 = AtomicI32::new(0);
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Not the tracer's: what a session may take does not change.
static ARENA: Arena = Arena::new();
static BUFFERS: Buffers<DEEPEST> = Buffers::new();
static PLATFORM: SystemUnwinder = SystemUnwinder::new();

/// Sees to it that the result is printed. May be called any number of times.
pub(crate) fn prepare() {
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        PLATFORM.prepare(&ARENA);
        // SAFETY: no conditions.
        PROCESS.store(unsafe { libc::getpid() }, Ordering::Relaxed);
        // SAFETY: the function is there as long as the program.
        unsafe { libc::atexit(report) };
    }
}

/// Compares `stack`, of which the `max_frames` most recent frames count, with what the system
/// unwinder reads beyond `mark`. Called from the function that has captured it, or one that this
/// one called.
#[inline(never)]
pub(crate) fn compare(stacks: &Stacks, stack: StackId, mark: Mark, max_frames: usize) {
    if stack == StackId::OVERFLOW {
        return;
    }
    let seen = SEEN.fetch_add(1, Ordering::Relaxed);
    if seen >= FIRST && !seen.is_multiple_of(ONE_IN) {
        return;
    }
    let _errno = KeepErrno::new();
    BUFFERS.lend(&ARENA, max_frames, |buffer| {
        let theirs = PLATFORM.capture_beyond(mark, buffer);
        let frames = buffer.get(..theirs.frames).unwrap_or_default();
        COMPARED.fetch_add(1, Ordering::Relaxed);
        let truncated = theirs.end == StackEnd::Truncated;
        if !is_same(stacks, stack, max_frames, frames, truncated) {
            let before = DIFFERENT.fetch_add(1, Ordering::Relaxed);
            if before < SHOWN {
                show(stacks, stack, max_frames, frames, truncated);
            }
        }
    });
}

/// Calls `visit` with the frames of `stack` that count. Returns what is beyond them.
fn read(
    stacks: &Stacks,
    stack: StackId,
    max_frames: usize,
    mut visit: impl FnMut(usize),
) -> StackEnd {
    let mut count = 0;
    let root = stacks.read(stack, |address| {
        if count < max_frames {
            visit(address);
        }
        count += 1;
    });
    match root {
        _ if count > max_frames => StackEnd::Truncated,
        StackId::TRUNCATED => StackEnd::Truncated,
        StackId::INCOMPLETE => StackEnd::UnknownCode,
        _ => StackEnd::Oldest,
    }
}

fn is_same(
    stacks: &Stacks,
    stack: StackId,
    max_frames: usize,
    frames: &[usize],
    truncated: bool,
) -> bool {
    let mut theirs = frames.iter();
    let mut same = true;
    let end = read(stacks, stack, max_frames, |address| {
        same &= theirs.next() == Some(&address);
    });
    if end == StackEnd::UnknownCode {
        INCOMPLETE.fetch_add(1, Ordering::Relaxed);
        return same;
    }
    same && theirs.next().is_none() && (end == StackEnd::Truncated) == truncated
}

/// Both stacks, most recent frames first.
#[cold]
fn show(stacks: &Stacks, stack: StackId, max_frames: usize, frames: &[usize], truncated: bool) {
    let mut line = Line::new();
    line.text(b"tracemalloc check: recorded");
    let end = read(stacks, stack, max_frames, |address| line.address(address));
    line.end(end == StackEnd::Truncated);
    line.text(b"tracemalloc check: unwound ");
    for address in frames {
        line.address(*address);
    }
    line.end(truncated);
}

extern "C" fn report() {
    let compared = COMPARED.load(Ordering::Relaxed);
    let different = DIFFERENT.load(Ordering::Relaxed);
    // SAFETY: no conditions.
    let own = unsafe { libc::getpid() } == PROCESS.load(Ordering::Relaxed);
    if own && compared > 0 || different > 0 {
        let mut line = Line::new();
        line.text(b"tracemalloc check: ");
        line.number(compared);
        line.text(b" stacks compared, ");
        line.number(different);
        line.text(b" different");
        line.end(false);
        line.text(b"tracemalloc check: ended in unknown code: ");
        line.number(INCOMPLETE.load(Ordering::Relaxed));
        line.text(b" stacks");
        line.end(false);
    }
    if different > 0 {
        // SAFETY: no conditions. Whatever else would run at exit does not matter any more.
        unsafe { libc::_exit(FAILURE) };
    }
}

/// Text on its way to standard error, in few pieces.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            bytes: [0; 256],
            len: 0,
        }
    }

    fn text(&mut self, text: &[u8]) {
        for byte in text {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.len == self.bytes.len() {
            self.flush();
        }
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn number(&mut self, number: u64) {
        if number > 9 {
            self.number(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    fn address(&mut self, address: usize) {
        self.text(b" ");
        for digit in (0..12).rev() {
            let value = (address >> (4 * digit)) as u8 & 15;
            self.byte(if value < 10 {
                b'0' + value
            } else {
                b'a' - 10 + value
            });
        }
    }

    fn end(&mut self, truncated: bool) {
        if truncated {
            self.text(b" ...");
        }
        self.byte(b'\n');
        self.flush();
    }

    fn flush(&mut self) {
        // SAFETY: `len` bytes are there. What cannot be written is lost.
        unsafe { libc::write(2, self.bytes.as_ptr().cast(), self.len) };
        self.len = 0;
    }
}
