//! Runs a piece of code one instruction at a time, and something else in between.
//!
//! The processor traps after each instruction while a flag is set. The handler runs untrapped.

use std::arch::asm;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

const TRAP_FLAG: i64 = 0x100;

/// Where the code stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Instructions done so far.
    pub(crate) count: usize,
    /// The last instruction changed memory that threads share in one piece, or the next one will.
    pub(crate) locked: bool,
}

/// What is done at a step. False: the code then runs on without further stops.
pub(crate) type AtStep = fn(Step) -> bool;

static AT_STEP: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static WAS_LOCKED: Cell<bool> = const { Cell::new(false) };
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// True if the instruction at `address` is locked, by a prefix or by itself.
fn is_locked(address: usize) -> bool {
    let byte = |at: usize| {
        let place = ptr::with_exposed_provenance::<u8>(address + at);
        // SAFETY: code that is about to run can be read, and more follows it in its mapping.
        unsafe { place.read() }
    };
    let mut at = 0;
    while matches!(byte(at), 0x66 | 0xf2 | 0xf3) {
        at += 1;
    }
    if byte(at) == 0xf0 {
        return true;
    }
    if byte(at) & 0xf0 == 0x40 {
        at += 1;
    }
    // An exchange with memory.
    matches!(byte(at), 0x86 | 0x87) && byte(at + 1) >> 6 != 3
}

extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the interrupted registers.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let errno = errno();
    let count = COUNT.get();
    COUNT.set(count + 1);
    let locked = is_locked(registers[libc::REG_RIP as usize] as usize);
    let step = Step {
        count,
        locked: WAS_LOCKED.replace(locked) || locked,
    };
    let goes_on = !ENDS.get() && {
        let at_step = AT_STEP.load(Ordering::Relaxed);
        // SAFETY: `run` has stored a function of this type.
        let at_step: AtStep = unsafe { std::mem::transmute(at_step) };
        at_step(step)
    };
    if !goes_on {
        registers[libc::REG_EFL as usize] &= !TRAP_FLAG;
    }
    set_errno(errno);
}

fn errno() -> c_int {
    // SAFETY: takes nothing and returns an address.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the thread's own variable.
    unsafe { *place }
}

fn set_errno(value: c_int) {
    // SAFETY: takes nothing and returns an address.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the thread's own variable.
    unsafe { *place = value };
}

/// Runs `code`, and `at_step` between any two of its instructions. Returns how many there were.
pub(crate) fn run<R>(at_step: AtStep, code: impl FnOnce() -> R) -> (R, usize) {
    AT_STEP.store(at_step as usize, Ordering::SeqCst);
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_trap;
    handle(libc::SIGTRAP, handler as usize, libc::SA_SIGINFO);
    COUNT.set(0);
    ENDS.set(false);
    WAS_LOCKED.set(false);
    // SAFETY: sets a flag of the processor, whose traps are handled.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    let result = code();
    ENDS.set(true);
    // One more instruction at least: the handler then takes the flag away.
    std::hint::black_box(());
    (result, COUNT.get())
}

/// Has `handler` called for `signal`.
pub(crate) fn handle(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: zeroed is an empty action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags | libc::SA_RESTART;
    // SAFETY: the handlers of these tests have the signature that their flags promise.
    let set = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    assert_eq!(set, 0);
}
