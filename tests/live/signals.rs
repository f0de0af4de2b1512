//! Snapshots on a signal.

use std::env;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tracemalloc::{DumpThread, Series};

use crate::busy::{among_busy_threads, grow_a_block};
use crate::folder::{Folder, holds};
use crate::{cases, child, runner};

cases![
    a_signal_saves_a_snapshot_of_a_busy_program,
    a_storm_of_signals_loses_nothing,
    after_the_dumper_a_signal_does_nothing,
    a_handler_from_before_runs_too,
    a_forked_child_saves_nothing_on_a_signal,
    a_dumper_does_not_keep_the_program_from_exiting,
    a_signal_while_tracing_is_off_is_told,
];

const CHILD: &str = "TRACEMALLOC_TEST_SIGNALS";
const SIGNAL: i32 = libc::SIGUSR2;

/// Sends the signal to the whole process: any thread may get it.
fn send() {
    let process = std::process::id().cast_signed();
    // SAFETY: takes numbers; the signal has a handler.
    assert_eq!(unsafe { libc::kill(process, SIGNAL) }, 0);
}

/// In this thread.
fn raise() {
    // SAFETY: takes a number; the signal has a handler.
    assert_eq!(unsafe { libc::raise(SIGNAL) }, 0);
}

fn dumper(folder: &Folder) -> DumpThread {
    tracemalloc::dump_on_signal(SIGNAL, Series::new(folder.0.join("heap"))).unwrap()
}

/// Waits for this many finished files. Whoever waits in vain is ended by the case's time limit.
fn wait_for(folder: &Folder, files: usize) {
    let is_finished = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "gz");
    while folder
        .files()
        .iter()
        .filter(|path| is_finished(path))
        .count()
        < files
    {
        thread::sleep(Duration::from_millis(2));
    }
}

fn a_signal_saves_a_snapshot_of_a_busy_program() {
    let folder = Folder::new("signal-busy");
    tracemalloc::start(25).unwrap();
    let held = black_box(vec![1_u8; 54_321]);
    let dumper = dumper(&folder);
    among_busy_threads(
        3,
        |_| grow_a_block,
        || {
            for number in 1..=3 {
                send();
                wait_for(&folder, number);
            }
        },
    );
    drop(dumper);
    let snapshots = folder.snapshots();
    assert_eq!(snapshots.len(), 3);
    let complete = |snapshot| holds(snapshot, held.len() as u64, "signals.rs");
    assert!(snapshots.iter().all(complete));
}

fn a_storm_of_signals_loses_nothing() {
    let folder = Folder::new("signal-storm");
    tracemalloc::start(25).unwrap();
    let held = black_box(vec![1_u8; 54_321]);
    let series = Series::new(folder.0.join("heap")).keep(4);
    let dumper = tracemalloc::dump_on_signal(SIGNAL, series).unwrap();
    among_busy_threads(
        3,
        |_| grow_a_block,
        || {
            for _ in 0..1000 {
                send();
            }
            wait_for(&folder, 1);
        },
    );
    drop(dumper);
    let snapshots = folder.snapshots();
    assert!((1..=4).contains(&snapshots.len()), "{:?}", folder.files());
    let complete = |snapshot| holds(snapshot, held.len() as u64, "signals.rs");
    assert!(snapshots.iter().all(complete));
}

fn after_the_dumper_a_signal_does_nothing() {
    let folder = Folder::new("signal-after");
    tracemalloc::start(25).unwrap();
    let first = dumper(&folder);
    raise();
    // What was asked for is saved before the thread ends, or it was too late.
    drop(first);
    let files = folder.files();
    assert_eq!(folder.snapshots().len(), files.len());
    raise();
    let second = dumper(&folder);
    drop(second);
    assert_eq!(folder.files(), files);
    // A new one works as the first did.
    let _third = dumper(&folder);
    raise();
    wait_for(&folder, files.len() + 1);
}

fn a_handler_from_before_runs_too() {
    static RAN: AtomicBool = AtomicBool::new(false);
    extern "C" fn handler(_: libc::c_int) {
        RAN.store(true, Ordering::SeqCst);
    }
    let folder = Folder::new("signal-before");
    // SAFETY: the handler does nothing that a handler must not do.
    let before = unsafe { libc::signal(SIGNAL, handler as extern "C" fn(libc::c_int) as usize) };
    assert_ne!(before, libc::SIG_ERR);
    tracemalloc::start(25).unwrap();
    let _dumper = dumper(&folder);
    raise();
    assert!(RAN.load(Ordering::SeqCst));
    wait_for(&folder, 1);
}

/// The child has the handler, whose other end is the parent's thread: that one wakes up and finds
/// nothing to do. Seen to fail while the child waited for a thread that it does not have.
fn a_forked_child_saves_nothing_on_a_signal() {
    let folder = Folder::new("signal-fork");
    tracemalloc::start(25).unwrap();
    let dumper = dumper(&folder);
    // SAFETY: the child uses nothing that a fork leaves unusable, and ends without cleaning up.
    let child = unsafe { libc::fork() };
    if child == 0 {
        raise();
        drop(dumper);
        raise();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    // What the parent's thread would have made of it is there before what is asked for next.
    raise();
    wait_for(&folder, 1);
    drop(dumper);
    let writers: Vec<_> = folder.snapshots();
    assert_eq!(writers.len(), 1);
    assert_eq!(writers[0].recording().process_id, Some(std::process::id()));
}

fn a_dumper_does_not_keep_the_program_from_exiting() {
    if let Some(way) = env::var_os(CHILD) {
        tracemalloc::start(25).unwrap();
        let dumper = tracemalloc::dump_on_signal(SIGNAL, Series::new("heap")).unwrap();
        if way == "exit" {
            std::process::exit(0);
        }
        return dumper.detach();
    }
    for way in ["exit", "return"] {
        let mut command = runner::command(&env::current_exe().unwrap());
        command.env(CHILD, way);
        let limit = Duration::from_secs(100);
        let ended = child::run(command, limit).unwrap();
        ended.verdict(limit).unwrap();
    }
}

fn a_signal_while_tracing_is_off_is_told() {
    if let Some(folder) = env::var_os(CHILD) {
        let folder = Path::new(&folder);
        let _dumper =
            tracemalloc::dump_on_signal(SIGNAL, Series::new(folder.join("heap"))).unwrap();
        raise();
        // Held until the thread has reported; then it continues.
        while !crate::folder::files(folder)
            .iter()
            .any(|path| path.ends_with("told"))
        {
            thread::sleep(Duration::from_millis(2));
        }
        tracemalloc::start(25).unwrap();
        raise();
        while crate::folder::files(folder).len() < 2 {
            thread::sleep(Duration::from_millis(2));
        }
        return;
    }
    use std::io::{BufRead, BufReader};
    let folder = Folder::new("signal-off");
    let mut child = runner::command(&env::current_exe().unwrap())
        .env(CHILD, &folder.0)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let told = format!("tracemalloc: snapshot on signal {SIGNAL}: tracing is off");
    assert!(line.starts_with(&told), "{line}");
    std::fs::write(folder.0.join("told"), "").unwrap();
    assert!(child.wait().unwrap().success());
}
