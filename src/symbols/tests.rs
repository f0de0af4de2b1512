//! The whole way, on this program's own code.

use std::sync::Arc;

use crate::snapshot::Frame;

use super::Symbols;
use super::runtime::{Role, visible};

/// Return addresses of the callers, the most recent one first.
#[inline(never)]
fn capture() -> Vec<usize> {
    let mut addresses = Vec::new();
    backtrace::trace(|frame| {
        addresses.push(frame.ip() as usize);
        true
    });
    addresses
}

/// A captured stack, and the line of each function in the chain.
struct Captured {
    addresses: Vec<usize>,
    lines: [u32; 3],
}

#[inline(always)]
fn innermost(lines: [u32; 2]) -> Captured {
    let (addresses, line) = (capture(), line!());
    let [outer, middle] = lines;
    std::hint::black_box(Captured {
        addresses,
        lines: [outer, middle, line],
    })
}

#[inline(always)]
fn middle(line: u32) -> Captured {
    std::hint::black_box(innermost([line, line!()]))
}

#[inline(never)]
fn outer() -> Captured {
    std::hint::black_box(middle(line!()))
}

/// All frames of a stack, oldest first.
fn expand(symbols: &Symbols, addresses: &[usize]) -> Vec<Frame> {
    let frames = addresses
        .iter()
        .rev()
        .map(|&address| symbols.frames(address));
    frames.flat_map(|frames| frames.to_vec()).collect()
}

/// The last segment of a function's path: line tables have no more than that.
fn name(frame: &Frame) -> &str {
    let function = frame.function().unwrap_or("?");
    function.rsplit("::").next().unwrap_or(function)
}

#[test]
fn inlined_functions_have_names_and_lines_and_runtime_frames_are_dropped() {
    let captured = outer();
    let symbols = Symbols::new();
    symbols.resolve(&captured.addresses);
    let frames = expand(&symbols, &captured.addresses);
    let roles: Vec<Role> = frames.iter().map(Role::of).collect();
    let seen = &frames[visible(&roles)];

    let at = seen
        .iter()
        .position(|frame| name(frame) == "outer")
        .unwrap_or_else(|| panic!("the chain is seen: {seen:#?}"));
    let chain: Vec<(&str, u32)> = seen[at..]
        .iter()
        .map(|frame| (name(frame), frame.lineno()))
        .collect();
    let [outer, middle, innermost] = captured.lines;
    assert_eq!(
        chain[..3],
        [
            ("outer", outer),
            ("middle", middle),
            ("innermost", innermost)
        ]
    );
    assert_eq!(name(seen.last().expect("not empty")), "capture");
    let first = name(&seen[0]);
    assert!(
        first.starts_with("inlined_functions") || first.starts_with('{'),
        "{seen:#?}"
    );
    assert!(seen.len() < frames.len(), "the test harness is below");

    for frame in &seen[at..] {
        assert!(
            frame.filename().ends_with("src/symbols/tests.rs"),
            "{frame:?}"
        );
        assert_eq!(frame.crate_name(), Some("tracemalloc"));
        assert!(
            frame
                .path()
                .is_some_and(|path| path.ends_with("src/symbols/tests.rs"))
        );
        assert!(frame.column() > 0);
    }
}

/// One return address holds the physical function first; it alone is a place in machine code.
#[test]
fn the_physical_function_comes_first_and_has_the_code() {
    let captured = outer();
    let symbols = Symbols::new();
    symbols.resolve(&captured.addresses);
    let groups: Vec<Arc<[Frame]>> = captured
        .addresses
        .iter()
        .map(|&at| symbols.frames(at))
        .collect();
    let inlined = groups
        .iter()
        .find(|frames| frames.iter().any(|frame| name(frame) == "innermost"))
        .expect("the chain was captured");
    let names: Vec<&str> = inlined.iter().map(name).collect();
    assert_eq!(names, ["outer", "middle", "innermost"]);
    if cfg!(target_os = "linux") {
        let (module, offset) = inlined[0].code().expect("the module is known");
        let executable = std::env::current_exe().expect("a test has a file");
        assert_eq!(module.path, executable.to_string_lossy());
        assert!(offset > 0);
        assert!(inlined[1..].iter().all(|frame| frame.code().is_none()));
    }
}

#[test]
fn a_name_is_read_once_and_shared() {
    let captured = outer();
    let symbols = Symbols::new();
    assert_eq!(symbols.memory(), 0);
    assert_eq!(symbols.unnamed(&[48, 16, 48, 32, 16]), [16, 32, 48]);
    symbols.resolve(&captured.addresses);
    assert!(symbols.unnamed(&captured.addresses).is_empty());
    let memory = symbols.memory();
    assert!(memory > 0);
    let address = captured.addresses[1];
    assert!(Arc::ptr_eq(
        &symbols.frames(address),
        &symbols.frames(address)
    ));
    symbols.resolve(&captured.addresses);
    assert_eq!(symbols.memory(), memory);

    let chain: Vec<Frame> = expand(&symbols, &captured.addresses)
        .into_iter()
        .filter(|frame| ["outer", "middle", "innermost"].contains(&name(frame)))
        .collect();
    let [first, rest @ ..] = &chain[..] else {
        panic!("the chain was captured")
    };
    assert!(
        rest.iter()
            .all(|frame| Arc::ptr_eq(first.filename_shared(), frame.filename_shared()))
    );
}

/// Addresses that are no code at all, as from a stack that was read wrongly.
#[test]
fn an_address_of_nothing_is_unknown() {
    let symbols = Symbols::new();
    let data = Box::new(0_u64);
    for address in [0, 1, 4096, usize::MAX, &raw const *data as usize] {
        let frames = symbols.frames(address);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].to_string(), "<unknown>:0");
        assert!(frames[0].code().is_none());
    }
}

#[test]
fn one_value_serves_many_threads() {
    let captured = outer();
    let symbols = Symbols::new();
    let stacks: Vec<Vec<Frame>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    symbols.resolve(&captured.addresses);
                    expand(&symbols, &captured.addresses)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .collect()
    });
    assert!(
        stacks
            .iter()
            .all(|stack| stack.iter().zip(&stacks[0]).all(|(a, b)| a.same(b)))
    );
}
