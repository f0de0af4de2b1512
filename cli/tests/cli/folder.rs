//! A folder with snapshots of a made-up program, and the golden files.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use tracemalloc::{
    BlockSum, Domain, Frame, GroupBy, Module, Snapshot, StackHistory, Trace, Traceback,
};

/// `old` and `new`, with less and more of the same; `all`, which has every field; `sampled`;
/// `empty`; `history` and `busier`, with totals and a peak; `tagged`, with tags and threads; `hostile`,
/// whose names hold what steers a terminal; the series `s1` to `s8`, with a leak, and `m1` to `m8`, where
/// only the resident memory grows.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    for (golden, name) in [("v1-all-fields", "all"), ("v1-sampled", "sampled")] {
        let golden = data.join(format!("{golden}.tmsnap.json.gz"));
        fs::copy(golden, folder.path().join(file(name))).unwrap();
    }
    for (name, snapshot) in [
        ("old", shop(40)),
        ("new", shop(52)),
        ("empty", Snapshot::from_traces([], 25)),
        ("hostile", hostile()),
        ("history", with_history(&shop(2))),
        ("busier", with_history_of(&shop(4), 60)),
        ("tagged", tagged()),
        ("s1", grown(1)),
        ("s2", grown(2)),
        ("s3", grown(3)),
        ("s4", grown(4)),
        ("s5", grown(5)),
        ("s6", grown(6)),
        ("s7", grown(7)),
        ("s8", grown(8)),
    ] {
        snapshot.dump(folder.path().join(file(name))).unwrap();
    }
    for minute in 1..=8 {
        let path = folder.path().join(file(&format!("m{minute}")));
        shop(40).dump(&path).unwrap();
        set_memory(&path, minute);
    }
    folder
}

/// Makes the snapshot one of a process whose resident memory grows, with what its allocator holds.
fn set_memory(path: &Path, minute: u64) {
    const MIB: u64 = 1 << 20;
    let mut json = String::new();
    let file = fs::File::open(path).unwrap();
    GzDecoder::new(file).read_to_string(&mut json).unwrap();
    // As text: the order of a file's parts counts.
    let known = format!(
        r#""meta":{{"taken_at":{},"resident_memory":{},"allocator_memory":{},"#,
        1_700_000_000 + 60 * minute,
        (30 + 3 * minute) * MIB,
        (14 + 3 * minute) * MIB,
    );
    for (old, new) in [
        (r#""meta":{"#, known),
        (r#""current":0"#, format!(r#""current":{}"#, 12 * MIB)),
        (r#""tracer_memory":0"#, format!(r#""tracer_memory":{MIB}"#)),
    ] {
        assert_eq!(json.matches(old).count(), 1, "{old}");
        json = json.replace(old, &new);
    }
    let file = fs::File::create(path).unwrap();
    let mut file = GzEncoder::new(file, Compression::fast());
    file.write_all(json.as_bytes()).unwrap();
    file.finish().unwrap();
}

fn file(name: &str) -> String {
    format!("{name}.tmsnap.json.gz")
}

/// `TEXT` with `@name` for the file of the snapshot of that name.
pub(crate) fn line(text: &str) -> String {
    let words = text
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(name) => file(name),
            None => word.to_owned(),
        });
    words.collect::<Vec<_>>().join(" ")
}

fn frame(place: &str, line: u32, function: &str) -> Frame {
    let crate_name = function.trim_start_matches('<').split("::").next().unwrap();
    Frame::new(place, line)
        .with_function(function)
        .with_crate(crate_name)
}

fn blocks(count: u64, size: u64, frames: &[Frame]) -> Vec<Trace> {
    let stack = Traceback::from_oldest_first(frames.iter().cloned()).unwrap();
    (0..count)
        .map(|_| Trace::new(Domain::HEAP, size, stack.clone()))
        .collect()
}

/// A shop with a number of orders: a table of orders, their lines, and a cache that does not grow.
pub(crate) fn shop(orders: u64) -> Snapshot {
    let main = frame("src/main.rs", 12, "shop_server::main");
    let serve = frame("src/main.rs", 31, "shop_server::serve");
    let read = frame("shop-0.3.1/src/orders.rs", 6, "shop::orders::read_orders");
    let push = frame("shop-0.3.1/src/orders.rs", 9, "shop::orders::read_orders");
    let parse = |line| {
        let function = "<serde_json::de::Deserializer<R> as serde::Deserializer>::deserialize_any";
        frame("serde_json-1.0.154/src/de.rs", line, function)
    };
    let cache = frame("src/cache.rs", 88, "shop_server::cache::Cache::insert");
    let library = Arc::new(Module::new("/usr/lib/libz.so.1", None));
    let inflate = Frame::named("libz.so.1!inflateInit2_").with_code(library, 64);
    let stack = [main.clone(), serve.clone(), read.clone()];
    let parsing = [&stack[..], &[parse(1371), parse(1402), parse(1371)]].concat();
    let traces = [
        blocks(1, 65_536, &[main.clone(), serve.clone(), cache.clone()]),
        blocks(30, 2_048, &[main.clone(), serve.clone(), cache]),
        blocks(orders, 1_480, &stack),
        blocks(orders * 7, 48, &parsing),
        blocks(1, orders * 64, &[main.clone(), serve.clone(), push]),
        blocks(2, 32_768, &[main.clone(), serve, inflate]),
        blocks(1, 128, &[main]),
    ];
    let mut snapshot = Snapshot::from_traces(traces.concat(), 25);
    snapshot.set_attribute("orders", orders.to_string());
    snapshot
}

/// The shop, where orders and the cache have tags, on two threads.
fn tagged() -> Snapshot {
    let shop = shop(3);
    let traces = shop.traces().unwrap().zip([0, 1].into_iter().cycle());
    let labelled = traces.map(|(mut block, worker)| {
        let stack = block.traceback.with_thread_name(format!("worker-{worker}"));
        let innermost = stack.most_recent().filename().to_owned();
        block.traceback = match innermost.as_str() {
            "src/cache.rs" => stack.with_tag("cache"),
            name if name.contains("orders.rs") => stack.with_tag("GET /orders"),
            _ => stack,
        };
        block
    });
    Snapshot::from_traces(labelled.collect::<Vec<_>>(), 25)
}

/// The shop some minutes later: orders come and go, and the cache keeps all that it has seen.
fn grown(minutes: u64) -> Snapshot {
    let orders = [40, 12, 52, 30][usize::try_from(minutes).unwrap() % 4];
    let leak = frame("src/cache.rs", 91, "shop_server::cache::Cache::remember");
    let mut traces: Vec<Trace> = shop(orders).traces().unwrap().collect();
    traces.extend(blocks(minutes * 25, 96, std::slice::from_ref(&leak)));
    let mut history = StackHistory::default();
    history.allocated = BlockSum::new(minutes * 96_000, minutes * 1_000);
    Snapshot::from_traces(traces, 25).with_history([(Traceback::of(leak), Domain::HEAP, history)])
}

/// The shop when it has closed: at the peak it had 52 orders, and it has allocated all of that ten
/// times.
pub(crate) fn with_history(closed: &Snapshot) -> Snapshot {
    with_history_of(closed, 52)
}

fn with_history_of(closed: &Snapshot, orders_at_peak: u64) -> Snapshot {
    let mut rows = Vec::new();
    for stack in shop(orders_at_peak).statistics(GroupBy::Traceback) {
        let (size, count) = (stack.size, stack.count);
        let mut history = StackHistory::default();
        history.at_peak = BlockSum::new(size, count);
        history.highest = history.at_peak;
        history.allocated = BlockSum::new(10 * size, 10 * count);
        history.lifetime = 1_000 * count;
        match stack.traceback.most_recent().lineno() {
            // The table grows, and is copied.
            9 => (history.reallocations, history.bytes_copied) = (60, 9 * size),
            1371 => history.temporary = BlockSum::new(9 * size, 9 * count),
            _ => {}
        }
        rows.push((stack.traceback, Domain::HEAP, history));
    }
    closed.clone().with_history(rows)
}

pub(crate) const HOSTILE: &str = "\x1b[2J\x1b]0;title\x07\r\n\u{9b}31m\u{202e}|`<img src=x>";

fn hostile() -> Snapshot {
    let module = Arc::new(Module::new(HOSTILE, Some(HOSTILE.to_owned())));
    let frame = frame(HOSTILE, 1, HOSTILE).with_code(module, 1);
    let mut snapshot = Snapshot::from_traces(blocks(3, 8, &[frame.clone(), frame]), 1)
        .with_sample_every(NonZeroU64::new(512 << 10).unwrap());
    snapshot.set_attribute(HOSTILE, HOSTILE);
    snapshot
}
