//! Which part of a stack a reader wants to see.
//!
//! A stack begins in the start-up code of the system and ends in the allocator; the reader's own
//! code lies between. Both ends are dropped. What lies in the middle stays, the standard library's
//! frames too: a sort that calls the program back, a lazy value that is made.
//!
//! Generic code of the standard library is compiled into the program's crates, and the program's
//! closures and trait methods run inside of the standard library. So a frame is judged by the
//! function's path and by its file, never by the module it is in.

use std::ops::Range;

use crate::snapshot::Frame;
use crate::snapshot::UNKNOWN;

use super::functions::bare_name;

/// This crate, as the compiler calls it.
pub(super) const OWN_CRATE: &str = env!("CARGO_CRATE_NAME");

/// Crates whose frames are dropped at the ends: the standard library, what it is built from, and
/// the stack reader.
const LIBRARIES: [&str; 8] = [
    "alloc",
    "allocator_api2",
    "backtrace",
    "core",
    "hashbrown",
    "proc_macro",
    "std",
    "test",
];

/// Crates that are built into the standard library and are not known by name: a program may use its
/// own builds of them.
const BUILT_IN: [&str; 9] = [
    "addr2line",
    "adler2",
    "cfg_if",
    "gimli",
    "libc",
    "memchr",
    "miniz_oxide",
    "object",
    "rustc_demangle",
];

/// The symbols between the standard library and the global allocator.
const ALLOCATION_SHIMS: [&str; 12] = [
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_dealloc",
    "__rust_realloc",
    "__rg_alloc",
    "__rg_alloc_zeroed",
    "__rg_dealloc",
    "__rg_realloc",
    "__rdl_alloc",
    "__rdl_alloc_zeroed",
    "__rdl_dealloc",
    "__rdl_realloc",
];

/// Code of the system, in C, that starts the program or a thread, or ends it and runs destructors.
const C_STARTUP: [&str; 34] = [
    "_start",
    "_start_c",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "libc_start_main_stage2",
    "generic_start_main",
    "start_thread",
    "__pthread_start",
    "_pthread_start",
    "pthread_start",
    "thread_start",
    "thr_start",
    "__bionic_clone",
    "__clone",
    "clone",
    "__clone3",
    "clone3",
    "__start_thread",
    "_dl_init",
    "call_init",
    "__call_tls_dtors",
    "__GI___call_tls_dtors",
    "__nptl_deallocate_tsd",
    "__run_exit_handlers",
    "__funcs_on_exit",
    "__libc_exit_fini",
    "__pthread_tsd_run_dtors",
    "mainCRTStartup",
    "__scrt_common_main_seh",
    "__tmainCRTStartup",
    "invoke_main",
    "BaseThreadInitThunk",
    "RtlUserThreadStart",
];

/// Start-up code whose name anybody's function may have: it has no line, as in a system's own files
/// or in the `main` that the compiler makes.
const C_STARTUP_WITHOUT_LINES: [&str; 2] = ["main", "start"];
/// Or it has, in this file of musl's.
const MUSL_THREADS: (&str, &str) = ("start", "src/thread/pthread_create.c");

/// Where the standard library hands over to the program's `main` or a thread's function.
const RUST_STARTUP: [&str; 4] = [
    "lang_start",
    "lang_start_internal",
    "thread_start",
    "__rust_begin_short_backtrace",
];

/// Functions of the runtime whose names have no path.
const BARE_RUNTIME: [&str; 5] = [
    "__rust_begin_short_backtrace",
    "__rust_end_short_backtrace",
    "__rust_maybe_catch_panic",
    "__rust_try",
    "rust_begin_unwind",
];

/// What a frame is to [`visible`]: a set, as one frame may be several things. Made once for each frame,
/// because a frame is in many stacks and its names take long to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role(u16);

impl Role {
    const RUNTIME: u16 = 1;
    const OWN: u16 = 2;
    const SHIM: u16 = 4;
    const STARTUP: u16 = 8;
    const NAMELESS: u16 = 16;
    const LIBRARY: u16 = 32;
    const CALLED: u16 = 64;
    const SYMBOL_READER: u16 = 128;
    const BACKTRACE: u16 = 256;

    pub(crate) fn of(frame: &Frame) -> Self {
        let roles = [
            (Self::RUNTIME, is_runtime(frame)),
            (Self::OWN, is_own(frame)),
            (Self::SHIM, is_shim(frame)),
            (Self::STARTUP, is_startup(frame)),
            (Self::NAMELESS, is_nameless(frame)),
            (Self::LIBRARY, is_library(frame)),
            (Self::CALLED, is_called_by_library(frame)),
            (Self::SYMBOL_READER, is_symbol_reader(frame)),
            (Self::BACKTRACE, is_kept_backtrace(frame)),
        ];
        let has = roles.into_iter().filter(|(_, has)| *has);
        Self(has.map(|(role, _)| role).sum())
    }

    /// True for frames of the standard library and of the allocator below it.
    pub(crate) fn is_library(self) -> bool {
        self.is(Self::LIBRARY | Self::SHIM | Self::OWN)
    }

    fn is(self, any: u16) -> bool {
        self.0 & any != 0
    }
}

/// The frames of an expanded stack, oldest first, without the runtime's at both ends.
///
/// Never empty for a stack that is not: if all frames are the runtime's, only those of this crate
/// and of the shims in front of the allocator are dropped, and if nothing remains then, none are.
pub(crate) fn visible(stack: &[Role]) -> Range<usize> {
    let before_allocator = &stack[..allocator_end(stack)];
    let start = startup_len(before_allocator);
    let end = runtime_start(before_allocator);
    if start < end {
        start..end
    } else if before_allocator.is_empty() {
        0..stack.len()
    } else {
        0..before_allocator.len()
    }
}

/// Where the allocator's frames begin: all that a shim calls is the allocator.
fn allocator_end(stack: &[Role]) -> usize {
    let shim = stack.iter().rposition(|role| role.is(Role::SHIM));
    let end = shim.unwrap_or(stack.len());
    len_without(&stack[..end], Role::OWN)
}

/// Where the runtime's frames at the most recent end begin.
fn runtime_start(stack: &[Role]) -> usize {
    let mut end = len_without(stack, Role::RUNTIME);
    // Code that the standard library calls and that calls it back is a part of it:
    // `_Unwind_Backtrace`, which collects a backtrace, and the crates that read its names.
    loop {
        let called = len_without(&stack[..end], Role::CALLED);
        let is_between = called < end && end < stack.len();
        let caller = stack[..called].last();
        if !is_between || !caller.is_some_and(|role| role.is(Role::LIBRARY)) {
            break;
        }
        end = len_without(&stack[..called], Role::RUNTIME);
    }
    // It keeps what it has read of debug information, for all callers.
    let hidden = &stack[end..];
    let reader = hidden.iter().position(|role| role.is(Role::SYMBOL_READER));
    let is_given_away = hidden.iter().any(|role| role.is(Role::BACKTRACE));
    match reader {
        Some(at) if !is_given_away => end + at + 1,
        _ => end,
    }
}

/// True for code that may be the standard library's if that has called it: of other languages, and
/// of crates that are built into it. Those have files elsewhere if they are the program's.
fn is_called_by_library(frame: &Frame) -> bool {
    let in_library = frame.code().is_some_and(|(module, _)| module.is_library());
    match frame.crate_name() {
        Some(name) => frame.is_named() && BUILT_IN.contains(&name),
        None => {
            let is_known = frame.function().is_some() || in_library;
            is_known && !frame.filename().ends_with(".rs")
        }
    }
}

/// True for the standard library's reader of debug information.
fn is_symbol_reader(frame: &Frame) -> bool {
    let function = frame.function().unwrap_or_default();
    frame
        .filename()
        .starts_with("<std>/backtrace/src/symbolize/")
        || function.contains("std::backtrace_rs::symbolize::")
}

/// True where a name that was read becomes part of a `std::backtrace::Backtrace`.
fn is_kept_backtrace(frame: &Frame) -> bool {
    let function = frame.function().unwrap_or_default();
    frame.filename() == "<std>/std/src/backtrace.rs" && function.contains("resolve")
        || function.contains("std::backtrace::helper::")
        || function.contains("std::backtrace::Capture>::resolve")
}

/// The length without the frames at the most recent end that are `dropped`.
fn len_without(stack: &[Role], dropped: u16) -> usize {
    let last = stack.iter().rposition(|role| !role.is(dropped));
    last.map_or(0, |last| last + 1)
}

/// How many frames at the oldest end are the runtime's. Frames without a name count if start-up
/// code that has one came after them, as in a stripped program on a C library with symbols.
fn startup_len(stack: &[Role]) -> usize {
    let started = stack
        .iter()
        .take_while(|role| role.is(Role::RUNTIME | Role::NAMELESS))
        .enumerate()
        .filter(|(_, role)| role.is(Role::STARTUP))
        .last()
        .map_or(0, |(at, _)| at + 1);
    let more = stack[started..]
        .iter()
        .take_while(|role| role.is(Role::RUNTIME));
    started + more.count()
}

fn is_runtime(frame: &Frame) -> bool {
    is_library(frame)
        || is_own(frame)
        || is_shim(frame)
        || is_c_startup(frame)
        || BARE_RUNTIME.contains(&bare_function(frame))
}

fn is_library(frame: &Frame) -> bool {
    frame.filename().starts_with("<std>/")
        || frame
            .crate_name()
            .is_some_and(|name| LIBRARIES.contains(&name))
}

/// True for this crate's code, its tests apart: those stand for a program.
fn is_own(frame: &Frame) -> bool {
    let is_test = frame.filename().ends_with("/tests.rs")
        || frame
            .function()
            .is_some_and(|function| function.contains("::tests::"));
    frame.crate_name() == Some(OWN_CRATE) && !is_test
}

fn is_shim(frame: &Frame) -> bool {
    ALLOCATION_SHIMS.contains(&bare_function(frame))
}

/// True for the name of a function of the C library that starts the program or a thread, or ends it.
pub(super) fn is_startup_function(name: &str) -> bool {
    // What calls exit functions is in every stack of the snapshot at exit.
    C_STARTUP.contains(&name) || name == "exit"
}

/// Rust functions may have these names too: they have a crate in their name, or a Rust file.
fn is_c_startup(frame: &Frame) -> bool {
    let function = frame.function().unwrap_or_default();
    let foreign = frame.crate_name().is_none() && !frame.filename().ends_with(".rs");
    let lineless = frame.is_named() && C_STARTUP_WITHOUT_LINES.contains(&function);
    let of_musl = function == MUSL_THREADS.0 && frame.filename().ends_with(MUSL_THREADS.1);
    foreign && (lineless || of_musl || C_STARTUP.contains(&function))
}

fn is_startup(frame: &Frame) -> bool {
    is_c_startup(frame) || RUST_STARTUP.contains(&bare_function(frame))
}

/// True if not even a function is known.
fn is_nameless(frame: &Frame) -> bool {
    frame.function().is_none() && (frame.is_named() || frame.filename() == UNKNOWN)
}

/// The function's own name. Line tables have no more.
fn bare_function(frame: &Frame) -> &str {
    bare_name(frame.function().unwrap_or_default())
}

#[cfg(test)]
mod tests;
