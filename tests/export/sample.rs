//! Snapshots to export.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracemalloc::{
    BlockSum, Domain, Frame, GroupBy, Module, Snapshot, StackHistory, Trace, Traceback,
};

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub(crate) fn block(size: u64, frames: impl IntoIterator<Item = Frame>) -> Trace {
    let stack = Traceback::from_oldest_first(frames).expect("a stack of some frames");
    Trace::new(Domain::HEAP, size, stack)
}

pub(crate) fn of(traces: impl IntoIterator<Item = Trace>) -> Snapshot {
    Snapshot::from_traces(traces, 25)
}

/// A server with inlined functions, a library, a domain and a cut stack; `requests` are live.
pub(crate) fn server(requests: usize) -> Snapshot {
    let program = Arc::new(Module::new(
        "/opt/server/bin/server",
        Some("9f86d081884c7d65".into()),
    ));
    let library = Arc::new(Module::new("/usr/lib/libz.so.1", None));
    let main = Frame::new("src/main.rs", 12)
        .with_function("server::main")
        .with_crate("server")
        .with_path("/home/me/server/src/main.rs")
        .with_column(5)
        .with_code(program.clone(), 0x1d07);
    let handle = Frame::new("src/handle.rs", 40)
        .with_function("<server::Handler<T> as tower::Service<R>>::call")
        .with_column(17)
        .with_code(program, 0x2a40);
    // Inlined into `handle`: they have no code of their own.
    let read = Frame::new("src/body.rs", 7).with_function("server::body::read::<[u8; 16]>");
    let push = Frame::new("src/body.rs", 21).with_function("server::body::Buffer::push");
    let inflate = Frame::named("libz.so.1!inflateInit2_")
        .with_function("inflateInit2_")
        .with_code(library, 0x40);

    let bodies = block(640, [main.clone(), handle.clone(), read.clone(), push]);
    let mut traces = vec![bodies; requests];
    traces.push(block(32_768, [main.clone(), handle.clone(), read, inflate]));
    traces.push(block(100, [main.clone()]));
    let mut mapped = block(4096, [main, handle.clone()]);
    mapped.domain = Domain(7);
    traces.push(mapped);
    let mut cut = block(24, [handle]);
    cut.traceback = cut.traceback.with_total_nframe(90);
    traces.push(cut);
    of(traces)
}

/// [`server`] with the history of a day: its bodies have come and gone, and the buffer has grown.
pub(crate) fn server_with_history() -> Snapshot {
    let live = server(1);
    let rows = server(3).statistics(GroupBy::Traceback).into_iter();
    let rows: Vec<_> = rows
        .zip(1..)
        .map(|(stack, number)| {
            let mut history = StackHistory::default();
            history.at_peak = BlockSum::new(stack.size, stack.count);
            history.highest = BlockSum::new(stack.size + 1, stack.count);
            history.allocated = BlockSum::new(stack.size * number, stack.count * number);
            history.temporary =
                BlockSum::new(stack.size * (number - 1), stack.count * (number - 1));
            history.lifetime = 500 * number;
            let domain = match stack.size {
                4096 => Domain(7),
                _ => Domain::HEAP,
            };
            (stack.traceback, domain, history)
        })
        .collect();
    let gone = Traceback::of(Frame::new("src/main.rs", 99).with_function("server::warm_up"));
    let mut history = StackHistory::default();
    history.allocated = BlockSum::new(7, 1);
    live.with_history(rows.into_iter().chain([(gone, Domain::HEAP, history)]))
}

/// What names may hold that come from a foreign file.
pub(crate) const HOSTILE: [&str; 16] = [
    "</script><img src=x onerror=alert(1)>",
    "\"double\" and 'single' quotes, \\ and `",
    "semi;colon <[u8; 4]>::read",
    "line\nbreak\r\n",
    "\x1b[2J\x1b]0;title\x07\u{9b}31m",
    "\u{202e}drow sdrawkcab\u{200b}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1",
    "@SUM(A1:A9)",
    "ends with a number 640",
    "ends with two 3 4",
    "nul\0inside",
    "größe::測試::<Vec<T, A>>",
    " ",
    "",
];

/// Every hostile text as every kind of name, alone in its stack.
pub(crate) fn hostile() -> Snapshot {
    let traces = HOSTILE.into_iter().zip(1..).map(|(name, size)| {
        let module = Arc::new(Module::new(name, Some(name.into())));
        let frame = Frame::new(name, 3)
            .with_function(name)
            .with_crate(name)
            .with_path(name)
            .with_code(module, 16);
        block(size, [Frame::named("app::main"), frame])
    });
    let mut snapshot = of(traces);
    for name in HOSTILE {
        snapshot.set_attribute(name, name);
    }
    snapshot
}
