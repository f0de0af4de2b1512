//! A snapshot that has everything: several crates, the standard library between them, recursion,
//! cut stacks, domains, losses, a function without a line, source lines.

use std::error::Error;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tracemalloc::Snapshot;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/shop.rs");

/// `orders` orders are live.
pub(crate) fn snapshot(orders: u64) -> Result<Snapshot, Box<dyn Error>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    // The format and its version stand first, as a reader demands.
    let body = body(orders).to_string();
    let head = r#"{"format":"tracemalloc-snapshot","version":1,"#;
    write!(gzip, "{head}{}", &body[1..])?;
    Ok(Snapshot::read_from(&gzip.finish()?[..])?)
}

/// The rest of a snapshot file: `docs/FORMAT.md`.
fn body(orders: u64) -> Value {
    let frame = |file: u32, line: u32, function: u32, krate: u32| json!({"file": file, "line": line, "function": function, "crate": krate});
    json!({
        "meta": {
            "traceback_limit": 4,
            "taken_at": 1_798_761_599,
            "process_id": 4242,
            "current": 900_000,
            "peak": 1_200_000,
            "tracer_memory": 700_000,
            "losses": {"blocks": 3, "stacks": 0, "replaced": 2},
            "attributes": {"label": "after <warm-up>"},
        },
        "modules": [],
        "strings": [
            "src/main.rs", "shop::main", "shop",
            "<std>/core/src/iter.rs", "core::iter::fold", "core",
            "parser-1.2.0/src/lib.rs", "parser::parse", "parser",
            "src/orders.rs", "shop::orders::<impl Load for Order<T>>::load",
            "libz.so.1!inflateInit2_", SOURCE, "gpu/heap.rs", "gpu::allocate", "gpu",
        ],
        "frames": [
            frame(0, 12, 1, 2),
            frame(3, 99, 4, 5),
            frame(6, 40, 7, 8),
            frame(6, 41, 7, 8),
            {"file": 9, "line": 1, "function": 10, "crate": 2, "path": 12},
            {"file": 11, "line": 0, "named": true},
            frame(13, 5, 14, 15),
            frame(0, 14, 1, 2),
        ],
        "nodes": [
            [null, 0], [0, 1], [1, 2], [2, 3], [3, 2],
            [0, 4], [null, 5], [null, 6], [null, 7], [8, 1],
        ],
        "stacks": [
            [2, null, false], [4, 9, false], [5, null, false],
            [6, null, false], [7, null, false], [9, null, false],
        ],
        "runs": [
            [0, 0, 1000, 100],
            [1, 0, 64, 2000 - 10 * orders],
            [2, 0, 4096, orders],
            [3, 0, 7000, 1],
            [4, 1, 262_144, 1],
            [5, 0, 40, 10],
            [2, 0, 0, 2],
        ],
    })
}
