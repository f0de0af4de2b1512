use super::*;
use std::thread;

use crate::error::ErrorKind;

fn folder(name: &str) -> PathBuf {
    let prefix = format!("tracemalloc-series-{name}-");
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir();
    folder.expect("a new folder").keep()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            let name = entry.expect("a readable folder").file_name();
            name.into_string().expect("text")
        })
        .collect();
    names.sort();
    names
}

fn numbers(folder: &Path, series: &str) -> Vec<u32> {
    let members = members(folder, series.as_ref()).expect("a readable folder");
    members.iter().map(|member| member.number).collect()
}

fn empty() -> Snapshot {
    Snapshot::from_traces([], 25)
}

#[test]
fn names_are_read_as_they_are_made() {
    let check = |name: &str, expect: Option<(u32, u32)>| {
        let read = Member::read(name.as_ref(), "heap".as_ref());
        let read = read.map(|member| (member.number, member.process));
        assert_eq!(read, expect, "{name}");
    };
    check(
        "heap-00000017-20260309T170405Z-4711.tmsnap.json.gz",
        Some((17, 4711)),
    );
    check(
        "heap-99999999-20260309T170405Z-1.tmsnap.json.gz",
        Some((LAST, 1)),
    );
    for foreign in [
        "heap",
        "heap.tmsnap.json.gz",
        "heap-17-20260309T170405Z-4711.tmsnap.json.gz",
        "heap-000000017-20260309T170405Z-4711.tmsnap.json.gz",
        "heap-100000000-20260309T170405Z-4711.tmsnap.json.gz",
        "heap-+0000017-20260309T170405Z-4711.tmsnap.json.gz",
        "heap-00000017-20260309T170405Z-04711.tmsnap.json.gz",
        "heap-00000017-20260309T170405Z-+4711.tmsnap.json.gz",
        "heap-00000017-20260309T170405Z-4294967296.tmsnap.json.gz",
        "heap-00000017-20260309-170405Z-4711.tmsnap.json.gz",
        "heap-00000017-20260309T170405Z-4711.tmsnap.json.gz.bak",
        "heap-00000017-20260309T170405Z-4711-2.tmsnap.json.gz",
        "heap-00000017-2026030xT170405Z-4711.tmsnap.json.gz",
        "heap-b-00000017-20260309T170405Z-4711.tmsnap.json.gz",
        "heap2-00000017-20260309T170405Z-4711.tmsnap.json.gz",
        "cheap-00000017-20260309T170405Z-4711.tmsnap.json.gz",
    ] {
        check(foreign, None);
    }
}

#[test]
fn the_newest_files_are_kept() {
    let folder = folder("newest");
    let series = Series::new(folder.join("heap")).keep(3);
    let paths: Vec<PathBuf> = (0..7)
        .map(|_| series.dump(&empty()).expect("a folder to write to"))
        .collect();
    assert!(paths.is_sorted());
    assert_eq!(numbers(&folder, "heap"), [5, 6, 7]);
    assert_eq!(names(&folder).len(), 3, "nothing else is left behind");
    assert!(paths[4..].iter().all(|path| Snapshot::load(path).is_ok()));
    // A number is not used again, though the files of lower numbers are gone.
    let all = Series::new(folder.join("heap"));
    all.dump(&empty()).expect("a folder to write to");
    assert_eq!(numbers(&folder, "heap"), [5, 6, 7, 8]);
    series.clone().keep(0).dump(&empty()).expect("as 1");
    assert_eq!(numbers(&folder, "heap"), [9]);
    fs::remove_dir_all(folder).expect("it is there");
}

/// Files that look like those of the series but for one thing.
#[test]
fn files_of_others_stay() {
    let folder = folder("others");
    let own = process::id();
    let mut others = vec![
        format!("heap-00000001-20260309T170405Z-{own}.json"),
        format!("heap-1-20260309T170405Z-{own}.tmsnap.tmsnap.json.gz"),
        format!("heap-00000001-20260309T170405Z-{own}.tmsnap.json.gz.part"),
        format!("heap-b-00000001-20260309T170405Z-{own}.tmsnap.json.gz"),
        format!("other-00000001-20260309T170405Z-{own}.json.gz"),
        // Another process.
        format!("heap-00000002-20260309T170405Z-{}.tmsnap.json.gz", own + 1),
        "notes.txt".to_owned(),
    ];
    for name in &others {
        fs::write(folder.join(name), "somebody's").expect("a folder to write to");
    }
    let as_folder = format!("heap-00000003-20260309T170405Z-{own}.tmsnap.json.gz");
    fs::create_dir(folder.join(&as_folder)).expect("a folder to write to");
    others.push(as_folder);
    #[cfg(unix)]
    {
        let link = format!("heap-00000001-20260309T170405Z-{own}.tmsnap.json.gz");
        std::os::unix::fs::symlink(folder.join("notes.txt"), folder.join(&link))
            .expect("a new link");
        others.push(link);
    }
    others.sort();
    let series = Series::new(folder.join("heap")).keep(1);
    for _ in 0..3 {
        series.dump(&empty()).expect("a folder to write to");
    }
    let mut left = names(&folder);
    let own_name = Member::now(5, own).name("heap".as_ref());
    let made = left
        .iter()
        .position(|name| name.starts_with("heap-00000005-"))
        .expect("the last one made, after number 2 of another process");
    assert_eq!(left.remove(made).len(), own_name.len());
    assert_eq!(left, others);
    assert_eq!(
        fs::read_to_string(folder.join("notes.txt")).expect("it is there"),
        "somebody's"
    );
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn across_processes_earlier_files_are_counted_too() {
    let folder = folder("across");
    for number in 1..=4 {
        let earlier = Member::now(number, process::id() + 1).name("heap".as_ref());
        fs::write(folder.join(earlier), "earlier").expect("a folder to write to");
    }
    let series = Series::new(folder.join("heap")).keep(2);
    series.dump(&empty()).expect("a folder to write to");
    assert_eq!(numbers(&folder, "heap"), [1, 2, 3, 4, 5]);
    let series = series.across_processes(true);
    series.dump(&empty()).expect("a folder to write to");
    assert_eq!(numbers(&folder, "heap"), [5, 6]);
    fs::remove_dir_all(folder).expect("it is there");
}

/// The name that comes next is taken, by something that is no file of the series.
#[cfg(unix)]
#[test]
fn what_is_there_is_never_replaced() {
    let folder = folder("taken");
    let series = Series::new(folder.join("heap"));
    let victim = folder.join("victim");
    let snapshot = empty();
    let now = || Member::now(1, process::id()).name("heap".as_ref());
    // A second may pass between the link and the dump: then the link was not in the way.
    let met = (0..20).any(|_| {
        let link = folder.join(now());
        std::os::unix::fs::symlink(&victim, &link).expect("a new link");
        let path = series.dump(&snapshot).expect("the next number is free");
        let met = path.to_string_lossy().contains("heap-00000002-");
        assert!(link.is_symlink() && !victim.exists());
        fs::remove_file(&link).expect("it is there");
        fs::remove_file(&path).expect("it is there");
        met
    });
    assert!(met, "the link was never in the way");
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn threads_have_a_file_each() {
    let folder = folder("threads");
    let series = Series::new(folder.join("heap"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    series.dump(&empty()).expect("a folder to write to");
                }
            });
        }
    });
    assert_eq!(numbers(&folder, "heap").len(), 40);
    assert_eq!(names(&folder).len(), 40);
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn errors_name_the_path() {
    let check = |path: &str, named: &str| {
        let error = Series::new(path)
            .dump(&empty())
            .expect_err("no such folder");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(
            error.to_string().starts_with(&format!("{named}: ")),
            "{error}"
        );
    };
    check("no/such/folder/heap", "no/such/folder");
    check("..", "..");
    check("", "");
}

/// The highest number is there already: no name is left.
#[test]
fn a_series_at_its_end_says_so() {
    let folder = folder("end");
    let last = Member::now(LAST, process::id()).name("heap".as_ref());
    fs::write(folder.join(last), "").expect("a folder to write to");
    let error = Series::new(folder.join("heap")).dump(&empty());
    let error = error.expect_err("no number is left").to_string();
    assert!(error.contains("no name is left"), "{error}");
    assert_eq!(names(&folder).len(), 1);
    fs::remove_dir_all(folder).expect("it is there");
}
