//! What a writer returns comes back, at whatever point of the file it gives up.

use std::io::{self, Write};
use std::num::NonZeroU64;

use tracemalloc::report::{Csv, Dhat, Folded, Json, Pprof};
use tracemalloc::{Counting, Error, ErrorKind, GroupBy, Snapshot};

use crate::sample::{hostile, of, server};

/// A disk with `room` for a number of bytes.
struct Disk {
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn check<W>(write: W)
where
    W: Fn(&mut Disk) -> io::Result<()>,
{
    const ROOM: usize = 1 << 20;
    let mut disk = Disk { room: ROOM };
    write(&mut disk).unwrap();
    let len = ROOM - disk.room;
    assert!(len > 0);
    for room in [0, 1, len / 2, len - 1] {
        let error = write(&mut Disk { room }).expect_err("the disk is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{room} of {len}");
    }
    write(&mut Disk { room: len }).expect("there is room for all of it");
}

/// The operating system's error behind one of this crate's.
fn cause(result: Result<(), Error>) -> io::Result<()> {
    result.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Io);
        let cause = std::error::Error::source(&error).expect("an error of the writer");
        let cause: &io::Error = cause.downcast_ref().expect("an error of the writer");
        cause.kind().into()
    })
}

#[test]
fn a_full_disk_is_an_error_of_every_export() {
    let (new, old) = (server(3), hostile());
    check(|out| Folded::new().write(&new, out));
    check(|out| cause(Folded::new().write_diff(&new, &old, out)));
    check(|out| Pprof::new().write(&new, out));
    check(|out| Dhat::new().write(&new, out));
    check(|out| cause(Json::new().write(&new, out)));
    check(|out| cause(Json::new().write_diff(&new, &old, out)));
    check(|out| cause(Csv::new().write(&new, out)));
    check(|out| cause(Csv::new().write_diff(&new, &old, out)));
}

/// `/dev/full` is a disk without room for anything.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_really_full_is_an_error() {
    let full = || {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let server = server(3);
    let error = Pprof::new().write(&server, &mut full()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let error = Json::new().write(&server, &mut full()).unwrap_err();
    assert!(error.to_string().starts_with("cannot write: "), "{error}");
}

/// A disk that takes bytes and then, when all have to be there, has lost them.
struct Forgetful;

impl Write for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[test]
fn what_is_found_out_last_comes_back_too() {
    let server = server(1);
    for result in [
        Folded::new().write(&server, &mut Forgetful),
        Pprof::new().write(&server, &mut Forgetful),
        Dhat::new().write(&server, &mut Forgetful),
        cause(Json::new().write(&server, &mut Forgetful)),
        cause(Csv::new().write(&server, &mut Forgetful)),
    ] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

#[test]
fn questions_without_an_answer_write_nothing() {
    #[track_caller]
    fn check(write: impl FnOnce(&Snapshot, &mut Vec<u8>) -> Result<(), Error>, kind: ErrorKind) {
        let mut out = Vec::new();
        assert_eq!(write(&server(1), &mut out).unwrap_err().kind(), kind);
        assert!(out.is_empty());
    }
    let stacks = GroupBy::Traceback;
    let (json, csv) = (
        Json::new().group_by(stacks).counting(Counting::Cumulative),
        Csv::new().group_by(stacks).counting(Counting::Cumulative),
    );
    let kind = ErrorKind::CumulativeTraceback;
    check(|snapshot, out| json.write(snapshot, out), kind);
    check(
        |snapshot, out| json.write_diff(snapshot, snapshot, out),
        kind,
    );
    check(|snapshot, out| csv.write(snapshot, out), kind);
    check(
        |snapshot, out| csv.write_diff(snapshot, snapshot, out),
        kind,
    );

    // That file was recorded with the frames of the standard library.
    let kind = ErrorKind::NotComparable;
    let golden = crate::sample::data("v1-all-fields.tmsnap.json.gz");
    let with_runtime = Snapshot::load(golden).unwrap();
    check(
        |snapshot, out| Folded::new().write_diff(snapshot, &with_runtime, out),
        kind,
    );
    check(
        |snapshot, out| Json::new().write_diff(&with_runtime, snapshot, out),
        kind,
    );
    check(
        |snapshot, out| Csv::new().write_diff(snapshot, &with_runtime, out),
        kind,
    );
    let sampled = of([]).with_sample_every(NonZeroU64::MIN);
    assert!(
        Folded::new()
            .write_diff(&sampled, &server(1), &mut Vec::new())
            .is_ok()
    );
}
