//! Stacks that are not the thread's own, or lie where the walk does not expect them.

use std::ffi::c_void;

use super::*;

/// Runs `work` with the stack pointer at `top`.
fn run_on(top: *mut u8, mut work: &mut dyn FnMut()) {
    unsafe extern "C" fn perform(work: *mut c_void) {
        // SAFETY: `run_on` passes its work and waits.
        let work = unsafe { &mut *work.cast::<&mut dyn FnMut()>() };
        work();
    }
    let top = top.wrapping_sub(top.addr() % 16);
    // SAFETY: the callers pass the upper end of memory that nobody else uses.
    unsafe { arch::call_on((&raw mut work).cast(), perform, top) };
}

/// The upper of two stacks that a program has made calls from the lower one, so the callers have
/// lower addresses. Seen to fail while each frame was held against the mark by itself.
#[test]
fn callers_on_a_stack_further_down_are_not_taken_for_the_tracers() {
    const STACK: usize = 512 << 10;
    fn check() {
        // On the thread's own: the system may map a block anywhere.
        let mut memory = [0_u8; 2 * STACK];
        let lower = memory.as_mut_ptr().wrapping_add(STACK);
        let upper = lower.wrapping_add(STACK);
        let (mut alone, mut depth) = (0, 0);
        run_on(upper, &mut || {
            alone = compare_from(caller(), 500, Some(true))
        });
        run_on(lower, &mut || {
            recurse(30, &mut || {
                run_on(upper, &mut || {
                    depth = compare_from(caller(), 500, Some(true))
                });
            });
        });
        assert!(depth > alone + 30, "{alone} {depth}");
    }
    prepare();
    let thread = std::thread::Builder::new().stack_size(4 * STACK);
    thread.spawn(check).unwrap().join().unwrap();
}

#[test]
fn the_end_of_a_foreign_stack_is_not_known() {
    prepare();
    let main = &UNWINDER.main_stack;
    let here = 0_u8;
    let here = std::ptr::from_ref(&here).addr();
    let mut own = OwnStack::default();
    assert_eq!(own.end_of(here), None);
    let end = own.end_of_running(main, here).expect("its own stack");
    assert!(end > here && own.end_of(here) == Some(end));
    // SAFETY: a fresh mapping.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            1 << 16,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    for foreign in [0x1000, memory.addr(), memory.addr() + 0xfff8, usize::MAX] {
        // The second time it is known to be none.
        for _ in 0..2 {
            assert_eq!(own.end_of_running(main, foreign), None, "{foreign:#x}");
        }
    }
    assert_eq!(own.end_of_running(main, here), Some(end));
}
