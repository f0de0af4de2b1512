//! A file of machine code with symbols and debug information.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| tracemalloc::fuzzing::code(file));
