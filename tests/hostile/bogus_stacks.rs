//! Stacks that do not say where they came from: return addresses that lead nowhere, and memory that is
//! gone. On every kind of stack; with every block recorded and with a sample. [`information`] has code
//! with call-frame information that is wrong or missing.

pub(crate) mod information;

use std::arch::naked_asm;
use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::thread;

use tracemalloc::Config;

use crate::audit::{Block, audit_but_for_losses, current};
use crate::stepping::handle;
use crate::{cases, pool};

cases![
    return_addresses_that_lead_nowhere_on_mapped_stacks fails with LosesRecords,
    return_addresses_that_lead_nowhere_on_used_memory fails with LosesRecords,
    return_addresses_that_lead_nowhere_on_threads fails with LosesRecords,
    return_addresses_that_lead_nowhere_in_signal_handlers fails with LosesRecords,
    return_addresses_that_lead_nowhere_in_coroutines fails with LosesRecords,
    return_addresses_that_lead_nowhere_in_a_sample,
    memory_beyond_a_stack_that_goes_away fails with LosesRecords,
    a_stack_pool_whose_memory_goes_away fails with LosesRecords,
    frames_up_to_unknown_code_are_recorded,
];

const PAGE: usize = 4096;
const ROOM: usize = 64 << 10;
thread_local! {
    /// Where the program continues when a function on a bogus stack has returned.
    static BACK: Cell<usize> = const { Cell::new(0) };
}

/// Calls `function` with the stack pointer at `top`, and `return_address` in the place of the address
/// that it would return to. It must end by [`leave`].
#[unsafe(naked)]
unsafe extern "C" fn enter(
    back: *mut usize,
    top: usize,
    function: extern "C" fn() -> !,
    return_address: usize,
    frame_register: usize,
) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "push rcx",
        "mov rbp, r8",
        "jmp rdx",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn leave(back: usize) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Allocates, resizes and frees at some depth.
#[inline(never)]
fn work(depth: usize) {
    if depth > 0 {
        work(black_box(depth - 1));
        black_box(());
        return;
    }
    for n in 0..3 {
        // Names would need a larger stack, so that the block is not asked for.
        let before = current();
        let mut block = Block::new(77);
        assert!(!IS_EXACT.get() || current() == before + 77);
        assert!(block.try_resize(141 + 64 * n));
        block.free();
    }
}

thread_local! {
    static IS_EXACT: Cell<bool> = const { Cell::new(true) };
}

extern "C" fn work_and_leave() -> ! {
    work(0);
    work(5);
    // SAFETY: `enter` has put it there and waits.
    unsafe { leave(BACK.get()) }
}

/// Runs [`work`] twice on a stack that ends at `top`, entered with `return_address`: the second time
/// the thread may remember the first.
fn run(top: usize, return_address: usize, frame_register: usize) {
    for _ in 0..2 {
        // SAFETY: the memory below `top` is the callers', and the function leaves.
        unsafe {
            enter(
                BACK.with(Cell::as_ptr),
                // As after a call.
                top & !15,
                work_and_leave,
                return_address,
                frame_register,
            );
        }
    }
}

fn map(len: usize, protection: libc::c_int) -> usize {
    let memory = pool::map(len);
    // SAFETY: a mapping of our own.
    let set = unsafe { libc::mprotect(memory.cast(), len, protection) };
    assert_eq!(set, 0);
    memory.expose_provenance()
}

fn unmap(at: usize, len: usize) {
    // SAFETY: memory of our own, which nobody uses any more.
    let done = unsafe { libc::munmap(ptr::with_exposed_provenance_mut(at), len) };
    assert_eq!(done, 0);
}

/// A stack of `ROOM` bytes with nothing on either side.
fn fenced() -> usize {
    let start = map(ROOM + 2 * PAGE, libc::PROT_NONE);
    let room = ptr::with_exposed_provenance_mut::<libc::c_void>(start + PAGE);
    // SAFETY: a part of it.
    let set = unsafe { libc::mprotect(room, ROOM, libc::PROT_READ | libc::PROT_WRITE) };
    assert_eq!(set, 0);
    start + PAGE
}

extern "C" fn begins_here() {
    black_box(());
}

/// Return addresses that are none, of a stack that ends at `top`.
fn addresses(top: usize) -> Vec<usize> {
    static DATA: u64 = 4711;
    let unmapped = map(PAGE, libc::PROT_NONE);
    unmap(unmapped, PAGE);
    vec![
        0,
        1,
        7,
        0x1234,
        0xdead_beef,
        usize::MAX,
        usize::MAX - 7,
        // Addresses that the processor does not have, and the kernel's.
        0x8000_0000_0000_0000,
        0x0000_8000_0000_0000,
        0xdead_beef_dead_beef,
        0xffff_8000_0000_1000,
        // Once was a page of code that the kernel gave to every process.
        0xffff_ffff_ff60_0000,
        unmapped,
        map(PAGE, libc::PROT_NONE) + 8,
        map(PAGE, libc::PROT_EXEC),
        map(PAGE, libc::PROT_READ) + PAGE,
        map(PAGE, libc::PROT_READ | libc::PROT_WRITE) + 64,
        top,
        top - 64,
        (&raw const DATA).addr(),
        // Functions that nobody called from there.
        begins_here as extern "C" fn() as usize,
        addresses as fn(usize) -> Vec<usize> as usize + 1,
        libc::getpid as unsafe extern "C" fn() -> libc::pid_t as usize,
        Box::leak(Box::new(0_u64)) as *mut u64 as usize,
    ]
}

/// Ends a case: everything agrees, and whatever ended early was counted as that alone.
fn end() {
    let held = [Block::new(77)];
    let losses = audit_but_for_losses(&held).recording().losses;
    assert_eq!((losses.blocks, losses.stacks), (0, 0));
}

fn on_mapped_stacks() {
    let stack = fenced();
    let top = stack + ROOM;
    for address in addresses(top) {
        for frame_register in [0, usize::MAX, top - 8, top, address] {
            run(top, address, frame_register);
            // With room for something above, and at the end of a page.
            run(top - 256, address, frame_register);
            run(top - PAGE, address, frame_register);
        }
    }
}

fn return_addresses_that_lead_nowhere_on_mapped_stacks() {
    tracemalloc::start(25).unwrap();
    on_mapped_stacks();
    thread::spawn(on_mapped_stacks).join().unwrap();
    end();
}

fn return_addresses_that_lead_nowhere_in_a_sample() {
    Config::new().sample_every(64).start().unwrap();
    IS_EXACT.set(false);
    on_mapped_stacks();
    thread::spawn(|| {
        IS_EXACT.set(false);
        on_mapped_stacks();
    })
    .join()
    .unwrap();
    tracemalloc::take_snapshot().unwrap();
}

/// Stacks in memory that has been used before: anything may be above their first word.
fn return_addresses_that_lead_nowhere_on_used_memory() {
    tracemalloc::start(25).unwrap();
    let here = 0_u64;
    let here = ptr::from_ref(&here);
    for filled in [0, 0xab, 0xff, 1] {
        let mut stack = vec![filled; ROOM].into_boxed_slice();
        if filled == 1 {
            // Return addresses and frames of this very stack.
            // SAFETY: the callers' frames are there.
            let words = unsafe { std::slice::from_raw_parts(here.cast::<u8>(), 2000) };
            for place in stack.chunks_exact_mut(2000) {
                place.copy_from_slice(words);
            }
        }
        let end = stack.as_mut_ptr_range().end.expose_provenance();
        for address in addresses(end) {
            for top in [end, end - 512, end - 3 * PAGE] {
                run(top, address, top);
            }
        }
    }
    end();
}

/// On the thread's own stack, below its callers' frames.
fn return_addresses_that_lead_nowhere_on_threads() {
    fn check() {
        let mut room = [0xab_u8; 2 * ROOM];
        let end = black_box(&mut room)
            .as_mut_ptr_range()
            .end
            .expose_provenance();
        for address in addresses(end) {
            run(end - ROOM, address, end - ROOM);
            run(end, address, 0);
        }
    }
    tracemalloc::start(25).unwrap();
    check();
    thread::spawn(check).join().unwrap();
    end();
}

thread_local! {
    static NEXT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

extern "C" fn handler(_: libc::c_int) {
    let here = 0_u8;
    let (address, below) = NEXT.get();
    let top = ptr::from_ref(&here).addr() - below;
    run(top, address, top);
}

fn return_addresses_that_lead_nowhere_in_signal_handlers() {
    tracemalloc::start(25).unwrap();
    let stack = libc::stack_t {
        ss_sp: ptr::with_exposed_provenance_mut(fenced()),
        ss_flags: 0,
        ss_size: ROOM,
    };
    // SAFETY: the memory stays.
    let set = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    assert_eq!(set, 0);
    for flags in [0, libc::SA_ONSTACK] {
        handle(
            libc::SIGUSR1,
            handler as extern "C" fn(libc::c_int) as usize,
            flags,
        );
        for address in addresses(stack.ss_sp.addr() + ROOM) {
            NEXT.set((address, 2 * PAGE));
            // SAFETY: the signal is handled.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
    }
    end();
}

fn return_addresses_that_lead_nowhere_in_coroutines() {
    use corosensei::Coroutine;
    tracemalloc::start(25).unwrap();
    let mut coroutine = Coroutine::new(|yielder: &corosensei::Yielder<(), ()>, ()| {
        let mut room = [0xab_u8; ROOM];
        let top = black_box(&mut room)
            .as_mut_ptr_range()
            .end
            .expose_provenance();
        for address in addresses(top) {
            run(top, address, top);
            work(3);
            yielder.suspend(());
        }
    });
    while !coroutine.done() {
        coroutine.resume(());
        work(3);
    }
    end();
}

/// What the walk has read above a stack is gone the next time, while the stack itself is as it was.
fn memory_beyond_a_stack_that_goes_away() {
    tracemalloc::start(25).unwrap();
    for described in [begins_here as extern "C" fn() as usize, black_box(0)] {
        let stack = map(ROOM + PAGE, libc::PROT_READ | libc::PROT_WRITE);
        let top = stack + ROOM;
        run(top, described, 0);
        unmap(top, PAGE);
        run(top, described, 0);
        // Most of the stack too, but for what is in use.
        unmap(stack, ROOM - 4 * PAGE);
        run(top, described, 0);
        unmap(top - 4 * PAGE, 4 * PAGE);
        run(fenced() + ROOM, described, 0);
    }
    end();
}

/// Stacks that are handed from thread to thread, and unmapped in between.
fn a_stack_pool_whose_memory_goes_away() {
    tracemalloc::start(25).unwrap();
    let place = map(ROOM, libc::PROT_NONE);
    for round in 0..20 {
        let len = ROOM >> (round % 3);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let wanted = ptr::with_exposed_provenance_mut(place);
        let usable = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: in the place of memory of our own.
        let stack = unsafe { libc::mmap(wanted, len, usable, flags, -1, 0) };
        assert_eq!(stack, wanted);
        // All at one address, so that frames are where others were.
        let top = place + (ROOM >> 2);
        let thread = move || run(top, begins_here as extern "C" fn() as usize, top);
        if round % 2 == 0 {
            thread();
        } else {
            thread::spawn(thread).join().unwrap();
        }
        // SAFETY: as above.
        let gone = unsafe { libc::mmap(wanted, ROOM, libc::PROT_NONE, flags, -1, 0) };
        assert_eq!(gone, wanted);
    }
    end();
}

extern "C" fn hold_and_leave() -> ! {
    let block = Block::new(141);
    NEXT.set((block.address.addr(), block.size));
    // SAFETY: `enter` has put it there and waits.
    unsafe { leave(BACK.get()) }
}

/// The frames that were reached are there, and the snapshot says that the stack has no beginning.
fn frames_up_to_unknown_code_are_recorded() {
    tracemalloc::start(25).unwrap();
    let stack = fenced();
    let unknown = map(PAGE, libc::PROT_READ) + 64;
    let mut held = Vec::new();
    for address in [unknown, 0xdead_beef, usize::MAX] {
        // SAFETY: the stack is this function's, and the function leaves.
        unsafe {
            enter(
                BACK.with(Cell::as_ptr),
                stack + ROOM,
                hold_and_leave,
                address,
                0,
            )
        };
        let (address, size) = NEXT.get();
        held.push(Block {
            address: ptr::with_exposed_provenance_mut(address),
            size,
        });
    }
    let snapshot = audit_but_for_losses(&held);
    assert_eq!(snapshot.recording().losses.incomplete_stacks, 3);
    let traces: Vec<_> = snapshot
        .traces()
        .unwrap()
        .filter(|trace| trace.size == 141)
        .collect();
    assert_eq!(traces.len(), 3);
    for trace in traces {
        let mut frames = trace.traceback.frames().iter().rev();
        let is_known = |name: &str| name.contains("hold_and_leave");
        assert!(
            frames.any(|frame| frame.function().is_some_and(is_known)),
            "{:?}",
            trace.traceback
        );
    }
}
