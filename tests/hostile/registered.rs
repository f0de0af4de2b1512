//! Code made at run time whose call-frame information the program has registered, as JIT compilers do.
//!
//! Once there is such code, the system unwinder takes a mutex of the whole process for every frame that it
//! looks up. A child of a fork waits for ever for that mutex if another thread of the parent had it.

use std::hint::black_box;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::audit::{Block, audit};
use crate::children::{exit, fork, start, works};
use crate::suite::number;
use crate::{cases, pool};

cases![
    a_fork_while_others_allocate_in_registered_code fails with Locks,
];

unsafe extern "C" {
    fn __register_frame(information: *const u8);
}

type Generated = extern "C" fn(extern "C" fn());

/// A function that calls the one that it is given, in memory of its own.
fn make_code() -> Generated {
    // Pushes the frame register, sets it, calls, and returns.
    const BYTES: [u8; 8] = [0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3];
    let code = pool::map(4096);
    // SAFETY: the mapping is larger than that.
    unsafe { ptr::copy_nonoverlapping(BYTES.as_ptr(), code, BYTES.len()) };
    register(code.expose_provenance(), BYTES.len());
    // SAFETY: a mapping of our own.
    let set = unsafe { libc::mprotect(code.cast(), 4096, libc::PROT_READ | libc::PROT_EXEC) };
    assert_eq!(set, 0);
    // SAFETY: the bytes are a function of this type.
    unsafe { std::mem::transmute(code) }
}

/// Registers what an assembler would say of the function at `start`.
fn register(start: usize, len: usize) {
    // The caller's frame is 8 above the stack pointer, and its address at the end of this one.
    let common = [1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1];
    let mut information = Vec::new();
    append(&mut information, &[&[0; 4], &common]);
    let back = (information.len() as u32 + 4).to_le_bytes();
    // After the first instruction: 16 above, the frame register saved; after the second: found by that register.
    let steps = [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6];
    let (from, len) = (start.to_le_bytes(), len.to_le_bytes());
    append(&mut information, &[&back, &from, &len, &steps]);
    information.extend([0; 8]);
    // SAFETY: well-formed, and it stays.
    unsafe { __register_frame(information.leak().as_ptr()) };
}

/// Adds a record of these `parts`, with its length in front, and filled up to whole words.
fn append(information: &mut Vec<u8>, parts: &[&[u8]]) {
    let mut record = parts.concat();
    while !(record.len() + 4).is_multiple_of(8) {
        record.push(0);
    }
    information.extend((record.len() as u32).to_le_bytes());
    information.extend(record);
}

extern "C" fn allocate() {
    let mut block = Block::new(77);
    assert!(block.try_resize(141));
    block.free();
}

/// Three threads are in the middle of allocations in registered code whenever this one forks. Seen to hang
/// with a walk that asks the system unwinder where it meets such code.
fn a_fork_while_others_allocate_in_registered_code() {
    const THREADS: usize = 3;
    let code = make_code();
    let held = start();
    let busy = AtomicBool::new(true);
    let begun = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                code(allocate);
                begun.wait();
                while busy.load(Ordering::Relaxed) {
                    black_box(code)(allocate);
                }
            });
        }
        begun.wait();
        let usual = if cfg!(debug_assertions) { 50 } else { 200 };
        for _ in 0..number("TRACEMALLOC_FORKS", usual) {
            if fork() {
                code(allocate);
                // The others' last blocks stay counted: this child's own come and go beside them.
                exit(works(false));
            }
        }
        busy.store(false, Ordering::Relaxed);
    });
    drop(held);
    audit(&[]);
}
