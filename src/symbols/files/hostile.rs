//! Damaged files: whatever a file holds, reading it ends, and with names or without.
//!
//! `tests/data/code` has one small library, with plain and with compressed debug information. Its source
//! is there too, with the command that made it.

use std::fs;
use std::path::Path;

use super::*;

const FILES: [&str; 3] = ["plain.so", "zlib.so", "zstd.so"];

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/code");
    fs::read(folder.join(name)).expect("a file of the tests")
}

/// What is known of all places of a file's code. Its build id is taken as it is.
fn names(folder: &Path, bytes: &[u8]) -> Vec<Symbol> {
    let path = folder.join("code.so");
    fs::write(&path, bytes).expect("a folder of the test's own");
    let mapped = Mapped::open(&path).expect("the file was written");
    let id = mapped.object().and_then(|object| build_id(&object));
    let module = Module::new(path.to_string_lossy(), id);
    let places: Vec<u64> = (0x1000..0x1400).step_by(8).collect();
    let mut found = Vec::new();
    for is_program in [false, true] {
        let stash = Stash::new();
        let wanted = Wanted {
            module: &module,
            is_program,
            candidates: vec![path.clone().into()],
            folders: &[],
        };
        if let Ok(reader) = FileReader::open(&stash, &wanted, &places) {
            let symbols = places.iter().map(|place| reader.symbols_at(*place));
            found.extend(symbols.flatten());
            let _ = reader.packages();
        }
    }
    found
}

fn functions(symbols: &[Symbol]) -> Vec<&str> {
    let mut names: Vec<&str> = symbols
        .iter()
        .filter_map(|of| of.function.as_deref())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn compressed_debug_information_has_equal_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = FILES.map(|name| {
        let symbols = names(folder.path(), &file(name));
        let shown = symbols.iter().map(|of| {
            format!(
                "{:?} {:?} {} {:?}",
                of.function, of.path, of.line, of.entry_name
            )
        });
        (functions(&symbols).join(" "), shown.collect::<Vec<_>>())
    });
    assert!(
        found[0].0.contains("fill") && found[0].0.contains("push"),
        "{found:?}"
    );
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

/// A sequence that every run has in common.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn damaged_files_are_read_to_an_end() {
    const ROUNDS: u64 = if cfg!(debug_assertions) { 400 } else { 4000 };
    const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let folder = tempfile::tempdir().expect("a folder");
    let mut named = 0;
    for name in FILES {
        let whole = file(name);
        for round in 1..=ROUNDS {
            let mut numbers = Numbers(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut bytes = whole.clone();
            for _ in 0..=numbers.below(8) {
                let at = numbers.below(bytes.len());
                let end = (at + 1 + numbers.below(8)).min(bytes.len());
                let value = EDGES[numbers.below(EDGES.len())];
                match numbers.below(3) {
                    0 => bytes[at] ^= 1 << numbers.below(8),
                    1 => bytes[at..end].fill(value),
                    _ => bytes.copy_within(at..end, numbers.below(whole.len() - 8)),
                }
            }
            if numbers.below(8) == 0 {
                bytes.truncate(numbers.below(whole.len()));
            }
            named += usize::from(!names(folder.path(), &bytes).is_empty());
        }
    }
    // Damage that always stopped the reader early would test nothing.
    assert!(named as u64 > ROUNDS, "{named}");
}
