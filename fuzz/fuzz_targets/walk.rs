//! Walks over stacks of any content with rules of any kind: the walk that remembers agrees with the
//! one that does not, and neither leaves the stack.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tracemalloc::fuzzing::walk(data));
