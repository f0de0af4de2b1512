//! Signal handlers, and what they interrupt.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Sends the signal to this thread, from Rust code: the C library's may have no call-frame
/// information.
fn raise() {
    // SAFETY: takes nothing and returns a number.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    let answer: libc::c_long;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the system call does not touch memory of the program's.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_tkill => answer,
            in("rdi") thread,
            in("rsi") libc::SIGUSR2 as libc::c_long,
            out("rcx") _,
            out("r11") _,
        )
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the system call does not touch memory of the program's.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") libc::SYS_tkill,
            inlateout("x0") thread => answer,
            in("x1") libc::SIGUSR2 as libc::c_long,
        )
    };
    assert_eq!(answer, 0);
}

static DEPTH: AtomicUsize = AtomicUsize::new(0);
/// In place of a depth: the handler returns to code of an emulator, of which nothing is known.
const OF_EMULATOR: usize = usize::MAX;

extern "C" fn handler(_: i32) {
    let trampoline = caller();
    let depth = if UNWINDER.module_of(trampoline.pc).is_some() {
        compare_from(trampoline, 200, Some(true))
    } else {
        let mut buffer = [0; 200];
        let mark = trampoline.mark();
        let captured = UNWINDER.capture(&ARENA, trampoline, mark, OwnStack::default(), &mut buffer);
        assert_eq!((captured.frames, captured.end), (1, StackEnd::UnknownCode));
        OF_EMULATOR
    };
    DEPTH.store(depth, Ordering::SeqCst);
}

/// One test, since both ways use one handler.
#[test]
fn a_signal_handler_and_what_it_interrupted_agree() {
    fn check(may_be_emulated: bool) {
        for depth in 0..10 {
            recurse(depth, &mut raise);
            let depth = DEPTH.load(Ordering::SeqCst);
            let is_of_emulator = may_be_emulated && depth == OF_EMULATOR;
            assert!((6..200).contains(&depth) || is_of_emulator, "{depth}");
        }
    }
    prepare();
    let address = handler as extern "C" fn(i32) as usize;
    // SAFETY: the handler does nothing that a handler must not, when the signal is raised by the
    // thread itself.
    unsafe { libc::signal(libc::SIGUSR2, address) };
    check(cfg!(target_arch = "aarch64"));

    /// Ends a signal handler, and has no call-frame information: it begins after the first
    /// instruction.
    #[unsafe(naked)]
    extern "C" fn end_handler() {
        #[cfg(target_arch = "x86_64")]
        std::arch::naked_asm!("nop", "mov rax, 15", "syscall");
        #[cfg(target_arch = "aarch64")]
        std::arch::naked_asm!("nop", "mov x8, 139", "svc 0");
    }
    /// What the kernel reads.
    #[repr(C)]
    struct Action {
        handler: usize,
        flags: libc::c_ulong,
        end_handler: usize,
        mask: u64,
    }
    const OWN_END: libc::c_ulong = 0x0400_0000;
    let begin = end_handler as extern "C" fn() as usize;
    let action = Action {
        handler: address,
        flags: OWN_END,
        end_handler: begin + if cfg!(target_arch = "x86_64") { 1 } else { 4 },
        mask: 0,
    };
    let install = |action: &Action| {
        // SAFETY: the kernel reads the action, whose functions do what such functions must.
        let set = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                libc::c_long::from(libc::SIGUSR2),
                std::ptr::from_ref(action),
                0_usize,
                size_of::<u64>(),
            )
        };
        assert_eq!(set, 0);
    };
    install(&action);
    check(false);

    // On a stack of its own, far from the thread's.
    const SIZE: usize = 256 << 10;
    // SAFETY: asks for new memory; the address is a wish.
    let memory = unsafe {
        libc::mmap(
            std::ptr::without_provenance_mut(64 << 30),
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    let stack = libc::stack_t {
        ss_sp: memory,
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: the memory stays.
    let set = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    let action = Action {
        flags: OWN_END | libc::SA_ONSTACK as libc::c_ulong,
        ..action
    };
    install(&action);
    check(false);
    let none = libc::stack_t {
        ss_flags: libc::SS_DISABLE,
        ..stack
    };
    // SAFETY: no handler is running.
    let set = unsafe { libc::sigaltstack(&raw const none, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}
