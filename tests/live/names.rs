//! Snapshots without names, and names that are read later.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use tracemalloc::{
    Config, ErrorKind, GroupBy, Names, Snapshot, Symbolized, Symbolizer, Unread, View,
};

use crate::cases;
use crate::folder::Folder;

cases![
    a_snapshot_named_later_is_the_one_named_at_once,
    a_snapshot_named_later_keeps_history_tags_and_losses,
    a_stripped_program_is_named_from_its_unstripped_copy,
    a_block_has_names_at_once,
    names_are_read_ahead,
    a_snapshot_without_memory_for_names_has_none,
];

#[inline(never)]
fn kept() -> Vec<String> {
    let mut kept: Vec<String> = (0..40).map(|n| format!("number {n}")).collect();
    kept.push("x".repeat(5000));
    kept
}

/// What one session sees of the same work.
fn snapshot(config: Config) -> Snapshot {
    config.start().unwrap();
    let kept = black_box(kept());
    let snapshot = tracemalloc::take_snapshot().unwrap();
    tracemalloc::stop();
    drop(kept);
    snapshot
}

#[track_caller]
fn check_equal(named: &Snapshot, later: &Snapshot) {
    for group in [
        GroupBy::File,
        GroupBy::Line,
        GroupBy::Function,
        GroupBy::Crate,
        GroupBy::Traceback,
        GroupBy::Type,
    ] {
        let differences = later.compare_to(named, group).unwrap();
        let differences = differences.iter().filter(|row| row.size_diff != 0);
        assert_eq!(differences.count(), 0, "by {group}");
    }
    let stacks = |snapshot: &Snapshot| {
        let traces = snapshot.traces().unwrap();
        let mut stacks: Vec<String> = traces
            .map(|trace| {
                let stack = &trace.traceback;
                let frames: Vec<String> = stack
                    .iter()
                    .map(|frame| format!("{frame:?} {:?} {:?}", frame.path(), frame.origin()))
                    .collect();
                let of_stack = (
                    stack.total_nframe(),
                    stack.is_truncated(),
                    stack.type_name(),
                );
                format!("{} {of_stack:?} {frames:?}", trace.size)
            })
            .collect();
        stacks.sort();
        stacks
    };
    assert_eq!(stacks(later), stacks(named));
    assert_eq!(later.recording().losses, named.recording().losses);
}

#[track_caller]
fn symbolized(symbolizer: &Symbolizer, snapshot: &Snapshot) -> Symbolized {
    let named = symbolizer.symbolize(snapshot).unwrap();
    assert_eq!(named.snapshot.recording().unnamed, None, "{named:#?}");
    named
}

fn a_snapshot_named_later_is_the_one_named_at_once() {
    for (limit, runtime_frames) in [(2, false), (200, true), (25, false)] {
        let config = || {
            let config = Config::new().frames(limit);
            config.keep_runtime_frames(runtime_frames)
        };
        let [named, later] =
            [Names::Now, Names::Later].map(|names| snapshot(config().names(names)));
        assert_eq!(later.recording().unnamed, Some(Unread::Later));
        let traces = later.traces().unwrap();
        let frames: Vec<_> = traces.flat_map(|trace| trace.traceback.to_vec()).collect();
        assert!(frames.iter().all(|frame| frame.is_unnamed()));
        assert!(frames.iter().all(|frame| frame.function().is_none()));
        let error = later.compare_to(&named, GroupBy::Line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotComparable);

        // Over a file, as on another host.
        let mut file = Vec::new();
        later.write_to(&mut file).unwrap();
        let loaded = Snapshot::read_from(&file[..]).unwrap();
        assert_eq!(loaded.recording(), later.recording());
        assert_eq!(loaded.traces().unwrap(), later.traces().unwrap());
        check_equal(&named, &symbolized(&Symbolizer::new(), &loaded).snapshot);
    }
}

fn a_snapshot_named_later_keeps_history_tags_and_losses() {
    let _tag = tracemalloc::tag("kept");
    let config = || Config::new().history(true).thread_names(true);
    let [named, later] = [Names::Now, Names::Later].map(|names| snapshot(config().names(names)));
    let later = symbolized(&Symbolizer::new(), &later).snapshot;
    check_equal(&named, &later);
    for view in [View::AtPeak, View::Allocated, View::Temporary] {
        let [named, later] = [&named, &later].map(|snapshot| snapshot.view(view).unwrap());
        assert_eq!(named.total_size(), later.total_size());
    }
    for group in [GroupBy::Tag, GroupBy::Thread] {
        assert_eq!(later.compare_to(&named, group).unwrap()[0].size_diff, 0);
    }
}

/// Runs a stripped copy of this program, which saves a snapshot at its end.
fn a_stripped_program_is_named_from_its_unstripped_copy() {
    const CHILD: &str = "TRACEMALLOC_TEST_NAMES_CHILD";
    if std::env::var_os(CHILD).is_some() {
        tracemalloc::start_from_env().unwrap();
        std::mem::forget(black_box(kept()));
        return;
    }
    let folder = Folder::new("names");
    let program = std::env::current_exe().unwrap();
    let stripped = folder.0.join(program.file_name().unwrap());
    strip(&program, &stripped);
    let run = |program: &Path, out: &str, names: &str| -> Snapshot {
        let out = folder.0.join(out);
        let output = crate::runner::command(program)
            .env(CHILD, "1")
            .env("TRACEMALLOC", "25")
            .env("TRACEMALLOC_NAMES", names)
            .env("TRACEMALLOC_OUT", &out)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Snapshot::load(out).unwrap()
    };
    let named = run(&program, "named.gz", "now");
    let later = run(&stripped, "later.gz", "later");

    // The stripped file alone names nothing, so stacks are not trimmed by what is not known.
    let alone = Symbolizer::new().symbolize(&later).unwrap();
    assert_eq!(alone.snapshot.recording().unnamed, Some(Unread::Later));
    let of_program = |named: &Symbolized| {
        let mut modules = named.modules.iter();
        let found = modules.find(|of| Path::new(&of.module.path) == stripped);
        found.unwrap().file.clone()
    };
    assert_eq!(of_program(&alone), Err(Unread::Stripped));

    std::fs::remove_file(&stripped).unwrap();
    let gone = Symbolizer::new().symbolize(&later).unwrap();
    assert_eq!(of_program(&gone), Err(Unread::NoFile));

    for symbolizer in [
        Symbolizer::new().debug_file(&program),
        Symbolizer::new().debug_dir(program.parent().unwrap()),
    ] {
        let later = symbolized(&symbolizer, &later);
        assert_eq!(of_program(&later), Ok(program.clone()));
        check_equal(&named, &later.snapshot);
    }
    refuses_other_files(&later, &folder);
}

fn refuses_other_files(later: &Snapshot, folder: &Folder) {
    let kind = |file: PathBuf| {
        let error = Symbolizer::new()
            .debug_file(&file)
            .symbolize(later)
            .unwrap_err();
        assert_eq!(error.path(), Some(file.as_path()));
        (error.kind(), error.to_string())
    };
    let text = folder.0.join("text");
    std::fs::write(&text, "no machine code").unwrap();
    assert_eq!(kind(text).0, ErrorKind::InvalidFile);
    assert_eq!(kind(folder.0.join("nothing")).0, ErrorKind::Io);
    let other = PathBuf::from("/proc/self/exe").canonicalize().unwrap();
    let copy = folder.0.join("other");
    let objcopy = Command::new("objcopy")
        .args(["--remove-section", ".note.gnu.build-id"])
        .args([&other, &copy])
        .status();
    assert!(objcopy.unwrap().success());
    let (kind, text) = kind(copy);
    assert_eq!(kind, ErrorKind::OtherBuild);
    assert!(text.contains("no build id; the snapshot is of"), "{text}");
}

/// Leaves nothing in the copy but what the program needs to run.
fn strip(program: &Path, stripped: &Path) {
    let status = Command::new("strip")
        .args(["--strip-all", "-o"])
        .args([stripped, program])
        .status();
    assert!(status.unwrap().success());
}

fn a_block_has_names_at_once() {
    Config::new().names(Names::Later).start().unwrap();
    let block = black_box(vec![1_u8; 100]);
    let stack = tracemalloc::get_object_traceback(&block).unwrap();
    assert_eq!(stack.most_recent().filename(), "tests/live/names.rs");
}

/// The snapshot then reads no file: none can be opened.
fn names_are_read_ahead() {
    tracemalloc::start(25).unwrap();
    let kept = black_box(kept());
    tracemalloc::load_names().unwrap();
    let names = tracemalloc::get_tracemalloc_memory();
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a system call that reads the limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
    let line = line!() + 1;
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert!(names > 0);
    assert_eq!(snapshot.recording().unnamed, None);
    let functions = snapshot.statistics(GroupBy::Function);
    let found = functions.iter().any(|group| {
        let function = group.traceback.most_recent().filename();
        function.ends_with("names::kept")
    });
    assert!(found, "{line}: {functions:#?}");
    drop(kept);
}

/// The variable says how many bytes of address space a child has left for its snapshot.
fn a_snapshot_without_memory_for_names_has_none() {
    const CHILD: &str = "TRACEMALLOC_TEST_ROOM";
    if let Ok(room) = std::env::var(CHILD) {
        tracemalloc::start(25).unwrap();
        let kept = black_box(kept());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let size = line.unwrap().trim().trim_end_matches(" kB").trim();
        let size: u64 = 1024 * size.parse::<u64>().unwrap();
        let limit = libc::rlimit {
            rlim_cur: size + room.parse::<u64>().unwrap(),
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: a system call that reads the limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let snapshot = tracemalloc::take_snapshot().unwrap();
        println!("unnamed {:?}", snapshot.recording().unnamed);
        let mut file = Vec::new();
        snapshot.write_to(&mut file).unwrap();
        drop(kept);
        return;
    }
    let told = |mebibytes: u64| {
        let output = crate::runner::command(&std::env::current_exe().unwrap())
            .env(CHILD, (mebibytes << 20).to_string())
            .output()
            .unwrap();
        // Whatever it has: nothing ends the program.
        assert!(output.status.success(), "{mebibytes} MiB: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Enough to save a snapshot, for which glibc takes a mebibyte or more at a time.
    let told_of_8 = told(8);
    assert!(told_of_8.contains("unnamed Some(NoMemory)"), "{told_of_8}");
    // Enough for the file, but not for what it takes to read it, or nearly so.
    let file = std::env::current_exe().unwrap().metadata().unwrap().len() >> 20;
    for mebibytes in [file / 2, file + 2, file + 4, file + 8, file + 16] {
        assert!(told(mebibytes).contains("unnamed "));
    }
    assert!(told(2000).contains("unnamed None"));
}
