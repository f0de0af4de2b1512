//! What the system refuses, forbids or takes away.

use std::mem::offset_of;
use std::sync::Barrier;
use std::thread;

use crate::allocator;
use crate::audit::{Block, audit, churn, current, marked};
use crate::cases;

cases![
    without_address_space_the_program_gets_all_that_it_asks_for fails with NeedsMemory,
    without_memory_for_data_the_program_gets_all_that_it_asks_for fails with NeedsMemory,
    without_another_mapping_the_program_gets_all_that_it_asks_for fails with NeedsMemory,
    in_a_sandbox_few_system_calls_do fails with AsksTheSystem,
    in_a_sandbox_a_snapshot_without_names_asks_for_no_more fails with AsksTheSystem,
    without_any_file_only_names_are_missing,
    threads_that_cannot_be_told_apart_are_traced_all_the_same fails with LosesRecords,
    freed_blocks_are_not_touched fails with ReadsFreedBlocks,
    errno_stays_over_every_call fails with ChangesErrno,
    #[cfg(tracemalloc_failpoints)]
    a_refused_mapping_is_survived_whichever_it_is fails with NeedsMemory,
];

/// Limits the process to `more` bytes beyond what it uses now: the field `used` of `/proc/self/status`.
fn limit(resource: libc::__rlimit_resource_t, used: &str, more: u64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let used = text
        .lines()
        .find_map(|line| line.strip_prefix(used))
        .unwrap();
    let kib: u64 = used.trim().trim_end_matches(" kB").parse().unwrap();
    let bytes = (kib << 10) + more;
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: reads the limit.
    let set = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!(set, 0);
}

/// Allocates, resizes and frees after `refuse` has been called: whatever the tracer then gets, the
/// program lacks nothing, and counters and records agree.
fn gets_all_that_it_asks_for(refuse: impl FnOnce()) {
    let mut held = Vec::with_capacity(20_000);
    let mut far: Vec<Block> = Vec::with_capacity(100);
    // The program's own room is there already.
    let room: Vec<Block> = (0..20_000).map(|n| Block::new(marked(n))).collect();
    room.into_iter().for_each(|block| block.discard());
    tracemalloc::start(25).unwrap();
    // What these take the tracer has, whatever is refused from then on.
    let early: Vec<Block> = (0..50).map(|n| Block::new(marked(n))).collect();
    refuse();
    for n in 0..15_000 {
        held.push(Block::try_new(marked(n)).expect("there is room"));
        if n % 150 == 0 {
            far.push(Block::try_new(marked(10)).expect("there is room"));
        }
    }
    for (n, block) in held.iter_mut().enumerate() {
        assert!(block.try_resize(marked(n + 1)));
    }
    let of_records = current();
    assert!(of_records > 0);
    for block in held.into_iter().chain(far).chain(early) {
        block.free();
    }
    assert_eq!(current(), 0, "of {of_records}");
}

fn without_address_space_the_program_gets_all_that_it_asks_for() {
    gets_all_that_it_asks_for(|| limit(libc::RLIMIT_AS, "VmSize:", 256 << 10));
}

/// As near as a process comes by itself to a system that promises no more memory than it has.
fn without_memory_for_data_the_program_gets_all_that_it_asks_for() {
    gets_all_that_it_asks_for(|| limit(libc::RLIMIT_DATA, "VmData:", 256 << 10));
}

/// The program itself has as many mappings as the system allows: each differs from its neighbours.
fn without_another_mapping_the_program_gets_all_that_it_asks_for() {
    let max = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let max: usize = max.trim().parse().unwrap();
    if max > 2_000_000 {
        println!("not run: {max} mappings are allowed here, more than can be made in good time");
        // A bug that was injected is not to be seen here.
        assert!(std::env::var_os(crate::faults::VARIABLE).is_none());
        return;
    }
    gets_all_that_it_asks_for(|| {
        let mapped = (0..max).take_while(|n| map_page(n % 2 == 0)).count();
        assert!(mapped < max, "{mapped} mappings of {max}");
    });
}

/// Maps a page that nobody uses. False if the system refuses.
fn map_page(readable: bool) -> bool {
    let access = if readable {
        libc::PROT_READ
    } else {
        libc::PROT_NONE
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping touches nothing that exists.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0) };
    page != libc::MAP_FAILED
}

/// Restricts the running thread to the system calls that `allowed` permits. What is done with
/// others: `action`.
fn sandbox(allowed: &[libc::c_long], action: u32) {
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let number = offset_of!(libc::seccomp_data, nr) as u32;
    let mut filter = vec![statement(
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        number,
    )];
    for call in allowed {
        filter.push(libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: *call as u32,
        });
        filter.push(statement(libc::BPF_RET | libc::BPF_K, ALLOW));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, action));
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes numbers.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0);
    // SAFETY: reads the program.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program) };
    assert_eq!(set, 0);
}

/// What the tracer asks the system for while it traces, and nothing else.
const NEEDED: [libc::c_long; 7] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigprocmask,
];

/// The threads' own: to wait, and to end.
const OF_THREADS: [libc::c_long; 6] = [
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_exit,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
];

fn threads_in_a_sandbox(allowed: &[libc::c_long], action: u32) {
    let mut all = Vec::with_capacity(5 * 300);
    // Then one after the other, so that each finds the place of one that has ended.
    for together in [3, 1, 1] {
        // The first ones are not known to the tracer before they are in the sandbox.
        let (ready, begun) = (Barrier::new(together + 1), Barrier::new(together + 1));
        thread::scope(|scope| {
            let threads: Vec<_> = (0..together)
                .map(|n| {
                    let (ready, begun) = (&ready, &begun);
                    scope.spawn(move || {
                        sandbox(allowed, action);
                        let mut held = Vec::with_capacity(300);
                        ready.wait();
                        begun.wait();
                        churn(n, 6_000, &mut held);
                        held
                    })
                })
                .collect();
            ready.wait();
            tracemalloc::start(25).unwrap();
            begun.wait();
            for thread in threads {
                all.extend(thread.join().unwrap());
            }
        });
    }
    audit(&all);
}

fn in_a_sandbox_few_system_calls_do() {
    let allowed: Vec<_> = NEEDED.into_iter().chain(OF_THREADS).collect();
    threads_in_a_sandbox(&allowed, libc::SECCOMP_RET_KILL_PROCESS);
}

/// What the program's allocator and the standard library's hash maps ask for.
const OF_ALLOCATOR: [libc::c_long; 4] = [
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_getrandom,
];

/// Seen to fail while pages were counted by the system, and with the names of frames.
fn in_a_sandbox_a_snapshot_without_names_asks_for_no_more() {
    let config = tracemalloc::Config::new().names(tracemalloc::Names::Later);
    config.resident_memory(false).start().unwrap();
    let taken = thread::spawn(|| {
        let allowed: Vec<_> = NEEDED
            .into_iter()
            .chain(OF_THREADS)
            .chain(OF_ALLOCATOR)
            .collect();
        sandbox(&allowed, libc::SECCOMP_RET_KILL_PROCESS);
        let mut held = Vec::with_capacity(300);
        churn(1, 6_000, &mut held);
        let snapshot = tracemalloc::take_snapshot().unwrap();
        (held, snapshot, tracemalloc::get_tracemalloc_memory())
    });
    let (held, snapshot, memory) = taken.join().unwrap();
    let recording = snapshot.recording();
    assert_eq!(recording.resident_memory, None);
    assert!(recording.program.is_some());
    assert!((1 << 18..1 << 28).contains(&memory), "{memory}");
    assert!((1 << 18..1 << 28).contains(&recording.tracer_memory));
    tracemalloc::stop();
    drop(held);
    // The next session asks again.
    tracemalloc::start(5).unwrap();
    let recording = tracemalloc::take_snapshot().unwrap().recording().clone();
    assert!(recording.resident_memory.is_some());
    assert!(tracemalloc::get_tracemalloc_memory() < memory);
}

/// Neither the program's own file nor `/proc` is there. Only root can
/// take them away.
fn without_any_file_only_names_are_missing() {
    let folder = format!(
        "{}/empty-{}",
        env!("CARGO_TARGET_TMPDIR"),
        std::process::id()
    );
    std::fs::create_dir_all(&folder).unwrap();
    let root = std::ffi::CString::new(folder).unwrap();
    let mut held = Vec::with_capacity(300);
    // SAFETY: reads the path.
    if unsafe { libc::chroot(root.as_ptr()) } != 0 {
        println!("not run: only root can take all files away");
        return;
    }
    tracemalloc::start(25).unwrap();
    churn(1, 1_000, &mut held);
    let traceback = tracemalloc::get_object_traceback(&held[0].address).expect("a traced block");
    assert!(traceback.len() > 3, "{traceback:#?}");
    // Places in the code are there, and a name only where it needs no file.
    assert!(traceback.iter().all(|frame| frame.code().is_some()));
    assert!(traceback.iter().all(|frame| frame.lineno() == 0));
    audit(&held);
}

/// The system answers no question about threads. Seen to fail while two threads whose numbers were
/// refused passed for one.
fn threads_that_cannot_be_told_apart_are_traced_all_the_same() {
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let allowed: Vec<_> = NEEDED
        .into_iter()
        .chain(OF_THREADS)
        .filter(|call| ![libc::SYS_gettid, libc::SYS_tgkill].contains(call))
        .collect();
    threads_in_a_sandbox(&allowed, REFUSED);
}

fn freed_blocks_are_not_touched() {
    allocator::protect_freed_blocks();
    let mut held = Vec::with_capacity(50);
    tracemalloc::start(25).unwrap();
    churn(2, 2_000, &mut held);
    // Names of frames take more blocks than there are mappings.
    allocator::protect_no_more_blocks();
    audit(&held);
}

fn errno_stays_over_every_call() {
    // SAFETY: the thread's own variable, for as long as the thread runs.
    let errno = unsafe { libc::__errno_location() };
    tracemalloc::start(200).unwrap();
    for round in 0..20_000 {
        // SAFETY: as above.
        unsafe { *errno = 77 };
        let mut block = Block::new(marked(round));
        block.try_resize(marked(round + 1));
        block.free();
        // SAFETY: as above.
        assert_eq!(unsafe { *errno }, 77, "round {round}");
    }
}

/// Each mapping in turn is refused, alone and with all that follow.
#[cfg(tracemalloc_failpoints)]
fn a_refused_mapping_is_survived_whichever_it_is() {
    let work = |from: u64, count: u64| {
        tracemalloc::failpoints::refuse_mappings(from, count);
        let mut held = Vec::with_capacity(500);
        if tracemalloc::start(25).is_err() {
            return tracemalloc::failpoints::mappings() > from;
        }
        churn(3, 2_000, &mut held);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut held = Vec::with_capacity(50);
                churn(4, 500, &mut held);
                held.into_iter().for_each(|block| block.discard());
            });
            other.join().unwrap();
        });
        let traced = current();
        held.into_iter().for_each(|block| block.discard());
        assert!(current() <= traced);
        tracemalloc::failpoints::mappings() > from
    };
    for count in [1, u64::MAX] {
        for from in 0.. {
            // SAFETY: the process has one thread.
            let process = unsafe { libc::fork() };
            if process == 0 {
                let met = std::panic::catch_unwind(|| work(from, count));
                let code = met.map_or(2, |met| i32::from(!met));
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(code) };
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
            assert_eq!(ended, process);
            assert!(libc::WIFEXITED(status), "mapping {from}: {status}");
            match libc::WEXITSTATUS(status) {
                0 => {}
                1 => {
                    assert!(from > 10, "{from} mappings");
                    break;
                }
                code => panic!("mapping {from} and {count} in all: {code}"),
            }
        }
    }
}
