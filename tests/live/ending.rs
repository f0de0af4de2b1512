//! Programs that a signal ends: from the environment alone they leave their snapshot.

use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tracemalloc::{ErrorKind, Snapshot, View};

use crate::folder::{Folder, holds};
use crate::{cases, runner};

cases![
    a_signal_leaves_a_file_and_the_status_as_it_was,
    a_second_signal_ends_the_program_at_once,
    an_ignored_signal_stays_ignored,
    a_handler_from_before_is_refused,
    a_later_handler_decides_alone,
    a_later_handler_that_calls_the_one_before_decides_too,
    a_forked_child_just_ends,
    a_program_that_panics_leaves_a_file,
    without_a_file_signals_are_an_error
        with &[("TRACEMALLOC", "13"), ("TRACEMALLOC_SIGNALS", "INT")],
];

const CHILD: &str = "TRACEMALLOC_TEST_ENDING";
const WATCHDOG: Duration = Duration::from_secs(120);

/// The role of this process, if it is the child of a case. Signals that the parent of the tests ignores,
/// as `nohup` and shells do in the background, would stay ignored in it.
fn role() -> Option<String> {
    let role = env::var(CHILD).ok()?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        set(signal, libc::SIG_DFL);
    }
    Some(role)
}

fn file(folder: &Folder) -> std::path::PathBuf {
    folder.0.join("end.tmsnap.json.gz")
}

fn command(folder: &Folder, role: &str) -> Command {
    let mut command = runner::command(&env::current_exe().unwrap());
    command
        .env(CHILD, role)
        .env("TRACEMALLOC", "25")
        .env("TRACEMALLOC_HISTORY", "1")
        .env("TRACEMALLOC_SIGNALS", "INT, SIGTERM,HUP")
        .env("TRACEMALLOC_OUT", file(folder))
        .stdout(Stdio::piped());
    command
}

/// Starts a child and waits until it says that it is ready.
fn start(folder: &Folder, role: &str) -> Child {
    let mut child = command(folder, role).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn send(child: &Child, signal: i32) {
    let process = child.id().cast_signed();
    // SAFETY: takes numbers; the child was not waited for yet.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

fn wait(mut child: Child) -> ExitStatus {
    let end = Instant::now() + WATCHDOG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("the child did not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn ready() {
    println!("ready");
    io::stdout().flush().unwrap();
}

fn sleep_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn set(signal: i32, handler: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: the handlers of these cases store a number, and call a handler from before.
    unsafe { libc::signal(signal, handler) }
}

fn a_signal_leaves_a_file_and_the_status_as_it_was() {
    if role().is_some() {
        tracemalloc::start_from_env().unwrap();
        let kept = black_box(vec![1_u8; 54_321]);
        drop(black_box(vec![1_u8; 765_432]));
        ready();
        black_box(kept);
        sleep_for_ever();
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let folder = Folder::new("ending");
        let child = start(&folder, "waits");
        send(&child, signal);
        let status = wait(child);
        assert_eq!(status.signal(), Some(signal), "{status}");
        let snapshot = Snapshot::load(file(&folder)).unwrap();
        let peak = snapshot.view(View::AtPeak).unwrap();
        assert!(peak.total_size() >= 54_321 + 765_432);
        // The thread that saves it allocates, too.
        let apart = peak.total_size().abs_diff(snapshot.recording().peak);
        assert!(apart <= 64 << 10, "{apart}");
        assert_eq!(folder.files().len(), 1);
    }
}

/// The snapshot waits for the loader, which the program holds up.
fn a_second_signal_ends_the_program_at_once() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    if role().is_some() {
        extern "C" fn hold(
            _: *mut libc::dl_phdr_info,
            _: libc::size_t,
            _: *mut libc::c_void,
        ) -> libc::c_int {
            ready();
            sleep_for_ever()
        }
        tracemalloc::start_from_env().unwrap();
        // SAFETY: the function never returns, so nothing that it is given is used.
        unsafe { libc::dl_iterate_phdr(Some(hold), std::ptr::null_mut()) };
        unreachable!("the function never returns");
    }
    let folder = Folder::new("ending-twice");
    let mut child = start(&folder, "holds");
    send(&child, libc::SIGTERM);
    // Time for a snapshot, if it could be taken; with less the case proves less.
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it holds the loader");
    send(&child, libc::SIGTERM);
    assert_eq!(wait(child).signal(), Some(libc::SIGTERM));
    assert!(!file(&folder).exists());
}

fn an_ignored_signal_stays_ignored() {
    if role().is_some() {
        set(libc::SIGINT, libc::SIG_IGN);
        tracemalloc::start_from_env().unwrap();
        // SAFETY: takes a number; the signal is ignored.
        unsafe { libc::raise(libc::SIGINT) };
        ready();
        return;
    }
    let folder = Folder::new("ending-ignored");
    let child = start(&folder, "ignores");
    assert!(wait(child).success());
    Snapshot::load(file(&folder)).unwrap();
}

static COME: AtomicUsize = AtomicUsize::new(0);
static BEFORE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn counts(_: libc::c_int) {
    COME.fetch_add(1, Ordering::SeqCst);
}

fn handler() -> libc::sighandler_t {
    counts as extern "C" fn(libc::c_int) as libc::sighandler_t
}

fn a_handler_from_before_is_refused() {
    if role().is_some() {
        set(libc::SIGTERM, handler());
        let error = tracemalloc::start_from_env().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidVariable);
        let text = error.to_string();
        let expected = "TRACEMALLOC_SIGNALS=INT, SIGTERM,HUP: the program handles SIGTERM itself";
        assert!(text.starts_with(expected), "{text}");
        assert!(!tracemalloc::is_tracing());
        ready();
        return;
    }
    let folder = Folder::new("ending-refused");
    let child = start(&folder, "handles");
    assert!(wait(child).success());
    assert_eq!(folder.files().len(), 0);
}

fn wait_for_the_handler() {
    while COME.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

fn a_later_handler_decides_alone() {
    if role().is_some() {
        tracemalloc::start_from_env().unwrap();
        set(libc::SIGTERM, handler());
        ready();
        wait_for_the_handler();
        std::process::exit(7);
    }
    let folder = Folder::new("ending-later");
    let child = start(&folder, "handles");
    send(&child, libc::SIGTERM);
    assert_eq!(wait(child).code(), Some(7));
    // Of the exit.
    Snapshot::load(file(&folder)).unwrap();
}

extern "C" fn calls_the_one_before(signal: libc::c_int) {
    let before = BEFORE.load(Ordering::SeqCst);
    // SAFETY: the address of the handler that was there before.
    let before: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(before) };
    before(signal);
    counts(signal);
}

fn a_later_handler_that_calls_the_one_before_decides_too() {
    if role().is_some() {
        tracemalloc::start_from_env().unwrap();
        let kept = black_box(vec![1_u8; 54_321]);
        let new = calls_the_one_before as extern "C" fn(libc::c_int) as libc::sighandler_t;
        BEFORE.store(set(libc::SIGTERM, new), Ordering::SeqCst);
        ready();
        wait_for_the_handler();
        // The handler from before has a snapshot saved, and leaves the program alone.
        let path = env::var_os("TRACEMALLOC_OUT").unwrap();
        let is_saved =
            || Snapshot::load(&path).is_ok_and(|saved| holds(&saved, 54_321, "ending.rs"));
        while !is_saved() {
            thread::sleep(Duration::from_millis(5));
        }
        drop(kept);
        std::process::exit(7);
    }
    let folder = Folder::new("ending-chained");
    let child = start(&folder, "handles");
    send(&child, libc::SIGTERM);
    assert_eq!(wait(child).code(), Some(7));
    let snapshot = Snapshot::load(file(&folder)).unwrap();
    assert!(!holds(&snapshot, 54_321, "ending.rs"), "that of the exit");
}

fn a_forked_child_just_ends() {
    if role().is_some() {
        tracemalloc::start_from_env().unwrap();
        static IS_CHILD: AtomicBool = AtomicBool::new(false);
        // SAFETY: the child waits for its end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            IS_CHILD.store(true, Ordering::SeqCst);
            sleep_for_ever();
        }
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::kill(child, libc::SIGTERM) }, 0);
        let mut status = 0;
        // SAFETY: waits for the child just made.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(libc::WTERMSIG(status), libc::SIGTERM);
        // The thread has not taken the child's signal for one of its own process.
        let path = env::var_os("TRACEMALLOC_OUT").unwrap();
        assert!(!std::path::Path::new(&path).exists());
        ready();
        return;
    }
    let folder = Folder::new("ending-fork");
    let child = start(&folder, "forks");
    assert!(wait(child).success());
}

fn a_program_that_panics_leaves_a_file() {
    if role().is_some() {
        tracemalloc::start_from_env().unwrap();
        ready();
        let lost = black_box(vec![1_u8; 54_321]);
        if black_box(lost.len()) > 0 {
            panic!("on purpose");
        }
    }
    let folder = Folder::new("ending-panic");
    let status = wait(start(&folder, "panics"));
    assert_eq!(status.code(), Some(101));
    let snapshot = Snapshot::load(file(&folder)).unwrap();
    // It was given back on the way; the peak knows it.
    let peak = snapshot.view(View::AtPeak).unwrap();
    assert!(peak.total_size() >= 54_321);
}

fn without_a_file_signals_are_an_error() {
    let error = tracemalloc::start_from_env().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidVariable);
    let text = "TRACEMALLOC_SIGNALS=INT: TRACEMALLOC_OUT does not say where to save a snapshot";
    assert_eq!(error.to_string(), text);
    assert!(!tracemalloc::is_tracing());
}
