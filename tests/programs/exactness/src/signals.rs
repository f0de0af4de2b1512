//! Allocations in signal handlers, on the thread's stack and on one for signals.

use std::ffi::c_int;
use std::hint::black_box;
use std::ptr;
use std::sync::Once;

use crate::{block, deep};

const STACK: usize = 256 << 10;

/// Signals are raised where nothing is in the middle of an allocation, so handlers may allocate.
#[inline(never)]
pub(crate) fn handled(round: usize) {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| {
        install(libc::SIGUSR1, 0);
        install(libc::SIGUSR2, libc::SA_ONSTACK);
    });
    raise(libc::SIGUSR1);
    let mut memory = vec![0_u8; STACK];
    let old = set_stack(&libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: STACK,
    });
    deep::below(round % 5, &mut || raise(libc::SIGUSR2));
    raise(libc::SIGUSR1);
    set_stack(&old);
    black_box(memory);
}

extern "C" fn handle(signal: c_int) {
    block(80);
    deep::recursion(20, 5);
    if signal == libc::SIGUSR2 {
        raise(libc::SIGUSR1);
    }
    black_box(());
}

fn install(signal: c_int, flags: c_int) {
    // SAFETY: an action is valid when zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(c_int) as usize;
    action.sa_flags = flags;
    // SAFETY: the handler has the form that these flags ask for.
    let result = unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

#[inline(never)]
fn raise(signal: c_int) {
    // SAFETY: the signal has a handler.
    let result = unsafe { libc::raise(signal) };
    assert_eq!(result, 0);
}

/// Sets the stack for signals of this thread; returns the one before.
fn set_stack(new: &libc::stack_t) -> libc::stack_t {
    // SAFETY: valid when zero.
    let mut old: libc::stack_t = unsafe { std::mem::zeroed() };
    // SAFETY: the memory stays until another stack is set.
    let result = unsafe { libc::sigaltstack(new, &mut old) };
    assert_eq!(result, 0);
    old
}
