//! The walk, and the general one, against the system unwinder: the same addresses, frame by frame.

#[cfg(target_arch = "x86_64")]
mod damaged;
#[cfg(target_arch = "x86_64")]
mod expressions;
mod remembered;

use std::cell::RefCell;
use std::ffi::c_void;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rule::Kind;
use super::*;
use crate::engine::stack_cache::StackCache;
use crate::engine::stacks::Stacks;
use crate::engine::unwind::{StackEnd, system};

/// One unwinder for all tests, as in a program.
static UNWINDER: Unwinder = Unwinder::new();
static ARENA: Arena = Arena::new();
static STACKS: Stacks = Stacks::new();

thread_local! {
    static STACK_CACHE: RefCell<Box<StackCache>> = RefCell::new({
        // SAFETY: zeroed memory is an empty one.
        unsafe { Box::new_zeroed().assume_init() }
    });
}

fn prepare() {
    UNWINDER.prepare(&ARENA);
    system::Unwinder::new().prepare(&ARENA);
}

/// Reads for one walk.
fn reader() -> Reader<'static> {
    Reader::new(
        &UNWINDER.main_stack,
        STACK_CACHE.with_borrow(|stack_cache| stack_cache.own_stack()),
    )
}

/// What a thread remembers, asked in the ways of the tracker, which agree: the first `limit` frames
/// of it.
fn recalled(caller: Caller, limit: usize) -> Option<Vec<usize>> {
    let frames = |stack| {
        let mut frames = Vec::new();
        STACKS.read(stack, |address| frames.push(address));
        frames.truncate(limit);
        frames
    };
    STACK_CACHE.with_borrow_mut(|stack_cache| {
        let at_once = stack_cache.recall_fast(caller, limit).map(frames);
        let known = stack_cache.recall(caller, limit).map(frames);
        assert!(at_once.is_none() || at_once == known);
        let known = known.or_else(|| stack_cache.recall_foreign(caller, limit).map(frames));
        let mut walk = || stack_cache.fill(&ARENA, &UNWINDER, &STACKS, caller, limit);
        known.or_else(|| walk().map(frames))
    })
}

/// The registers of the function that called the one that asks.
#[inline(always)]
fn caller() -> Caller {
    let here = here();
    let rule = UNWINDER.rule(&ARENA, here.pc);
    let step = walk::step(here, rule, usize::MAX);
    step.expect("an ordinary function").caller
}

/// Captures in all ways from the caller on and compares. Returns the depth.
#[inline(never)]
fn compare(limit: usize) -> usize {
    let caller = caller();
    compare_from(caller, limit, Some(true))
}

/// `plain`: whether the stack is one that a thread remembers, where a test can know it.
#[inline(never)]
fn compare_from(caller: Caller, limit: usize, plain: Option<bool>) -> usize {
    let mark = caller.mark();
    let (mut walked, mut unwound, mut general) = (vec![0; limit], vec![0; limit], vec![0; limit]);
    let ours = UNWINDER
        .walk(&ARENA, caller, mark, &mut reader(), &mut walked)
        .expect("a stack that can be walked");
    let step_by_step = UNWINDER
        .capture_generally(&ARENA, mark, &mut reader(), &mut general)
        .expect("memory");
    assert_eq!((ours, &walked), (step_by_step, &general));
    let system = system::Unwinder::new();
    let theirs = system.capture(&ARENA, caller, mark, OwnStack::default(), &mut unwound);
    walked.truncate(ours.frames);
    unwound.truncate(theirs.frames);
    let beyond = check_same(&walked, &unwound);
    let is_cut = |captured: Captured| captured.end == StackEnd::Truncated;
    assert!(
        beyond || is_cut(ours) == is_cut(theirs),
        "{ours:?} {theirs:?}"
    );
    // The second time it is recalled and not walked.
    for _ in 0..2 {
        let recalled = recalled(caller, limit);
        if let Some(plain) = plain {
            assert_eq!(
                recalled.is_some(),
                plain && limit <= crate::engine::stack_cache::MAX_FRAMES
            );
        }
        if let Some(recalled) = recalled {
            assert_eq!(recalled, walked);
        }
    }
    ours.frames
}

/// Asserts equal addresses. Returns true if the walk came further than the system unwinder, which on
/// musl leaves out the frame at which it ends for want of call-frame information.
fn check_same(walked: &[usize], unwound: &[usize]) -> bool {
    let (same, further) = walked.split_at(unwound.len().min(walked.len()));
    assert_eq!(same, unwound);
    match further.first() {
        Some(address) if cfg!(target_env = "musl") => {
            let kind = UNWINDER.rule(&ARENA, *address).kind();
            assert!(matches!(kind, Kind::Oldest | Kind::Signal), "{kind:?}");
        }
        Some(_) => assert_eq!(walked, unwound),
        None => {}
    }
    cfg!(target_env = "musl")
}

fn compare_all_limits() {
    let depth = compare(100_000);
    for limit in [0, 1, 2, 3, 10, depth - 1, depth, depth + 1] {
        assert_eq!(compare(limit), depth.min(limit));
    }
}

#[inline(never)]
fn recurse(depth: usize, task: &mut dyn FnMut()) {
    // Frames of many sizes.
    let room = black_box([depth as u8; 24]);
    match depth % 3 {
        _ if depth == 0 => task(),
        0 => recurse(black_box(depth - 1), task),
        1 => (0..1).for_each(|_| recurse(black_box(depth - 1), task)),
        _ => drop(
            black_box(vec![0_u8; depth])
                .iter()
                .take(1)
                .map(|_| recurse(depth - 1, task))
                .max(),
        ),
    }
    black_box(room);
}

#[test]
fn ordinary_stacks_of_any_depth_agree() {
    prepare();
    compare_all_limits();
    for depth in 0..60 {
        recurse(depth, &mut compare_all_limits);
    }
    let deep = || recurse(20_000, &mut || assert!(compare(1 << 20) > 20_000));
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(deep)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn stacks_through_the_c_library_agree() {
    unsafe extern "C" fn order(a: *const std::ffi::c_void, b: *const std::ffi::c_void) -> i32 {
        compare_all_limits();
        // SAFETY: `qsort` passes elements of the array.
        let a = unsafe { *a.cast::<i32>() };
        // SAFETY: as above.
        let b = unsafe { *b.cast::<i32>() };
        a.cmp(&b) as i32
    }
    prepare();
    let mut numbers = [3, 1, 2, 9, 5];
    // SAFETY: the array has that many elements of that size.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 5, 4, Some(order)) };
    assert_eq!(numbers, [1, 2, 3, 5, 9]);
}

#[test]
fn stacks_of_threads_and_of_unwinding_agree() {
    struct Check;
    impl Drop for Check {
        fn drop(&mut self) {
            compare_all_limits();
        }
    }
    prepare();
    let threads = (0..8).map(|n| {
        std::thread::spawn(move || {
            recurse(n, &mut compare_all_limits);
            let caught = std::panic::catch_unwind(|| {
                let _check = Check;
                std::panic::resume_unwind(Box::new(1));
            });
            assert!(caught.is_err());
        })
    });
    threads
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn library_callbacks_agree() {
    prepare();
    let mut numbers: Vec<u32> = (0..50).rev().collect();
    numbers.sort_by(|a, b| {
        compare(200);
        a.cmp(b)
    });
    numbers.sort_unstable_by_key(|n| {
        compare(200);
        n % 7
    });
    let text = format!(
        "{}",
        std::fmt::from_fn(|out| {
            compare(200);
            write!(out, "{:>5}", 3)
        })
    );
    assert_eq!(text, "    3");
    let lazy = std::sync::LazyLock::new(|| compare(200));
    assert!(*lazy > 0);
}

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

extern "C" fn handler(_: i32) {
    let trampoline = caller();
    let depth = if UNWINDER.module_of(trampoline.pc).is_some() {
        compare_from(trampoline, 200, Some(true))
    } else {
        // An emulator's own: nothing is known of it.
        let mut buffer = [0; 200];
        let mark = trampoline.mark();
        let captured = UNWINDER.capture(&ARENA, trampoline, mark, OwnStack::default(), &mut buffer);
        assert_eq!((captured.frames, captured.end), (1, StackEnd::UnknownCode));
        return;
    };
    DEPTH.store(depth, Ordering::SeqCst);
}

/// One test, since both ways use the same handler.
#[test]
fn a_signal_handler_and_what_it_interrupted_agree() {
    fn check() {
        for depth in 0..10 {
            recurse(depth, &mut raise);
            let depth = DEPTH.load(Ordering::SeqCst);
            assert!((6..200).contains(&depth), "{depth}");
        }
    }
    prepare();
    let address = handler as extern "C" fn(i32) as usize;
    // SAFETY: the handler does nothing that a handler must not, when the signal is raised by the
    // thread itself.
    unsafe { libc::signal(libc::SIGUSR2, address) };
    check();

    /// Ends a signal handler, and has no call-frame information: it begins after the first
    /// instruction.
    #[unsafe(naked)]
    extern "C" fn end_handler() {
        #[cfg(target_arch = "x86_64")]
        std::arch::naked_asm!("nop", "mov rax, 15", "syscall");
        #[cfg(target_arch = "aarch64")]
        std::arch::naked_asm!("nop", "mov x8, 139", "svc 0");
    }
    /// What the kernel is told.
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
    check();

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
    check();
    let none = libc::stack_t {
        ss_flags: libc::SS_DISABLE,
        ..stack
    };
    // SAFETY: no handler is running.
    let set = unsafe { libc::sigaltstack(&raw const none, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

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

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::naked_asm;

    use super::*;

    /// Calls `work` with its own return address authenticated, if the processor can.
    #[unsafe(naked)]
    extern "C" fn authenticated(work: extern "C" fn()) {
        naked_asm!(
            ".cfi_startproc",
            "hint #25",
            ".cfi_negate_ra_state",
            "stp x29, x30, [sp, #-16]!",
            ".cfi_def_cfa_offset 16",
            ".cfi_offset x29, -16",
            ".cfi_offset x30, -8",
            "blr x0",
            "ldp x29, x30, [sp], #16",
            ".cfi_def_cfa_offset 0",
            ".cfi_restore x29",
            ".cfi_restore x30",
            "hint #29",
            ".cfi_negate_ra_state",
            "ret",
            ".cfi_endproc",
        )
    }

    #[test]
    fn stacks_with_authenticated_return_addresses_agree() {
        static SIGNED: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn check() {
            compare(200);
            // SAFETY: where the function that called this one has saved its return address.
            let word = unsafe { walk::read(caller().sp + 8) };
            let signed = usize::from(word != arch::plain(word));
            SIGNED.fetch_add(signed, Ordering::SeqCst);
        }
        prepare();
        for depth in 0..20 {
            recurse(depth, &mut || authenticated(check));
        }
        const PACA: libc::c_ulong = 1 << 30;
        // SAFETY: reads what the kernel gave the process at its start.
        let can = unsafe { libc::getauxval(libc::AT_HWCAP) } & PACA != 0;
        assert_eq!(SIGNED.load(Ordering::SeqCst) > 0, can);
    }

    /// Its caller is known while it runs, from a register that the walk does not follow.
    #[test]
    fn what_leaves_its_return_address_in_the_register_takes_a_general_step() {
        #[unsafe(naked)]
        extern "C" fn leaf() {
            naked_asm!(".cfi_startproc", "nop", "nop", "ret", ".cfi_endproc")
        }
        prepare();
        let inside = leaf as extern "C" fn() as usize + 4;
        assert_eq!(UNWINDER.rule(&ARENA, inside).kind(), Kind::Other);
    }
}
