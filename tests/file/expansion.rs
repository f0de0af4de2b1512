//! Small files that would become large.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tracemalloc::{Domain, ErrorKind, Frame, Snapshot, Trace, Traceback};

use crate::sample::{bytes_of, check_bytes, document, gzip, read_json};

/// Every prefix of one long chain of calls as a stack: a small file that would expand to the square
/// of its size.
fn staircase(height: u32) -> String {
    let rows: Vec<u32> = (0..height).collect();
    let parent = |row: u32| row.checked_sub(1);
    document(json!({
        "nodes": rows.iter().map(|row| json!([parent(*row), 0])).collect::<Vec<_>>(),
        "stacks": rows.iter().map(|row| json!([row, null, false])).collect::<Vec<_>>(),
        "runs": rows.iter().map(|row| json!([row, 0, 1, 1])).collect::<Vec<_>>(),
    }))
}

#[test]
fn stacks_do_not_expand_without_bound() {
    let snapshot = read_json(&staircase(1_000)).unwrap();
    assert_eq!(
        snapshot
            .traces()
            .unwrap()
            .next_back()
            .unwrap()
            .traceback
            .len(),
        1_000
    );
    check_bytes(
        &gzip(staircase(100_000).as_bytes()),
        "frames together, too many",
    );
    check_bytes(
        &gzip(staircase(140_000).as_bytes()),
        "stack 131072 has 131073 frames",
    );
}

/// A gzip stream of spaces without end. Each piece is a finished block of deflate, so it can follow
/// itself.
struct Bomb {
    piece: Vec<u8>,
    pending: Vec<u8>,
    produced: u64,
}

impl Bomb {
    fn new() -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.flush().unwrap();
        let header = encoder.get_ref().len();
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
        encoder.flush().unwrap();
        let pending = encoder.get_ref().clone();
        Self {
            piece: pending[header..].to_vec(),
            pending,
            produced: 0,
        }
    }
}

impl Read for Bomb {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.pending.is_empty() {
            self.pending = self.piece.clone();
        }
        let len = into.len().min(self.pending.len());
        into[..len].copy_from_slice(&self.pending[..len]);
        self.pending.drain(..len);
        self.produced += len as u64;
        assert!(self.produced < 1 << 18, "the reader did not stop");
        Ok(len)
    }
}

#[test]
fn a_bomb_is_refused_early() {
    let mut bomb = Bomb::new();
    let error = Snapshot::read_from(&mut bomb).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    assert!(
        error.to_string().contains("compressed bytes expand to"),
        "{error}"
    );
    assert!(
        bomb.produced < 64 << 10,
        "{} bytes were read",
        bomb.produced
    );
}

/// A long run of blocks in turn from two places: the most regular file that a program can cause.
#[test]
fn a_regular_snapshot_is_not_taken_for_a_bomb() {
    let stacks = [1, 2].map(|line| Traceback::of(Frame::new("a", line)));
    let traces = (0..1_000_000).map(|index| Trace::new(Domain::HEAP, 8, stacks[index % 2].clone()));
    let bytes = bytes_of(&Snapshot::from_traces(traces, 1));
    let found = Snapshot::read_from(&bytes[..]).unwrap();
    assert_eq!(found.block_count(), 1_000_000, "{} bytes", bytes.len());
}

/// The worst files known run again in a process that has 512 MiB of address space; without a bound
/// they end it.
#[cfg(target_os = "linux")]
#[test]
fn hostile_files_fit_into_512_mib() {
    const CHILD: &str = "TRACEMALLOC_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        stacks_do_not_expand_without_bound();
        a_bomb_is_refused_early();
        crate::round_trip::a_run_of_many_blocks_costs_one_row();
        crate::damaged::every_flipped_bit_is_found_or_harmless();
        // The rows that take the most memory for what they weigh: 25 KB of them.
        let rows = r#"{"file":0,"line":0},"#.repeat(500_000);
        let text = document(json!({"frames": "ROWS"}));
        let text = text.replace(r#""ROWS""#, &format!(r#"[{rows}{{"file":0,"line":0}}]"#));
        assert_eq!(read_json(&text).unwrap().block_count(), 3);
        return;
    }
    let status = std::process::Command::new("sh")
        .args([
            "-c",
            r#"ulimit -v 524288 && exec "$0" --exact "$1" --test-threads 1"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .arg("expansion::hostile_files_fit_into_512_mib")
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
