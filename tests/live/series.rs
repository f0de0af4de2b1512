//! Series of files in a running program.

use std::env;
use std::time::Duration;

use tracemalloc::{Config, ErrorKind, Series, View};

use crate::child;
use crate::folder::{Folder, holds};
use crate::{cases, runner};

cases![
    snapshots_are_saved_from_time_to_time,
    saving_is_not_recorded,
    processes_leave_each_others_files_alone,
    #[cfg(unix)]
    a_folder_that_cannot_be_written_to_is_named,
    #[cfg(unix)]
    what_cannot_be_written_leaves_nothing_behind,
];

const CHILD: &str = "TRACEMALLOC_TEST_SERIES";

fn snapshots_are_saved_from_time_to_time() {
    let folder = Folder::new("series-time");
    let series = Series::new(folder.0.join("heap")).keep(2);
    let period = Duration::from_millis(1);
    let dumper = tracemalloc::dump_every(period, series).unwrap();
    // While tracing is off nothing is saved.
    std::thread::sleep(20 * period);
    assert_eq!(folder.files().len(), 0);
    tracemalloc::start(25).unwrap();
    let held = std::hint::black_box(vec![1_u8; 54_321]);
    let has = |number: &str| {
        let files = folder.files();
        files.iter().any(|path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy()
                .starts_with(&format!("heap-0000000{number}-"))
        })
    };
    while !has("5") {
        std::thread::sleep(period);
    }
    drop(dumper);
    let files = folder.files();
    let snapshots = folder.snapshots();
    assert_eq!(snapshots.len(), 2);
    assert!(
        snapshots
            .iter()
            .all(|one| holds(one, held.len() as u64, "series.rs"))
    );
    std::thread::sleep(20 * period);
    assert_eq!(folder.files(), files, "the thread has ended");
}

/// The compressor alone takes 300 KB.
fn saving_is_not_recorded() {
    let folder = Folder::new("series-unrecorded");
    let series = Series::new(folder.0.join("heap"));
    Config::new().frames(25).history(true).start().unwrap();
    for _ in 0..3 {
        series.take_snapshot().unwrap();
    }
    let snapshots = folder.snapshots();
    let allocated = snapshots.iter().map(|one| {
        let allocated = one.view(View::Allocated).unwrap();
        allocated.total_size()
    });
    assert!(allocated.max().unwrap() < 64 << 10);
    assert!(snapshots[2].recording().peak < 64 << 10);
}

/// Three processes at one time, and one after them, with the same series.
fn processes_leave_each_others_files_alone() {
    if let Some(folder) = env::var_os(CHILD) {
        tracemalloc::start(25).unwrap();
        let folder = std::path::PathBuf::from(folder);
        let series = Series::new(folder.join("heap")).keep(2);
        for _ in 0..20 {
            series.take_snapshot().unwrap();
        }
        return;
    }
    let folder = Folder::new("series-processes");
    let limit = Duration::from_secs(100);
    let run = || {
        let mut command = runner::command(&env::current_exe().unwrap());
        command.env(CHILD, &folder.0);
        child::run(command, limit).unwrap().verdict(limit).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(run);
        }
    });
    assert_eq!(folder.files().len(), 6);
    let last = folder.files().pop();
    run();
    assert_eq!(folder.files().len(), 8);
    // The new process has gone on with the numbers.
    assert!(
        folder.files()[6..]
            .iter()
            .all(|path| Some(path) > last.as_ref())
    );
    let snapshots = folder.snapshots();
    let by_process =
        snapshots.chunk_by(|one, next| one.recording().process_id == next.recording().process_id);
    assert_eq!(by_process.last().map(<[_]>::len), Some(2));
}

/// Not root, who may write to all folders.
#[cfg(unix)]
fn a_folder_that_cannot_be_written_to_is_named() {
    use std::os::unix::fs::PermissionsExt;
    const NOBODY: u32 = 65_534;
    let folder = Folder::new("series-locked");
    tracemalloc::start(25).unwrap();
    std::fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o555)).unwrap();
    #[expect(unsafe_code, reason = "C functions")]
    // SAFETY: they take numbers.
    let user = unsafe { libc::geteuid() };
    if user == 0 {
        #[expect(unsafe_code, reason = "a C function")]
        // SAFETY: takes a number.
        let set = unsafe { libc::seteuid(NOBODY) };
        assert_eq!(set, 0);
    }
    let series = Series::new(folder.0.join("heap")).keep(1);
    let error = series.take_snapshot().unwrap_err();
    #[expect(unsafe_code, reason = "a C function")]
    // SAFETY: takes a number.
    let back = unsafe { libc::seteuid(user) };
    assert_eq!(back, 0);
    std::fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.path(), Some(&*folder.0));
    let named = format!("{}: cannot create a file: ", folder.0.display());
    assert!(error.to_string().starts_with(&named), "{error}");
    assert_eq!(folder.files().len(), 0);
}

/// No file may grow beyond some bytes, as on a disk that is full.
#[cfg(unix)]
fn what_cannot_be_written_leaves_nothing_behind() {
    let limit = |bytes: libc::rlim_t| {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: libc::RLIM_INFINITY,
        };
        #[expect(unsafe_code, reason = "a C function")]
        // SAFETY: reads the limit that is given.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
        assert_eq!(set, 0);
    };
    #[expect(unsafe_code, reason = "a C function")]
    // SAFETY: no handler is set. Writing beyond the limit is an error then, and not the end.
    let before = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);

    let folder = Folder::new("series-full");
    tracemalloc::start(25).unwrap();
    let series = Series::new(folder.0.join("heap")).keep(1);
    let older = series.take_snapshot().unwrap();
    limit(100);
    let error = series.take_snapshot().unwrap_err();
    limit(libc::RLIM_INFINITY);
    assert_eq!(error.kind(), ErrorKind::Io);
    let named = format!("{}: cannot write: ", folder.0.display());
    assert!(error.to_string().starts_with(&named), "{error}");
    assert_eq!(folder.files(), [older.as_path()]);
    let newer = series.take_snapshot().unwrap();
    assert_eq!(folder.files(), [newer.as_path()]);
}
