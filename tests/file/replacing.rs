//! Files are replaced as a whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use tracemalloc::{Error, ErrorKind, Snapshot};

use crate::sample::{all_fields, assert_same, bytes_of, gunzip};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn dump_replaces_and_leaves_nothing_else() {
    let folder = folder("replace");
    let path = folder.join("snapshot.json.gz");
    fs::write(&path, "old").unwrap();
    all_fields().dump(&path).unwrap();
    assert_same(&Snapshot::load(&path).unwrap(), &all_fields());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_dumped_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("mode").join("snapshot.json.gz");
    all_fields().dump(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_planted_link_is_replaced_and_not_followed() {
    let folder = folder("link");
    let (victim, path) = (folder.join("victim"), folder.join("snapshot.json.gz"));
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    all_fields().dump(&path).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(Snapshot::load(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn a_folder_behind_a_link_is_not_replaced() {
    let folder = folder("folder-link");
    let (inside, path) = (folder.join("inside"), folder.join("link"));
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(&inside, &path).unwrap();
    check_path(all_fields().dump(&path), &path, ErrorKind::Io);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[track_caller]
fn check_path(result: Result<(), Error>, path: &Path, kind: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.path(), Some(path));
    assert!(
        error.to_string().starts_with(&path.display().to_string()),
        "{error}"
    );
}

#[test]
fn errors_name_the_path() {
    let folder = folder("errors");
    let missing = folder.join("missing").join("snapshot.json.gz");
    check_path(all_fields().dump(&missing), &missing, ErrorKind::Io);
    check_path(Snapshot::load(&missing).map(drop), &missing, ErrorKind::Io);
    check_path(Snapshot::load(&folder).map(drop), &folder, ErrorKind::Io);
    let nameless = folder.join("..");
    check_path(all_fields().dump(&nameless), &nameless, ErrorKind::Io);
    let text = folder.join("notes.txt");
    fs::write(&text, "Dear diary").unwrap();
    check_path(
        Snapshot::load(&text).map(drop),
        &text,
        ErrorKind::InvalidFile,
    );
}

#[test]
fn a_failed_dump_leaves_the_target_and_no_other_file() {
    let folder = folder("failed");
    let path = folder.join("snapshot.json.gz");
    fs::write(&path, "old").unwrap();
    let mut snapshot = all_fields();
    snapshot.set_attribute("note", "x".repeat((1 << 20) + 1));
    check_path(snapshot.dump(&path), &path, ErrorKind::InvalidFile);
    assert_eq!(fs::read(&path).unwrap(), b"old");

    let occupied = folder.join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("file"), "").unwrap();
    check_path(all_fields().dump(&occupied), &occupied, ErrorKind::Io);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let mut full = fs::File::options().write(true).open("/dev/full").unwrap();
    let error = all_fields().write_to(&mut full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    // A device is written to and stays a device.
    check_path(
        all_fields().dump("/dev/full"),
        Path::new("/dev/full"),
        ErrorKind::Io,
    );
    assert!(!fs::metadata("/dev/full").unwrap().is_file());
}

#[test]
fn nothing_of_the_process_is_in_the_file() {
    let written = String::from_utf8(gunzip(&bytes_of(&all_fields()))).unwrap();
    let argument = std::env::args().next().unwrap();
    assert!(!written.contains(&argument));
    let home = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| argument.clone());
    assert!(!written.contains(&home));
}
