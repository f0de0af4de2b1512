//! Values of environment variables.
#![no_main]

use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: Vec<u8>| {
    tracemalloc::fuzzing::environment(&std::ffi::OsString::from_vec(data));
});
