//! Callbacks through libraries: those that the program was linked with, and those that it loads while
//! it runs, one after the other at the same address.

use std::ffi::{CString, c_char, c_void};
use std::hint::black_box;
use std::thread;

use crate::{block, deep};

type Through = extern "C" fn(extern "C" fn());

unsafe extern "C" {
    /// Goes through two libraries; the program is linked with one of them.
    safe fn through_linked(work: extern "C" fn());
}

extern "C" fn allocate() {
    block(56);
    deep::below(2, &mut || block(24));
}

#[inline(never)]
pub(crate) fn linked(round: usize) {
    deep::below(round % 7, &mut || through_linked(allocate));
    black_box(());
}

/// A library that stays loaded until this is dropped.
struct Library {
    handle: *mut c_void,
    through: Through,
}

impl Library {
    fn open(name: &str) -> Self {
        let path = CString::new(format!("{}/lib{name}.so", env!("OUT_DIR"))).expect("a path");
        // SAFETY: the library does nothing when it is loaded.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{path:?}");
        let symbol: *const c_char = c"through_added".as_ptr();
        // SAFETY: the library is loaded.
        let through = unsafe { libc::dlsym(handle, symbol) };
        assert!(!through.is_null());
        // SAFETY: the function has this type.
        let through = unsafe { std::mem::transmute::<*mut c_void, Through>(through) };
        Self { handle, through }
    }

    /// From this thread, which remembers its stacks, and from new ones.
    fn use_it(&self) {
        for depth in [0, 3, 0, 3] {
            deep::below(depth, &mut || (self.through)(allocate));
        }
        let through = self.through;
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(move || (0..20).for_each(|_| through(allocate)));
            }
        });
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: none of its code is running.
        let result = unsafe { libc::dlclose(self.handle) };
        assert_eq!(result, 0);
    }
}

/// Starts tracing while a library is loaded that is then replaced by another, again and again. Says
/// how often the new one was at the address of the old one: an emulator may put each elsewhere.
pub(crate) fn replaced() -> usize {
    let mut library = Library::open("one");
    tracemalloc::start(25).expect("the limit is in range");
    let mut replaced = 0;
    for round in 0..20 {
        library.use_it();
        let place = library.through as usize;
        drop(library);
        library = Library::open(["two", "one"][round % 2]);
        replaced += usize::from(library.through as usize == place);
    }
    library.use_it();
    tracemalloc::stop();
    replaced
}
