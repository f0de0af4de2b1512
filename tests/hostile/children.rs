//! What the child of a fork can do, and children that are no ordinary ones: a child's child, one that
//! becomes another program, one that shares its parent's memory.

use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use tracemalloc::{Config, Domain};

use crate::audit::{Block, audit, churn, current, marked};
use crate::cases;

cases![
    children_of_children_lose_nothing,
    a_child_that_allocates_before_it_becomes_another_program,
    a_child_that_shares_memory_may_allocate,
];

/// The regions that cases track.
pub(crate) const DOMAIN: Domain = Domain(7);

/// The child traces: blocks, regions, and if `whole` snapshots.
pub(crate) fn works(whole: bool) -> bool {
    let before = current();
    let mut block = Block::new(marked(3));
    let traced = current() == before + block.size as u64;
    let moved = block.try_resize(marked(40)) && current() == before + block.size as u64;
    let tracked = tracemalloc::track(DOMAIN, 0xd000, 1000).is_ok()
        && current() == before + block.size as u64 + 1000;
    let untracked = tracemalloc::untrack(DOMAIN, 0xd000).is_ok();
    let known = !whole || {
        let snapshot = tracemalloc::take_snapshot();
        snapshot.is_ok_and(|snapshot| {
            snapshot
                .traces()
                .unwrap()
                .any(|trace| trace.size == 1000 << 10)
        }) && block.is_traced()
    };
    block.free();
    traced && moved && tracked && untracked && known && current() == before
}

pub(crate) fn exit(success: bool) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(if success { 0 } else { 1 }) }
}

/// Forks. True in the child; in the parent when the child has ended well.
pub(crate) fn fork() -> bool {
    // SAFETY: what a child may do is what is tested.
    match unsafe { libc::fork() } {
        0 => {
            // If this one hangs, it ends with its parent, which is killed then.
            // SAFETY: takes numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            true
        }
        process => {
            wait_for(process);
            false
        }
    }
}

pub(crate) fn wait_for(process: libc::pid_t) {
    if process < 0 {
        die("fork failed");
    }
    let mut status = 0;
    loop {
        // SAFETY: waits for the child just made.
        let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
        if ended == process {
            break;
        }
    }
    if status != 0 {
        die("a child failed");
    }
}

/// Not a panic: this may be inside of everything.
pub(crate) fn die(message: &'static str) -> ! {
    // SAFETY: that many bytes are there.
    unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
    exit(false)
}

/// Starts with everything that a child looks for there already, named.
pub(crate) fn start() -> Vec<u8> {
    tracemalloc::start(25).unwrap();
    let held = black_box(vec![1_u8; 1000 << 10]);
    for _ in 0..2 {
        assert!(works(true), "in the parent");
    }
    held
}

/// Allocates, resizes and frees until `busy` is over, and leaves nothing.
pub(crate) fn churn_while(busy: &AtomicBool, seed: usize) {
    let mut held = Vec::with_capacity(50);
    for round in seed.. {
        churn(round, 50, &mut held);
        if !busy.load(Ordering::Relaxed) {
            break;
        }
    }
    held.into_iter().for_each(|block| block.discard());
}

#[inline(never)]
fn deep(depth: usize) {
    if depth == 0 {
        Block::new(77).free();
    } else {
        deep(black_box(depth - 1));
    }
    black_box(());
}

/// Each process forks while its threads have borrowed memory of the tracer's. What they have is not
/// theirs any more in the child: there would be none left in the end.
fn children_of_children_lose_nothing() {
    static OVER: AtomicBool = AtomicBool::new(false);
    const GENERATIONS: usize = 120;
    const THREADS: usize = 8;
    // More frames than are remembered: each is a capture of its own, in borrowed memory.
    Config::new().frames(1500).start().unwrap();
    let own = tracemalloc::get_tracemalloc_memory();
    for _ in 0..GENERATIONS {
        let ready = Arc::new(Barrier::new(THREADS + 1));
        for n in 0..THREADS {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                ready.wait();
                while !OVER.load(Ordering::Relaxed) {
                    deep(200 + n);
                }
            });
        }
        ready.wait();
        thread::sleep(Duration::from_millis(2));
        // SAFETY: what a child may do is what is tested.
        match unsafe { libc::fork() } {
            0 => {}
            process => {
                OVER.store(true, Ordering::Relaxed);
                let mut status = 0;
                // SAFETY: waits for the child just made.
                unsafe { libc::waitpid(process, &raw mut status, 0) };
                // The result is the last child's, handed on.
                exit(status == 0);
            }
        }
    }
    let block = Block::new(77);
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let losses = snapshot.recording().losses;
    let grown = tracemalloc::get_tracemalloc_memory() - own;
    block.free();
    if losses.stacks != 0 {
        die("stacks were lost");
    }
    if grown > 64 << 20 {
        die("the tracer has grown");
    }
    exit(true);
}

fn a_child_that_allocates_before_it_becomes_another_program() {
    let held = start();
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..4 {
            let busy = &busy;
            scope.spawn(move || churn_while(busy, seed));
        }
        for round in 0..40 {
            let mut command = Command::new("/bin/true");
            let allocate = || {
                let before = current();
                let block = black_box(vec![1_u8; 1 << 20]);
                if current() == before + (1 << 20) {
                    drop(block);
                    Ok(())
                } else {
                    Err(std::io::Error::from_raw_os_error(libc::EINVAL))
                }
            };
            if round % 2 == 0 {
                // SAFETY: the closure does what a child of many threads must not, which is tested.
                unsafe { command.pre_exec(allocate) };
            }
            assert!(command.status().unwrap().success());
        }
        busy.store(false, Ordering::Relaxed);
    });
    drop(held);
    audit(&[]);
}

/// `vfork` runs no handlers, and the child has the parent's memory, thread and all.
fn a_child_that_shares_memory_may_allocate() {
    static LEFT: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    extern "C" fn child(_: *mut libc::c_void) -> libc::c_int {
        Block::new(77).free();
        let block = Block::new(5000 * 64 + 13);
        LEFT.store(block.address, Ordering::SeqCst);
        0
    }
    let mut stack = vec![0_u8; 256 << 10];
    let mut left = Vec::with_capacity(40);
    tracemalloc::start(25).unwrap();
    let busy = &AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || churn_while(busy, seed));
        }
        for _ in 0..20 {
            let top = stack.as_mut_ptr_range().end;
            let top = top.wrapping_sub(top.addr() % 16);
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY: the child runs on a stack of its own while this thread waits.
            let process = unsafe { libc::clone(child, top.cast(), flags, ptr::null_mut()) };
            wait_for(process);
            left.push(Block {
                address: LEFT.load(Ordering::SeqCst),
                size: 5000 * 64 + 13,
            });
        }
        busy.store(false, Ordering::Relaxed);
    });
    audit(&left);
}
