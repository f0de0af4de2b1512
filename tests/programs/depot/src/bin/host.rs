//! Loads the library that its argument names, and has it print.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;

unsafe extern "C" {
    fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

fn main() {
    let file = std::env::args_os().nth(1).expect("a library");
    let file = CString::new(file.into_vec()).expect("no 0 in a path");
    // SAFETY: the library's own code runs when its function is called.
    let library = unsafe { dlopen(file.as_ptr(), RTLD_NOW) };
    assert!(!library.is_null(), "{file:?} cannot be loaded");
    // SAFETY: the library stays loaded.
    let print = unsafe { dlsym(library, c"depot_print".as_ptr()) };
    assert!(!print.is_null(), "{file:?} does not print");
    // SAFETY: the function takes nothing and gives nothing.
    let print: extern "C" fn() = unsafe { std::mem::transmute(print) };
    print();
}
