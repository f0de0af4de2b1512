//! Damaged files, and files that are something else.

use std::fs;

use tracemalloc::{ErrorKind, Snapshot};

use crate::sample::{GOLDEN, all_fields, assert_same, check_bytes, gunzip, gzip, read_json};

#[test]
fn every_truncation_is_an_error() {
    let golden = fs::read(GOLDEN).unwrap();
    for len in 0..golden.len() {
        let error = Snapshot::read_from(&golden[..len]).expect_err("a part is not a snapshot");
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{len} bytes: {error}");
    }
}

/// Some bits of the gzip header mean nothing here (the time, the system), so a few changes leave
/// the snapshot whole.
#[test]
pub(crate) fn every_flipped_bit_is_found_or_harmless() {
    let golden = fs::read(GOLDEN).unwrap();
    let expected = all_fields();
    let mut harmless = 0;
    for bit in 0..golden.len() * 8 {
        let mut damaged = golden.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match Snapshot::read_from(&damaged[..]) {
            Ok(found) => {
                assert_same(&found, &expected);
                harmless += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidFile, "bit {bit}: {error}"),
        }
    }
    assert!(harmless <= 10 * 8, "{harmless} changes went unnoticed");
}

#[test]
fn foreign_files_are_refused() {
    check_bytes(b"", "not a tracemalloc snapshot: it is empty");
    for foreign in [
        &b"Dear diary"[..],
        b"<!doctype html>",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    ] {
        check_bytes(
            foreign,
            "not a tracemalloc snapshot: it does not begin as a gzip file does",
        );
    }
    check_bytes(&gzip(b""), "EOF");
    check_bytes(&gzip(b"Dear diary"), "line 1 column 1");
    check_bytes(&gzip(b"[1, 2]"), "an object that starts with");
    check_bytes(&gzip(b"{}"), "`format` is not at its place");
    check_bytes(
        &gzip(br#"{"traceEvents": []}"#),
        "`format` is not at its place",
    );
    check_bytes(
        &gzip(br#"{"format": "pprof", "version": 1}"#),
        "tracemalloc-snapshot",
    );
    check_bytes(
        &gzip(&[b"{\"format\":", &[b'['; 100_000][..]].concat()),
        "invalid type",
    );
}

#[test]
fn what_follows_the_snapshot_is_refused() {
    let golden = fs::read(GOLDEN).unwrap();
    check_bytes(&[&golden[..], b"x"].concat(), "more data follow");
    check_bytes(&[&golden[..], &golden].concat(), "more data follow");
    check_bytes(
        &gzip(&[&gunzip(&golden)[..], b"x"].concat()),
        "trailing characters",
    );
}

#[test]
fn a_newer_version_is_named() {
    // The rest of the file may have any form by then.
    let newer = r#"{"format":"tracemalloc-snapshot","version":3,"runs":"elsewhere"}"#;
    let error = read_json(newer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    assert!(error.to_string().contains("version 3"), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
    check_bytes(
        &gzip(br#"{"format":"tracemalloc-snapshot","version":0}"#),
        "unknown version 0",
    );
}
