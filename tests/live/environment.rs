//! Starting from the environment.

use std::hint::black_box;

use tracemalloc::ErrorKind;

use crate::cases;
#[cfg(feature = "file")]
use crate::folder::Folder;

cases![
    off_unless_asked_for,
    off_when_empty with &[("TRACEMALLOC", "")],
    off_when_zero with &[("TRACEMALLOC", "0")],
    starts_with_the_number_of_frames with &[("TRACEMALLOC", "13")],
    an_explicit_start_wins with &[("TRACEMALLOC", "13")],
    a_bad_value_is_an_error with &[("TRACEMALLOC", "-1")],
    too_many_frames_are_an_error with &[("TRACEMALLOC", "65536")],
    a_bad_sampling_period_is_an_error
        with &[("TRACEMALLOC", "13"), ("TRACEMALLOC_SAMPLE", "512 apples")],
    a_sampling_period_alone_starts_nothing with &[("TRACEMALLOC_SAMPLE", "512 apples")],
    a_sampling_period_of_0_records_everything
        with &[("TRACEMALLOC", "13"), ("TRACEMALLOC_SAMPLE", "0")],
    nothing_happens_without_the_call with &[("TRACEMALLOC", "13")],
    a_snapshot_is_written_at_exit,
    one_variable_without_the_other_is_said_once,
    #[cfg(all(target_os = "linux", feature = "file"))]
    files_that_may_not_grow_change_nothing,
    #[cfg(all(unix, feature = "file"))]
    a_snapshot_holds_no_secrets_of_the_process,
    #[cfg(target_os = "linux")]
    a_process_with_more_rights_than_its_user_ignores_them,
];

fn off_unless_asked_for() {
    tracemalloc::start_from_env().unwrap();
    assert!(!tracemalloc::is_tracing());
}

fn off_when_empty() {
    off_unless_asked_for();
}

fn off_when_zero() {
    off_unless_asked_for();
}

fn starts_with_the_number_of_frames() {
    tracemalloc::start_from_env().unwrap();
    assert_eq!(tracemalloc::get_traceback_limit(), Some(13));
    let block = black_box(vec![1_u8; 100]);
    assert!(tracemalloc::get_object_traceback(&block).is_some());
}

fn an_explicit_start_wins() {
    tracemalloc::start(4).unwrap();
    tracemalloc::start_from_env().unwrap();
    assert_eq!(tracemalloc::get_traceback_limit(), Some(4));
}

fn refused(variable: &str, value: &str) {
    let error = tracemalloc::start_from_env().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidVariable);
    assert!(
        error
            .to_string()
            .starts_with(&format!("{variable}={value}:")),
        "{error}"
    );
    assert!(!tracemalloc::is_tracing());
}

fn a_bad_value_is_an_error() {
    refused("TRACEMALLOC", "-1");
}

fn too_many_frames_are_an_error() {
    refused("TRACEMALLOC", "65536");
}

fn a_bad_sampling_period_is_an_error() {
    refused("TRACEMALLOC_SAMPLE", "512 apples");
}

fn a_sampling_period_alone_starts_nothing() {
    off_unless_asked_for();
}

fn a_sampling_period_of_0_records_everything() {
    starts_with_the_number_of_frames();
    assert_eq!(tracemalloc::take_snapshot().unwrap().sample_every(), None);
}

fn nothing_happens_without_the_call() {
    drop(black_box(vec![1_u8; 100]));
    assert!(!tracemalloc::is_tracing());
}

/// Runs itself again with an output file, and reads what the child leaves behind.
#[cfg(feature = "file")]
fn a_snapshot_is_written_at_exit() {
    const CHILD: &str = "TRACEMALLOC_TEST_AT_EXIT";
    if std::env::var_os(CHILD).is_some() {
        tracemalloc::start_from_env().unwrap();
        std::mem::forget(black_box(vec![1_u8; 54_321]));
        return;
    }
    let folder = Folder::new("at-exit");
    let run = |out: &str| {
        crate::runner::command(&std::env::current_exe().unwrap())
            .env(CHILD, "1")
            .env("TRACEMALLOC", "25")
            .env("TRACEMALLOC_OUT", folder.0.join(out))
            .output()
            .unwrap()
    };
    let output = run("end-%p.gz");
    assert!(output.status.success(), "{output:?}");
    let files = folder.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let snapshot = tracemalloc::Snapshot::load(&files[0]).unwrap();
    let name = format!("end-{}.gz", snapshot.recording().process_id.unwrap());
    assert!(files[0].ends_with(name));
    assert!(snapshot.traces().unwrap().any(|trace| trace.size == 54_321
        && trace.traceback.most_recent().filename() == "tests/live/environment.rs"));
    // Nothing of saving it is in it. The C library's `exit` calls what saves it.
    let mut last = snapshot.traces().unwrap();
    assert!(last.all(|trace| trace.traceback.most_recent().filename() != "exit"));

    let output = run("no/such/folder.gz");
    assert!(
        output.status.success(),
        "a failed write does not change how the program ends"
    );
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("tracemalloc: snapshot at exit:") && message.contains("folder.gz"),
        "{message}"
    );
}

#[cfg(not(feature = "file"))]
fn a_snapshot_is_written_at_exit() {}

/// Runs itself again with either variable, and reads what the child says.
fn one_variable_without_the_other_is_said_once() {
    const CHILD: &str = "TRACEMALLOC_TEST_ONE_VARIABLE";
    if std::env::var_os(CHILD).is_some() {
        tracemalloc::start_from_env().unwrap();
        tracemalloc::start_from_env().unwrap();
        return;
    }
    for (variable, value, line) in [
        (
            "TRACEMALLOC_OUT",
            "out.gz",
            "tracemalloc: TRACEMALLOC_OUT is set and TRACEMALLOC is not",
        ),
        (
            "TRACEMALLOC",
            "5",
            "tracemalloc: TRACEMALLOC is set and TRACEMALLOC_OUT is not",
        ),
        ("TRACEMALLOC", "0", ""),
    ] {
        let output = crate::runner::command(&std::env::current_exe().unwrap())
            .env(CHILD, "1")
            .env(variable, value)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = said
            .lines()
            .filter(|said| said.starts_with("tracemalloc:"))
            .collect();
        match line {
            "" => assert!(lines.is_empty(), "{said}"),
            line => assert!(lines.len() == 1 && lines[0].starts_with(line), "{said}"),
        }
    }
}

/// Says to a copy of this program that it is to act.
const CHILD: &str = "TRACEMALLOC_TEST_CHILD";

/// The system ends a process by a signal that writes more to a file than it may, unless the process
/// ignores it; then the write fails.
#[cfg(all(target_os = "linux", feature = "file"))]
fn files_that_may_not_grow_change_nothing() {
    use tracemalloc::Snapshot;
    if let Some(way) = std::env::var_os(CHILD) {
        tracemalloc::start_from_env().unwrap();
        std::mem::forget(black_box(vec![1_u8; 54_321]));
        if way == "by itself" {
            let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let before = open();
            let error = tracemalloc::take_snapshot()
                .unwrap()
                .dump(std::env::var_os("TRACEMALLOC_OUT").unwrap())
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().contains("File too large"), "{error}");
            assert_eq!(open(), before, "no file is left open");
        }
        return;
    }
    if crate::runner::target().is_some() {
        eprintln!("not run: the emulator would be limited too");
        return;
    }
    let folder = Folder::new("limited");
    let path = folder.0.join("out.gz");
    std::fs::write(&path, "older").unwrap();
    let program = std::env::current_exe().unwrap();
    for (way, ignored) in [("at exit", ":"), ("by itself", "trap '' XFSZ")] {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("{ignored}; ulimit -f 0; exec \"$0\"")])
            .arg(&program)
            .env(CHILD, way)
            .env("TRACEMALLOC", "25")
            .env("TRACEMALLOC_OUT", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{way}: {output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.contains("tracemalloc: snapshot at exit:")
                && message.contains("File too large"),
            "{way}: {message}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"older", "{way}");
        assert_eq!(folder.files(), [&*path], "{way}");
        assert!(Snapshot::load(&path).is_err());
    }
}

/// A child with secrets in its variables and its arguments, one of them not Unicode, leaves a
/// file that holds none of them and is its owner's only.
#[cfg(all(unix, feature = "file"))]
fn a_snapshot_holds_no_secrets_of_the_process() {
    use std::ffi::OsStr;
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    if std::env::var_os(CHILD).is_some() {
        tracemalloc::start_from_env().unwrap();
        std::mem::forget(black_box(vec![1_u8; 54_321]));
        return;
    }
    let folder = Folder::new("secrets");
    let path = folder.0.join("out.gz");
    let output = crate::runner::command(&std::env::current_exe().unwrap())
        .arg("--password=hunter2-in-arguments")
        .arg(OsStr::from_bytes(b"\xff\xfe"))
        .env(CHILD, "1")
        .env("DATABASE_URL", "hunter2-in-variables")
        .env("TRACEMALLOC", "25")
        .env("TRACEMALLOC_OUT", &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let file = std::fs::read(&path).unwrap();
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(&file[..])
        .read_to_end(&mut content)
        .unwrap();
    let content = String::from_utf8(content).unwrap();
    assert!(content.contains("54321"), "the block is in the file");
    assert!(!content.contains("hunter2"));
    assert!(!content.contains("DATABASE_URL"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A copy of this program that belongs to another user and runs with that user's rights. Only root
/// can make one; who is not cannot run this case.
#[cfg(target_os = "linux")]
fn a_process_with_more_rights_than_its_user_ignores_them() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;
    if let Some(expected) = std::env::var_os(CHILD) {
        tracemalloc::start_from_env().unwrap();
        assert_eq!(tracemalloc::is_tracing(), expected == "traced");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let owner = std::fs::metadata(&folder).unwrap().uid();
    if owner != 0 || crate::runner::target().is_some() {
        eprintln!("not run: only root can make such a program, for this system alone");
        return;
    }
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    // First as the user's own program, which listens to the variables, then with root's rights.
    for (user, mode, expected) in [(NOBODY, 0o755, "traced"), (0, 0o4755, "untraced")] {
        chown(&program, Some(user), Some(user)).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(mode)).unwrap();
        let output = std::process::Command::new(&program)
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir("/")
            .env(CHILD, expected)
            .env("TRACEMALLOC", "25")
            .output()
            .unwrap();
        assert!(output.status.success(), "{expected}: {output:?}");
    }
}
