//! The text report. The whole outputs are in `tests/data/report/`; after an intended change,
//! `TRACEMALLOC_BLESS=1 cargo test --test report_text` rewrites them.
#![cfg(feature = "file")]

use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tracemalloc::report::{self, OwnCode, Text};
use tracemalloc::{
    Domain, ErrorKind, Frame, FrameOrigin, GroupBy, Module, Snapshot, Trace, Traceback,
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/report")
        .join(name)
}

/// A line of a file with readable source.
fn order(line: u32, function: &str) -> Frame {
    Frame::new("shop-0.3.1/src/orders.rs", line)
        .with_function(function)
        .with_crate("shop")
        .with_path(data("orders.rs").to_str().unwrap())
}

fn main_frame() -> Frame {
    Frame::new("src/main.rs", 12)
        .with_function("shop_server::main")
        .with_crate("shop_server")
}

fn blocks(count: usize, size: u64, frames: &[Frame]) -> Vec<Trace> {
    let stack = Traceback::from_oldest_first(frames.iter().cloned()).unwrap();
    vec![Trace::new(Domain::HEAP, size, stack); count]
}

/// A program's memory: large and small groups, short and long names, known and unknown places.
fn shop(orders: usize) -> Snapshot {
    let long_path = "a-crate-with-a-long-name-12.0.0/src/very/deep/module/tree/node.rs";
    let long_function = "<a_crate::very::deep::module::tree::Node<alloc::string::String, \
        core::option::Option<u64>> as core::iter::traits::collect::FromIterator<T>>::from_iter";
    let node = Frame::new(long_path, 1_204).with_function(long_function);
    let library = Arc::new(Module::new("/usr/lib/libz.so.1", None));
    Snapshot::from_traces(
        [
            blocks(
                orders,
                1_480,
                &[main_frame(), order(6, "shop::orders::read_orders")],
            ),
            blocks(
                1,
                2_097_152,
                &[main_frame(), order(4, "shop::orders::read_orders")],
            ),
            blocks(
                1,
                786_432,
                &[main_frame(), order(5, "shop::orders::read_orders")],
            ),
            blocks(
                3_000,
                48,
                &[main_frame(), order(6, "shop::orders::read_orders"), node],
            ),
            blocks(
                4,
                32_768,
                &[Frame::named("libz.so.1!inflateInit2_").with_code(library, 64)],
            ),
            blocks(17, 1_024, &[Frame::new("<unknown>", 0)]),
            blocks(
                2,
                512,
                &[Frame::new("src/größe/測試.rs", 7).with_function("größe::測試")],
            ),
            blocks(1, 64, &[main_frame()]),
        ]
        .concat(),
        25,
    )
}

/// `snapshot` with losses, which only the engine and the file can set.
fn with_losses(snapshot: &Snapshot) -> Snapshot {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).unwrap();
    let mut document = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut document)
        .unwrap();
    for (field, value) in [
        (r#""peak":"#, "73400320"),
        (r#""tracer_memory":"#, "2097152"),
        (r#""losses":{"blocks":"#, "3"),
        (r#","stacks":"#, "1"),
        (r#""replaced":"#, "2"),
        (r#""incomplete_stacks":"#, "4"),
    ] {
        let zero = format!("{field}0");
        assert!(document.contains(&zero), "{field}");
        document = document.replacen(&zero, &format!("{field}{value}"), 1);
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(document.as_bytes()).unwrap();
    Snapshot::read_from(&gzip.finish().unwrap()[..]).unwrap()
}

fn table(text: Text, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    text.write(snapshot, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn diff(text: Text, new: &Snapshot, old: &Snapshot) -> String {
    let mut out = Vec::new();
    text.write_diff(new, old, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?} is too wide");
        assert_eq!(line, line.trim_end(), "spaces at the end");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[track_caller]
fn check_golden(name: &str, found: &str) {
    check_fits(found);
    let path = data(name);
    if std::env::var_os("TRACEMALLOC_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, expected.replace("\r\n", "\n"), "{name}");
}

#[test]
fn lines() {
    let shop = with_losses(&shop(30_000));
    check_golden("line.txt", &table(Text::new(), &shop));
    check_golden("line-top-3.txt", &table(Text::new().limit(3), &shop));
}

#[test]
fn other_groups() {
    let shop = shop(30_000);
    for group_by in [GroupBy::File, GroupBy::Function, GroupBy::Crate] {
        let found = table(Text::new().group_by(group_by), &shop);
        check_golden(&format!("{group_by}.txt"), &found);
    }
}

#[test]
fn sources() {
    let mut out = Vec::new();
    let source = report::Source::of("*").limit(3);
    source.write(&with_losses(&shop(30_000)), &mut out).unwrap();
    check_golden("source.txt", std::str::from_utf8(&out).unwrap());
}

#[test]
fn stacks() {
    let cut = Traceback::from_oldest_first([main_frame(), order(4, "shop::orders::read_orders")])
        .unwrap()
        .with_total_nframe(19);
    let mut traces = vec![Trace::new(Domain::HEAP, 1 << 30, cut)];
    traces.extend(shop(300).traces().unwrap());
    let found = table(
        Text::new().group_by(GroupBy::Traceback).limit(3),
        &Snapshot::from_traces(traces, 2),
    );
    check_golden("traceback.txt", &found);
}

#[test]
fn changes() {
    let (old, new) = (shop(30_000), with_losses(&shop(30_411)));
    check_golden("diff.txt", &diff(Text::new(), &new, &old));
    let less = Snapshot::from_traces(old.traces().unwrap().take(7_000), 25);
    check_golden("diff-top-2.txt", &diff(Text::new().limit(2), &less, &old));
}

fn every_512_kib(snapshot: Snapshot) -> Snapshot {
    snapshot.with_sample_every(NonZeroU64::new(512 << 10).unwrap())
}

#[test]
fn samples() {
    let old = every_512_kib(shop(3));
    check_golden("sampled.txt", &table(Text::new(), &old));
    let new = with_losses(&every_512_kib(shop(5)));
    check_golden("diff-sampled.txt", &diff(Text::new(), &new, &old));
    let found = diff(Text::new(), &shop(30_000), &old);
    assert!(found.starts_with("Estimated change by line\n"), "{found}");
    assert!(found.contains("allocated on average (old snapshot)\n"));
    assert!(!found.contains("(new snapshot)"), "{found}");
}

#[test]
fn a_sample_of_nothing_does_not_say_that_there_is_nothing() {
    let none = every_512_kib(Snapshot::from_traces([], 25));
    assert_eq!(
        table(Text::new(), &none),
        "No live block was sampled.\n\
         Sampled: one record per 512 KiB allocated on average\n\
         Sizes and counts are estimates from 0 records\n"
    );
    // What the program tracks itself is no sample.
    let mut region = blocks(1, 64, &[main_frame()]);
    region[0].domain = Domain(1);
    let region = table(
        Text::new(),
        &every_512_kib(Snapshot::from_traces(region, 1)),
    );
    assert!(region.contains("Total: 64 B in 1 block\n"), "{region}");
    assert!(region.contains("estimates from 0 records\n"), "{region}");
}

#[test]
fn nothing_is_said_clearly() {
    let none = Snapshot::from_traces([], 25);
    assert_eq!(table(Text::new(), &none), "No live blocks.\n");
    let same = diff(Text::new(), &none, &none);
    assert_eq!(
        same,
        "No change.\nTotal: +0 B in +0 blocks; now 0 B in 0 blocks\n"
    );
    let lost = table(Text::new(), &with_losses(&none));
    assert!(lost.contains("Not recorded: 3 blocks\n"), "{lost}");
}

#[test]
fn blocks_of_no_bytes_have_no_share() {
    let found = table(
        Text::new(),
        &Snapshot::from_traces(blocks(2, 0, &[main_frame()]), 1),
    );
    assert!(found.contains("1   0 B      -       2      0 B"), "{found}");
}

#[test]
fn a_limit_of_nothing_leaves_the_totals() {
    let found = table(Text::new().limit(0), &shop(1));
    assert!(
        found.starts_with("8 other: 3104 KiB\nTotal: 3104 KiB in 3027 blocks\n"),
        "{found}"
    );
}

#[test]
fn the_greatest_numbers_fit() {
    let huge = Snapshot::from_traces(blocks(1, u64::MAX, &[main_frame()]), 1);
    check_fits(&table(Text::new(), &huge));
    let none = Snapshot::from_traces([], 1);
    check_fits(&diff(Text::new(), &huge, &none));
    check_fits(&diff(Text::new(), &none, &huge));
    let one = Snapshot::from_traces(blocks(1, 1, &[main_frame()]), 1);
    check_fits(&table(
        Text::new(),
        &one.clone().with_sample_every(NonZeroU64::MAX),
    ));
    let rare = one.with_sample_every(NonZeroU64::new(1 << 40).unwrap());
    check_fits(&diff(Text::new(), &rare, &none));
}

/// A name may hold anything that a symbol table or a foreign file holds.
#[test]
fn names_cannot_steer_the_terminal() {
    let hostile = "\x1b[2J\x1b]0;title\x07\r\n\u{9b}31m\u{202e}";
    let frame = Frame::new(hostile, 1)
        .with_function(hostile)
        .with_crate(hostile);
    let snapshot = Snapshot::from_traces(blocks(1, 8, &[frame, Frame::named(hostile)]), 1);
    for group_by in [
        GroupBy::File,
        GroupBy::Line,
        GroupBy::Function,
        GroupBy::Crate,
        GroupBy::Traceback,
    ] {
        let found = table(Text::new().group_by(group_by), &snapshot);
        check_fits(&found);
        assert!(!found.contains('\u{202e}'));
    }
    assert!(table(Text::new(), &snapshot).contains(r"\u{9b}31m\u{202e}"));
}

/// A wide terminal shows long names whole, a narrow one shows the method of each.
#[test]
fn a_text_takes_the_width_that_it_is_given() {
    let snapshot = shop(1);
    let text = |width| {
        table(
            Text::new().group_by(GroupBy::Function).width(width),
            &snapshot,
        )
    };
    assert!(
        text(240).contains(
            "core::option::Option<u64>> as core::iter::traits::collect::FromIterator<T>>"
        )
    );
    for width in [60, 72, 120, 160] {
        let shown = text(width);
        assert!(
            shown.lines().all(|line| line.chars().count() <= width),
            "{shown}"
        );
        assert!(shown.contains("from_iter"), "{shown}");
    }
    assert_eq!(text(1), text(60));
    let mut tree = Vec::new();
    report::Tree::new()
        .width(160)
        .write(&snapshot, &mut tree)
        .unwrap();
    assert!(
        String::from_utf8_lossy(&tree).contains("a-crate-with-a-long-name-12.0.0/src/very/deep")
    );
}

#[test]
fn source_lines_can_be_left_out() {
    let shop = shop(1);
    let line = "let text = fs::read_to_string(path).unwrap();";
    assert!(table(Text::new(), &shop).contains(line));
    assert!(!table(Text::new().source_lines(false), &shop).contains(line));
}

#[test]
fn the_hint_comes_only_where_it_helps() {
    let hint = "debug = \"limited\"";
    let named = Snapshot::from_traces(blocks(1, 8, &[Frame::named("app::run")]), 1);
    let settings = format!("    {hint}\n    strip = \"none\"\n");
    assert!(table(Text::new(), &named).ends_with(&settings));
    assert!(diff(Text::new(), &shop(1), &named).contains(hint));
    // Of `shop` only a function in a shared library has no line.
    assert!(!table(Text::new(), &shop(1)).contains(hint));
    let known = Snapshot::from_traces(blocks(1, 8, &[main_frame()]), 1);
    assert!(!table(Text::new().group_by(GroupBy::Function), &known).contains(hint));
    // A program that has lines needs no settings, wherever it lacks one.
    let mixed = [&[Frame::named("app::run")][..], &[main_frame()]].map(|stack| blocks(1, 8, stack));
    let mixed = Snapshot::from_traces(mixed.into_iter().flatten(), 1);
    assert!(!table(Text::new(), &mixed).contains(hint));
    // Nor do lines help that the standard library brings.
    let standard = [
        Frame::new("<std>/std/src/rt.rs", 1),
        Frame::named("app::run"),
    ];
    let standard = Snapshot::from_traces(blocks(1, 8, &standard), 2);
    assert!(table(Text::new(), &standard).contains("have a function but no line"));
    let module = std::sync::Arc::new(tracemalloc::Module::new("/bin/app", None));
    let stripped = Frame::named("app+0x10").with_code(module, 16);
    let stripped = Snapshot::from_traces(blocks(1, 8, &[stripped]), 1);
    assert!(table(Text::new(), &stripped).contains("the program is stripped"));
    // Frames that filters leave out may have had lines.
    assert!(!table(Text::new(), &shop(1).hide_frames(["*"])).contains(hint));
    assert!(!table(Text::new(), &shop(1).own_code()).contains(hint));
}

/// A frame of the program's own package `src/…`, or of a dependency.
fn of_origin(file: &str, line: u32) -> Frame {
    let (name, origin) = match file.split_once('-') {
        None => ("shop_server", FrameOrigin::Own),
        Some((name, _)) => (name, FrameOrigin::Dependency),
    };
    Frame::new(file, line)
        .with_function(format!("{name}::f{line}"))
        .with_crate(name)
        .with_origin(origin)
}

/// A service whose memory dependencies allocate, some of it where no own code is in the stack.
fn service(requests: usize) -> Snapshot {
    let handler = of_origin("src/main.rs", 30);
    let hyper = of_origin("hyper-1.6.0/src/io.rs", 538);
    let parse = of_origin("serde_json-1.0.154/src/map.rs", 138);
    let tower = of_origin("tower-0.5.3/src/layer.rs", 7);
    Snapshot::from_traces(
        [
            blocks(requests, 632, &[hyper.clone(), handler.clone(), parse]),
            blocks(requests, 64, &[hyper.clone(), handler]),
            blocks(20, 512, std::slice::from_ref(&hyper)),
            blocks(requests, 8, &[hyper, tower]),
        ]
        .concat(),
        25,
    )
}

#[test]
fn own_code_is_shown_where_dependencies_allocate() {
    let (new, old) = (service(100), service(60));
    check_golden("own-code.txt", &table(Text::new(), &new));
    check_golden("own-code-diff.txt", &diff(Text::new(), &new, &old));
    let by_function = table(Text::new().group_by(GroupBy::Function), &new);
    assert!(by_function.contains("\nFunctions of dependencies: --own-code=never"));
    // By crate the whole is seen.
    assert!(!table(Text::new().group_by(GroupBy::Crate), &new).contains("Own code"));
    let never = Text::new().own_code(OwnCode::Never);
    assert!(table(never, &new).contains("  serde_json-1.0.154/src/map.rs:138\n"));
    assert!(diff(never, &new, &old).contains("  serde_json-1.0.154/src/map.rs:138\n"));
    let by_crate = Text::new()
        .group_by(GroupBy::Crate)
        .own_code(OwnCode::Always);
    let by_crate = table(by_crate, &new);
    assert!(by_crate.contains("  shop_server\n") && by_crate.contains("  <no own code>\n"));
    assert!(!by_crate.contains("OwnCode::Never"));
    // What a filter of frames has left is nobody's choice but the caller's.
    assert_eq!(new.own_code().statistics(GroupBy::Line).len(), 2);
}

#[test]
fn own_code_is_shown_by_itself_only_where_it_serves() {
    #[track_caller]
    fn check(own: u64, dependency: u64, without: u64, is_shown: bool) {
        let (main, library) = (
            of_origin("src/main.rs", 1),
            of_origin("log-0.4.2/lib.rs", 2),
        );
        let traces = [
            (own, vec![main.clone()]),
            (dependency, vec![main, library.clone()]),
            (without, vec![library]),
        ];
        let traces = traces
            .map(|(size, frames)| blocks(1, size, &frames))
            .concat();
        let snapshot = Snapshot::from_traces(traces, 25);
        let nothing = Snapshot::from_traces([], 25);
        assert_eq!(table(Text::new(), &snapshot).contains("Own code"), is_shown);
        assert_eq!(
            diff(Text::new(), &snapshot, &nothing).contains("Own code"),
            is_shown
        );
        assert_eq!(
            diff(Text::new(), &nothing, &snapshot).contains("Own code"),
            is_shown
        );
    }
    check(100, 0, 0, false);
    check(50, 50, 0, false);
    check(49, 51, 0, true);
    check(0, 10, 90, true);
    check(0, 9, 91, false);
    check(10, 0, 90, true);
    check(0, 0, 0, false);
}

#[test]
fn color_is_there_only_when_asked_for() {
    let (old, new) = (shop(2), shop(1));
    let plain = diff(Text::new(), &new, &old);
    let colored = diff(Text::new().color(true), &new, &old);
    assert!(!plain.contains('\x1b'));
    assert!(colored.contains("\x1b[32m-1480 B\x1b[0m"), "{colored:?}");
    let mut stripped = colored;
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_file_is_no_terminal() {
    let file = std::fs::File::open(data("orders.rs")).unwrap();
    assert!(!report::terminal_color(&file));
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn errors_of_the_writer_come_back() {
    let shop = shop(1);
    let error = Text::new().limit(3).write(&shop, &mut Closed).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    let error = Text::new()
        .write_diff(&shop, &shop, &mut Closed)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
