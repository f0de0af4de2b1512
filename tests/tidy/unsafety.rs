//! `unsafe` is in few files, all listed here.

use crate::source::{Source, has_word};
use crate::{assert_none, repository};

/// The files with unsafe code, tests apart, and what needs it.
const ALLOWED: &[(&str, &str)] = &[
    (
        "src/control/unload.rs",
        "promises that nobody needs the tables any more",
    ),
    ("src/dump/at_exit.rs", "an exit function"),
    ("src/engine/allocator.rs", "the trait of global allocators"),
    (
        "src/engine/allocator/resize.rs",
        "calls the inner allocator's realloc",
    ),
    (
        "src/engine/allocator/special.rs",
        "calls the inner allocator",
    ),
    (
        "src/engine/allocator/system.rs",
        "asks the C library what its allocator is like",
    ),
    (
        "src/engine/memory/arena.rs",
        "hands out references to mapped memory",
    ),
    ("src/engine/memory/arena/pages.rs", "maps memory"),
    ("src/engine/memory/buffers.rs", "lends out shared memory"),
    (
        "src/engine/capture/check.rs",
        "prints by functions of the C library, in builds that check stacks",
    ),
    ("src/engine/memory/errno.rs", "the C library's errno"),
    (
        "src/engine/tracker.rs",
        "promises that nobody needs the tables any more",
    ),
    (
        "src/engine/fork.rs",
        "registers functions with the C library",
    ),
    (
        "src/engine/history/clock.rs",
        "asks the C library for the time",
    ),
    (
        "src/engine/memory/prefetch.rs",
        "an instruction that takes a pointer",
    ),
    (
        "src/engine/thread/name.rs",
        "asks the system for the thread's name",
    ),
    (
        "src/engine/thread/slot.rs",
        "promises what may be shared, and zeroed",
    ),
    ("src/engine/thread/owner.rs", "asks the system for threads"),
    (
        "src/engine/thread/slots.rs",
        "lets a thread into its own memory",
    ),
    (
        "src/engine/unwind/cfi/arch/aarch64.rs",
        "reads registers, and calls on another stack",
    ),
    (
        "src/engine/unwind/cfi/arch/x86_64.rs",
        "reads registers, and calls on another stack",
    ),
    ("src/engine/unwind/cfi/linked.rs", "reads loaded modules"),
    (
        "src/engine/stack_cache/mod.rs",
        "compares words of the stack",
    ),
    (
        "src/engine/stack_cache/none.rs",
        "promises that nothing is valid when zero",
    ),
    ("src/engine/unwind/cfi/loaded.rs", "asks the loader"),
    ("src/engine/unwind/cfi/modules.rs", "asks the loader"),
    (
        "src/engine/unwind/cfi/probe.rs",
        "asks the system about memory",
    ),
    ("src/engine/unwind/cfi/reader.rs", "reads the stack"),
    (
        "src/engine/unwind/cfi/scratch.rs",
        "runs a piece of work on another stack",
    ),
    ("src/engine/unwind/cfi/stack.rs", "asks where the stack is"),
    ("src/engine/unwind/cfi/walk.rs", "reads the stack"),
    ("src/engine/unwind/cfi/word.rs", "reads the stack"),
    (
        "src/engine/unwind/uncached.rs",
        "the form of functions that are naked elsewhere",
    ),
    ("src/engine/unwind/system.rs", "reads a call stack"),
    ("src/environment.rs", "functions of the C library"),
    ("src/process.rs", "asks the C library's allocator"),
    ("src/dump/above.rs", "shares a handle of a thread"),
    ("src/dump/ending.rs", "handles signals"),
    ("src/dump/too_large.rs", "holds a signal"),
    ("src/sections.rs", "registers functions with the C library"),
    (
        "src/symbols/executable.rs",
        "reads what the system tells a new program",
    ),
    ("src/symbols/file.rs", "maps a file"),
    ("src/symbols/modules/loader.rs", "asks the loader"),
];

fn is_unsafe(source: &Source) -> bool {
    source.code.iter().any(|code| has_word(code, "unsafe"))
}

fn violations(sources: &[Source]) -> Vec<String> {
    let allowed = |path: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == path);
    let new = sources
        .iter()
        .filter(|source| is_unsafe(source) && !allowed(&source.path))
        .map(|source| format!("{}: unsafe code in a file that is not listed", source.path));
    let safe = ALLOWED.iter().filter(|(allowed, _)| {
        let mut listed = sources.iter().filter(|source| source.path == *allowed);
        !listed.any(is_unsafe)
    });
    let stale = safe.map(|(path, _)| format!("{path}: listed, but without unsafe code"));
    new.chain(stale).collect()
}

#[test]
fn unsafe_code_elsewhere_is_found() {
    let mut sources: Vec<Source> = ALLOWED
        .iter()
        .map(|(path, _)| Source::new(path, "unsafe {}"))
        .collect();
    assert_none(violations(&sources));
    sources.push(Source::new(
        "src/a.rs",
        "#[expect(unsafe_code)] // unsafe {}",
    ));
    assert_none(violations(&sources));
    sources.push(Source::new("src/b.rs", "fn a() { unsafe {} }"));
    assert_eq!(
        violations(&sources),
        ["src/b.rs: unsafe code in a file that is not listed"]
    );
    let (path, _) = ALLOWED[0];
    sources.truncate(ALLOWED.len());
    sources[0] = Source::new(path, "#[cfg(test)]\nmod tests { unsafe {} }");
    assert_eq!(
        violations(&sources),
        [format!("{path}: listed, but without unsafe code")]
    );
}

#[test]
fn unsafe_code_is_in_the_listed_files() {
    assert_none(violations(&repository::sources()));
}
