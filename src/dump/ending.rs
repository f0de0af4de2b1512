//! The snapshot of a process that a signal ends.
//!
//! ```text
//! handler of the signal          thread
//! ---------------------          ------
//! write the signal to a pipe ──> save the snapshot
//!                                the handler is still this one: default action, signal again
//! a second time: default action, signal again
//! ```
//!
//! In the end the signal ends the process by its default action, so the parent process sees
//! what it would have seen.
#![expect(unsafe_code, reason = "signals are C functions")]

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use super::at_exit;
use crate::engine::KeepErrno;
use crate::error::Error;

/// Signals that end a program which does not handle them, and that people send for that.
pub(crate) const SIGNALS: [(&str, c_int); 3] = [
    ("INT", libc::SIGINT),
    ("TERM", libc::SIGTERM),
    ("HUP", libc::SIGHUP),
];

/// The process that has the thread, 0 for none: the child of a fork has the handler alone.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// Where the handler writes.
static PIPE: AtomicI32 = AtomicI32::new(-1);
/// A signal has come, and its snapshot is not yet saved.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// What the process does on a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It ends.
    Default,
    /// Nothing: the parent process has chosen to ignore it.
    Ignored,
    /// This module's handler.
    Ours,
    /// A handler of the program's.
    Programs,
}

fn handler() -> libc::sighandler_t {
    on_signal as extern "C" fn(c_int) as libc::sighandler_t
}

/// What the process does on `signal` now.
pub(crate) fn disposition(signal: c_int) -> Disposition {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks, and fills the structure unless it fails.
    if unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) } != 0 {
        return Disposition::Ignored;
    }
    // SAFETY: filled.
    match unsafe { now.assume_init() }.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        ours if ours == handler() => Disposition::Ours,
        _ => Disposition::Programs,
    }
}

/// System calls that the signal interrupts go on: `signal` of Linux' and BSD's C libraries asks for that.
fn set(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: the default action, or the handler below, which does what a handler may.
    unsafe { libc::signal(signal, handler) };
}

/// Saves the snapshot of the exit before one of `signals` ends the process. Those that are ignored stay
/// ignored, and those that the program handles stay the program's.
pub(crate) fn dump_at_end(signals: &[c_int]) -> Result<(), Error> {
    // SAFETY: takes nothing and returns a number.
    let me = unsafe { libc::getpid() };
    if PROCESS.load(Ordering::Acquire) != me {
        start_thread()?;
        PROCESS.store(me, Ordering::Release);
    }
    for signal in signals {
        if disposition(*signal) == Disposition::Default {
            set(*signal, handler());
        }
    }
    Ok(())
}

/// Async-signal-safe: it calls functions that are so, and allocates nothing.
extern "C" fn on_signal(signal: c_int) {
    let _errno = KeepErrno::new();
    // SAFETY: takes nothing and returns a number.
    let is_mine = unsafe { libc::getpid() } == PROCESS.load(Ordering::Acquire);
    let is_first = is_mine && !BEGUN.swap(true, Ordering::AcqRel);
    let byte = signal as u8;
    let pipe = PIPE.load(Ordering::Acquire);
    // SAFETY: reads one byte of a variable.
    let is_told = is_first && unsafe { libc::write(pipe, ptr::from_ref(&byte).cast(), 1) } == 1;
    if !is_told {
        end(signal);
    }
}

/// Has the default action end the process. In the handler, the signal comes when that returns.
fn end(signal: c_int) {
    set(signal, libc::SIG_DFL);
    // SAFETY: takes a number.
    unsafe { libc::raise(signal) };
}

/// Starts the thread that saves the snapshot. It takes no signals: those are for the program's threads,
/// which may wait for some.
fn start_thread() -> Result<(), Error> {
    let cannot = |error| Error::io("cannot start a thread", error);
    let (reader, writer) = io::pipe().map_err(cannot)?;
    let before = block_all();
    let started = thread::Builder::new()
        .name("tracemalloc".to_owned())
        .spawn(move || serve(reader));
    // SAFETY: reads the set that there was before.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    started.map_err(cannot)?;
    use std::os::fd::IntoRawFd;
    // Never closed: a handler may write at any time.
    PIPE.store(writer.into_raw_fd(), Ordering::Release);
    Ok(())
}

/// Blocks all signals for this thread. The set that there was before.
fn block_all() -> libc::sigset_t {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: reads the set just filled, and fills the other one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: just filled.
    unsafe { before.assume_init() }
}

fn unblock(signal: c_int) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: fills the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: adds to the set just filled.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) };
}

/// Saves a snapshot for each signal that comes, until one ends the process.
fn serve(mut reader: io::PipeReader) {
    use std::io::Read;
    let mut byte = [0];
    while reader.read_exact(&mut byte).is_ok() {
        let signal = c_int::from(byte[0]);
        let name = SIGNALS.iter().find(|(_, number)| *number == signal);
        let occasion = name.map_or("at a signal".to_owned(), |(name, _)| {
            format!("at SIG{name}")
        });
        // The panic hook has already reported a panic.
        let _ = catch_unwind(|| at_exit::save(&occasion));
        // A handler that the program has set since may have called this one's: then the program ends
        // itself, or continues.
        if disposition(signal) == Disposition::Ours {
            unblock(signal);
            end(signal);
        }
        BEGUN.store(false, Ordering::Release);
    }
}
